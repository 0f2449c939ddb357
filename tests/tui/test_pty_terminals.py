"""The real program on terminals of every kind: few colours, small, far away, slow, or none."""

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Program = Callable[..., Any]

TRUE = rb"[34]8;2;"
INDEXED = rb"[34]8;5;"
ANY = rb"\x1b\[[0-9;]*(?:[34][0-7]|[34]8;|9[0-7])[0-9;]*m"


def shown(program: Program, *arguments: str, **environ: str) -> bytes:
    """What the first screen sends."""
    terminal = program(*arguments, **environ)
    terminal.wait_for("quit")
    terminal.send("q")
    assert terminal.wait() == 0
    assert terminal.left_on() == []
    return bytes(terminal.seen)


def test_a_terminal_with_all_colours_gets_them(program: Program) -> None:
    assert re.search(TRUE, shown(program))


def test_a_terminal_with_256_colours_gets_no_others(program: Program) -> None:
    output = shown(program, COLORTERM="")
    assert re.search(INDEXED, output) and not re.search(TRUE, output)


def test_a_terminal_with_16_colours_gets_no_others(program: Program) -> None:
    output = shown(program, COLORTERM="", TERM="xterm")
    assert not re.search(INDEXED, output) and not re.search(TRUE, output)


def test_no_color_means_none(program: Program) -> None:
    """Greys stay: they are how Textual shows NO_COLOR, and black on black is what must not happen."""
    for red, green, blue in re.findall(rb"[34]8;2;(\d+);(\d+);(\d+)", shown(program, NO_COLOR="1")):
        assert red == green == blue


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_dumb_terminal_gets_the_help(program: Program, term: str) -> None:
    terminal = program(script="from lbench.cli import main; main()", TERM=term)
    assert terminal.wait() == 0
    assert "Usage:" in terminal.text()
    assert b"\x1b[?1049h" not in terminal.seen


def test_a_pipe_gets_the_help() -> None:
    done = subprocess.run([sys.executable, "-m", "lbench"], capture_output=True, stdin=subprocess.DEVNULL, check=True)
    assert b"Usage:" in done.stdout and b"\x1b" not in done.stdout


@pytest.mark.parametrize(
    ("environ", "note"),
    [
        ({"SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"}, "ssh 4 fps"),
        ({"TMUX": "/tmp/tmux-0/default,1,0"}, "tmux 4 fps"),
        ({"SSH_TTY": "/dev/pts/0", "LBENCH_FPS": "3"}, "ssh 3 fps"),
    ],
)
def test_a_terminal_far_away_gets_fewer_frames_and_a_note(program: Program, environ: dict[str, str], note: str) -> None:
    terminal = program(script="from lbench.cli import main; main()", **environ)
    terminal.wait_for(note)


def test_the_mouse_can_be_left_to_the_terminal(program: Program) -> None:
    terminal = program(script="import sys; sys.argv = ['lbench', '--no-mouse']; from lbench.cli import main; main()")
    terminal.wait_for("quit")
    terminal.send("q")
    assert terminal.wait() == 0
    assert b"\x1b[?1000h" not in terminal.seen and b"\x1b[?1003h" not in terminal.seen


def test_a_terminal_that_is_too_small_is_reported_and_may_grow(program: Program) -> None:
    terminal = program(size=(20, 5))
    terminal.wait_for("needs")
    terminal.resize(80, 24)
    terminal.wait_for("probe")
    terminal.resize(1, 1)
    terminal.resize(20, 5)
    terminal.wait_for("20x5", after=len(terminal.seen))
    terminal.send("q")
    assert terminal.wait() == 0
    assert terminal.left_on() == []


def test_a_resize_in_mid_run_is_followed(program: Program, tmp_path: Path, mid_run: Callable[[Any], None]) -> None:
    terminal = program(on_hangup="stop")
    mid_run(terminal)
    for columns, lines in ((80, 24), (200, 60), (120, 40)):
        before = len(terminal.seen)
        terminal.resize(columns, lines)
        terminal.wait_for("lbench  probe", after=before)
        assert terminal.poll() is None
    terminal.wait_for("100/100")
    terminal.send("q")
    assert terminal.wait() == 0


def test_an_edge_that_is_dragged_ends_in_the_last_size(program: Program) -> None:
    terminal = program()
    terminal.wait_for("quit")
    for number in range(2000):
        terminal.resize(60 + number % 100, 20 + number % 30)
        terminal.signal(signal.SIGWINCH)
    before = len(terminal.seen)
    terminal.resize(20, 5)
    terminal.wait_for("20x5", after=before)
    terminal.send("q")
    assert terminal.wait() == 0
    assert terminal.left_on() == []
    assert "Error" not in terminal.text()


def test_a_terminal_that_stops_reading_slows_no_run_and_misses_nothing(
    program: Program, tmp_path: Path, mid_run: Callable[[Any], None]
) -> None:
    terminal = program(size=(200, 60))
    mid_run(terminal)
    (journal,) = tmp_path.glob("data/lbench/sessions/*/events.jsonl")
    while b'"event":"answer"' not in journal.read_bytes():
        for columns in (199, 200) * 50:  # a storm, more to draw, and nobody reads it
            terminal.resize(columns, 60)
    before = len(terminal.seen)
    terminal.resize(120, 40)  # reading again, a whole screen
    terminal.wait_for("100/100", after=before)
    terminal.send("q")
    assert terminal.wait() == 0


def test_a_byte_that_is_not_utf8_ends_nothing(program: Program) -> None:
    terminal = program()
    terminal.wait_for("quit")
    terminal.send(b"\xe9\x1b[99999999u?")
    terminal.wait_for("esc back")
    terminal.send("q")
    assert terminal.wait() == 0
