"""Where a locale cannot show our signs, words and ASCII signs take their place; a question mark means "not checked"."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lbench.config.ascii_fallback import is_ascii_only, one_cell_each, spelled

LOCALES = {
    "LC_ALL=C": {"LC_ALL": "C"},
    "POSIX": {"LC_ALL": "POSIX"},
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
}
RUN = ("run", "probe", "--tasks", "2", "--repeats", "2", "-b", "sequential", "-b", "emulated")


def lbench_in(variables: dict[str, str], home: Path, *args: str) -> tuple[int, bytes, bytes]:
    env = {
        name: value for name, value in os.environ.items() if name not in ("LC_ALL", "PYTHONIOENCODING", "PYTHONUTF8")
    }
    argv = [sys.executable, "-m", "lbench", *args]
    done = subprocess.run(argv, capture_output=True, timeout=180, cwd=home, env=env | variables, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("name", ["LC_ALL=C", "ascii"])
def test_a_run_is_readable_without_unicode(name: str, home: Path) -> None:
    code, out, err = lbench_in(LOCALES[name], home, *RUN)
    assert code == 0 and out.isascii() and err.isascii()
    text, progress = out.decode(), err.decode()
    assert "?" not in text and "?" not in progress and "\\u" not in text + progress
    assert re.search(r"ok 2/2 ", text) and "ok same" in text
    assert re.search(r"sequential 1/2: ok ", progress)
    lines = text.split("\n\n")[0].strip("\n").splitlines()
    ends = {line.rstrip().rfind("ok same") for line in lines[1:] if "ok same" in line}
    assert len(ends) == 1  # the columns stay in line, although a word is wider than its sign


@pytest.mark.parametrize("variables", LOCALES.values(), ids=LOCALES)
def test_lists_and_errors_are_readable_without_unicode(variables: dict[str, str], home: Path) -> None:
    for args in (("backends",), ("workloads",), ("sessions",), ("run", "probé")):
        _, out, err = lbench_in(variables, home, *args)
        encoding = variables.get("PYTHONIOENCODING", "ascii")
        assert "?" not in out.decode(encoding).replace("did you mean", "") or args[0] == "run"
        assert "✔".encode() not in out + err


def test_json_is_exact_in_every_locale(home: Path) -> None:
    plain = lbench_in({}, home, "workloads", "--json")[1]
    assert lbench_in({"LC_ALL": "C"}, home, "workloads", "--json")[1] == plain and json.loads(plain)


def test_signs_become_words_and_other_characters_stay_recognisable() -> None:
    assert spelled("✔ same ✘ 1.94× – … д") == "ok same x 1.94x - ... \\u0434"
    assert one_cell_each("✔ ─── █▒░ ⣿ é …") == "v --- #:. * e ."
    for text in ("✔✘–…×≈·°µ→←↑↓↵▶■●▌▐─━█▀▄▒░⊘", "┌┐└┘├┤┬┴┼", "⠋⣿▘▝▖▗"):
        assert (
            one_cell_each(text).isascii() and len(one_cell_each(text)) == len(text) and "?" not in one_cell_each(text)
        )
        assert spelled(text).isascii() and "?" not in spelled(text)


@pytest.mark.parametrize(
    ("encoding", "variables", "expected"),
    [
        ("utf-8", {}, False),
        ("utf-8", {"LC_ALL": "C.UTF-8"}, False),
        ("utf-8", {"LC_ALL": "C"}, True),
        ("utf-8", {"LC_ALL": "C", "PYTHONIOENCODING": "utf-8"}, False),
        ("ascii", {"LC_ALL": "C.UTF-8"}, True),
        ("latin-1", {}, True),
        (None, {}, True),
    ],
)
def test_what_a_stream_can_show_is_known(encoding: str | None, variables: dict[str, str], expected: bool) -> None:
    assert is_ascii_only(encoding, variables) is expected
