"""What is made of the environment's word on the terminal, and how often is drawn."""

import subprocess
import sys

import pytest

from lbench.tui.terminal.capabilities import FPS_LOCAL, FPS_REMOTE, look
from lbench.tui.terminal.frame_rate import FPS_LEAST, Pace


@pytest.mark.parametrize(
    ("environ", "colours"),
    [
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, 1 << 24),
        ({"TERM": "xterm-256color"}, 256),
        ({"TERM": "tmux-256color"}, 256),
        ({"TERM": "xterm-kitty"}, 256),
        ({"TERM": "xterm"}, 16),
        ({"TERM": "linux"}, 16),
        ({"TERM": "vt100"}, 2),
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor", "TEXTUAL_COLOR_SYSTEM": "standard"}, 16),
    ],
)
def test_colours_are_as_the_environment_says(environ: dict[str, str], colours: int) -> None:
    assert look(environ).colours == colours


def test_an_ordinary_terminal_is_drawn_on_at_full_rate_without_a_note() -> None:
    terminal = look({"TERM": "xterm-256color"})
    assert (terminal.fps, terminal.remote, terminal.note) == (FPS_LOCAL, False, "")


@pytest.mark.parametrize(
    ("environ", "where"),
    [({"SSH_TTY": "/dev/pts/1"}, "ssh"), ({"TMUX": "x"}, "tmux"), ({"TERM": "screen-256color"}, "tmux")],
)
def test_far_away_or_in_tmux_there_are_fewer_frames(environ: dict[str, str], where: str) -> None:
    terminal = look({"TERM": "xterm", **environ})
    assert terminal.remote and terminal.fps == FPS_REMOTE
    assert terminal.note == f"{where} {FPS_REMOTE:g} fps"


def test_what_the_user_wants_goes_before_our_choice() -> None:
    assert look({"TERM": "xterm", "SSH_TTY": "x"}, fps=12).fps == 12


@pytest.mark.parametrize("term", ["", "dumb", "unknown"])
def test_a_terminal_without_a_name_is_dumb(term: str) -> None:
    assert look({"TERM": term}).dumb


class Machine:
    """A clock, a CPU and its use, moved by the test."""

    def __init__(self, fps: float = 8.0) -> None:
        self.now_s = 0.0
        self.cpu_s = 0.0
        self.usage: float | None = 0.2
        self.sent = 0
        self.pace = Pace(
            fps, usage=lambda: self.usage, clock=lambda: self.now_s, cpu=lambda: self.cpu_s, sent=lambda: self.sent
        )

    def frames(self, count: int, cost_s: float, sent: int = 0) -> None:
        for _ in range(count):
            self.now_s += self.pace.interval_s
            self.cpu_s += cost_s
            self.sent += sent
            self.pace.frame()


def test_cheap_frames_on_idle_cores_come_at_full_rate() -> None:
    machine = Machine()
    machine.frames(100, 0.005)
    assert machine.pace.fps == 8 and machine.pace.note == ""


def test_the_rate_falls_when_the_cores_are_busy_and_rises_again() -> None:
    machine = Machine()
    machine.usage = 1.0
    machine.frames(40, 0.004)  # 3.2 % of a core at 8 fps
    assert machine.pace.fps == 4 and machine.pace.note == "cores busy 4 fps"
    machine.usage = 0.1
    machine.frames(40, 0.005)
    assert machine.pace.fps == 8 and machine.pace.note == ""


def test_dear_frames_come_less_often_but_never_too_rarely() -> None:
    machine = Machine()
    machine.frames(200, 0.5)
    assert machine.pace.fps == FPS_LEAST and machine.pace.note == "slow 1 fps"


def test_the_first_look_on_busy_cores_finds_the_right_rate() -> None:
    machine = Machine()
    machine.usage = 1.0
    machine.frames(10, 0.007)  # 5.6 % of a core at 8 fps: two halvings
    assert machine.pace.fps == 2


def test_frames_that_send_too_much_come_less_often() -> None:
    machine = Machine(fps=4.0)
    machine.frames(6, 0.001, sent=2300)
    assert machine.pace.fps == 2 and machine.pace.note == "2 fps"
    machine.frames(20, 0.001, sent=300)
    assert machine.pace.fps == 4 and machine.pace.note == ""


def test_the_rate_does_not_waver() -> None:
    machine = Machine()
    machine.usage = 1.0
    seen = []
    for _ in range(100):
        machine.frames(8, 0.005)
        seen.append(machine.pace.fps)
    assert len(set(seen[5:])) == 1


def test_a_dear_frame_every_half_second_does_not_make_the_rate_waver() -> None:
    machine = Machine(fps=30.0)
    machine.usage = 1.0
    seen = []
    for _ in range(100):
        machine.frames(max(1, round(machine.pace.fps / 2)) - 1, 0.0005)
        machine.frames(1, 0.006)
        seen.append(machine.pace.fps)
    assert len(set(seen[5:])) == 1


def test_a_machine_that_tells_nothing_of_its_use_is_not_busy() -> None:
    machine = Machine()
    machine.usage = None
    machine.frames(40, 0.005)
    assert machine.pace.fps == 8


def test_a_rate_below_the_least_stays_as_it_was_wanted() -> None:
    machine = Machine(fps=1.0)
    machine.frames(20, 0.9)
    assert machine.pace.fps == 1.0


def test_the_first_frame_needs_no_numpy() -> None:
    script = "import sys, lbench.tui.app, lbench.tui.terminal.exit_guard as _\n"
    script += "print(*sorted({'numpy', 'sklearn'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_charts_are_drawn_with_the_signs_that_the_terminal_has() -> None:
    assert look({"TERM": "linux"}).marker == "ascii"
    assert look({"TERM": "xterm", "LC_ALL": "C"}).marker == "ascii"
    assert look({"TERM": "xterm", "LC_ALL": "C"}, marker="block").marker == "block"
