"""Bad input gets one line that says what is wrong and what to do, exit code 2, and leaves nothing behind."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lbench.cli.main import command
from lbench.engine.journal.events import encode_lines
from tests.session_events import session_events


def run(*args: str) -> Result:
    return CliRunner().invoke(command, list(args), prog_name="lbench")


BAD = [
    ("xyzzy", "unknown command 'xyzzy': choose from run"),
    ("RUN mandelbrot", "did you mean 'run'?"),
    ("run -p", "requires an argument (see lbench run --help)"),
    ("run probe --cold-repeats 99999999", "--cold-repeats must be from 0 to 1,000, got 99,999,999"),
    ("run probe --answers compute", "--answers is for simulated: choose it with -b, or leave --answers out"),
    ("run probe --audit", "--audit is for lambda: choose"),
    ("run probe -b processes --transport event", "--transport is for emulated, lambda and simulated: choose"),
    ("estimate probe --what-if tasks=0", "--what-if tasks must be a whole number from 1 on, got 0"),
    ("estimate probe --region mars-1", "choose one of af-south-1"),
    ("check probe --python 3.11", "--python must be one of 3.12"),
    ("deploy --dry-run --region mars", "--region must be an AWS region, for example eu-west-1, got mars"),
    ("status --region mars", "--region must be an AWS region"),
    ("wrkloads", "did you mean 'workloads'?"),
    ("run", "missing argument 'WORKLOAD'"),
    ("run mandelbrt", "did you mean 'mandelbrot'?"),
    ("new", "missing argument: `lbench new workload NAME`"),
    ("new workload class", "no keyword, got class"),
    ("run probe -p kindd=noop", "did you mean 'kind'?"),
    ("run probe -p kind", "-p must be NAME=VALUE, got kind"),
    ("run probe -p seconds=-1", "at least 0"),
    ("run probe -p kind=dance", "one of carry, kernels, noop, sleep, spawn, spin"),
    ("run probe -b procesess", "did you mean 'processes'?"),
    ("run probe -b processes:concurency=2", "did you mean 'concurrency'?"),
    ("run probe -b processes:concurrency", "key=value"),
    ("run probe -b processes -b processes", "two backends have the label 'processes'"),
    ("run probe --repeats 0", "--repeats must be a whole number from 1"),
    ("run probe --repeats many", "--repeats must be a whole number from 1 to 10000 or auto, got many"),
    ("run probe --repeat 3", "'--repeats'?"),
    ("run probe --tasks many", "--tasks must be a whole number"),
    ("run probe --tasks 0", "--tasks must be at least 1, got 0"),
    ("run probe --tasks 99999999999", "tasks=99999999999: must be at most 1000000"),
    ("run probe --timeout 901", "up to 900"),
    ("run probe --retries -1", "--retries must be a whole number from 0 to 100, got -1"),
    ("run probe --schedule chaotic", "alternating or concurrent or isolated"),
    ("run probe --region mars-1", "choose one of af-south-1"),
    ("run probe --transport pigeon", "one of direct"),
    ("run probe -b emulated --s3-endpoint nonsense", "s3_endpoint must be an http(s) URL"),
    ("run probe -b emulated --s3-endpoint ftp://host", "s3_endpoint must be an http(s) URL"),
    ("run probe -b emulated --s3-endpoint http://host:port", "s3_endpoint must be an http(s) URL"),
    ("run probe -b emulated --s3-endpoint http://me:hush@host", "must not contain a user or a password"),
    ("run probe -b emulated:s3_endpoint=http://me:hush@host", "s3_endpoint must be an http(s) URL"),
    ("run function -p payload= -b lambda -p name=f", "payload= holds no event"),
    ("run probe --max-usd 0", "--max-usd must be above 0 and below 1,000,000 US dollars, got 0"),
    ("run probe --data loans.csv", "reads no data"),
    ("run random_forest --data nowhere.csv", "there is no such file"),
    ("run random_forest --data ~nosuchuser/loans.csv", "there is no such file"),
    ("run random_forest --data /dev/null", "it is not a regular file: save it as one"),
    ("run random_forest --data a.csv --data b.csv", "--data must be one file, got 2: join them into one"),
    ("run ~nosuchuser/mine.py:job", "there is no such file"),
    ("run probe -b emulated:package=~nosuchuser/p.zip", "~nosuchuser/p.zip"),
    ("export ~nosuchuser/s.json -o a.json", "no such file or folder"),
    ("run probe --picture a.png", "has no picture"),
    ("run mandelbrot --picture a.jpg", "ends in .png"),
    ("run mandelbrot --picture nowhere/a.png", "nowhere does not exist"),
    ("run probe -o result.txt", ".json or .csv"),
    ("run probe -o nowhere/result.json", "nowhere does not exist"),
    ("export last -o a.json", "no session is recorded"),
    ("export ./nowhere.json -o a.json", "no such file or folder"),
    ("export last --format xml -o a.json", "unknown format 'xml'"),
    *(
        (name, f"{name}: name a file: no session is recorded in ")
        for name in ("report", "compare", "export", "open", "calibrate")
    ),
    ("data nowhere.csv", "no such file"),
    ("emulator --port 99999", "from 1 to 65535"),
    ("emulator --port x", "not a valid integer"),
]


@pytest.mark.parametrize(("line", "expected"), BAD, ids=[line for line, _ in BAD])
def test_bad_input_gets_one_line_and_exit_code_2(home: Path, line: str, expected: str) -> None:
    result = run(*line.split())
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("lbench: ") and "hush" not in result.stderr
    assert result.stderr.count("\n") == 1
    assert expected in result.stderr
    sessions = home / "data" / "lbench" / "sessions"
    assert not sessions.exists() or not list(sessions.iterdir())


@pytest.mark.parametrize("name", ["report", "compare", "export", "open", "calibrate"])
def test_a_command_without_a_session_proposes_the_newest(home: Path, name: str) -> None:
    sessions = home / "data" / "lbench" / "sessions"
    names = [f"20261129-11000{number}-abcd" for number in range(5)]
    for one in names:
        (sessions / one).mkdir(parents=True)
        (sessions / one / "events.jsonl").write_bytes(encode_lines(session_events({"sequential": [1.0]})))
    result = run(name)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert result.stderr == (
        f"lbench: {name}: name a session, `last` or a file; the newest: {names[4]} (probe), {names[3]} (probe), "
        f"{names[2]} (probe) (`lbench sessions` lists all)\n"
    )


@pytest.mark.parametrize("name", ["Loans2.csv", "two  blanks.csv"])
def test_a_message_has_the_name_of_the_file_as_given(home: Path, name: str) -> None:
    assert run("data", name).stderr.startswith(f"lbench: {name}: there is no such file")


def test_looking_makes_no_folders_and_needs_none(
    lbench: Callable[..., "subprocess.CompletedProcess[str]"], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lbench("run", "probe", "-b", "sequential", "--repeats", "1", "-o", "a.json", "--quiet").returncode == 0
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "/proc/nowhere")  # nobody can make a folder there
    assert run("export", "./a.json", "-o", "b.csv").exit_code == 0
    assert "No sessions in /proc/nowhere" in run("sessions").stdout
    assert "no session is recorded" in run("export", "last", "-o", "c.csv").stderr
    assert "no engine is running" in run("attach").stderr
    assert "set XDG_DATA_HOME to a folder that you own" in run("run", "probe", "-b", "sequential").stderr


_INTERRUPTED = """
import sys
from lbench.cli import main

class Interrupts:
    def find_spec(self, name, *_):
        if name == "lbench.cli.main":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupts())
main()
"""


def test_an_interrupt_before_anything_has_begun_is_no_traceback(home: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _INTERRUPTED], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (130, "")


def test_an_empty_name_is_no_session(home: Path) -> None:
    result = run("export", "", "-o", "a.json")
    assert (result.exit_code, result.stderr.count("\n")) == (
        2,
        1,
    ) and "the name of the session is empty" in result.stderr


def test_a_folder_is_no_output(home: Path) -> None:
    (home / "a.json").mkdir()
    result = run("run", "probe", "-o", "a.json")
    assert result.exit_code == 2 and "is a folder" in result.stderr


@pytest.mark.parametrize(
    ("leads_to", "why"), [("a.json", "a link that leads to itself"), ("none/b.json", "none does not exist")]
)
def test_a_link_that_leads_nowhere_is_found_before_the_run(home: Path, leads_to: str, why: str) -> None:
    (home / "a.json").symlink_to(home / leads_to)
    result = run("run", "probe", "-o", "a.json")
    assert result.exit_code == 2 and why in result.stderr and result.stderr.count("\n") == 1
    assert (home / "a.json").is_symlink()


def test_a_full_disk_is_found_before_the_run(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno
    import tempfile

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", full)
    result = run("run", "probe", "-o", "a.json")
    assert result.exit_code == 2 and "No space left" in result.stderr


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "not an lbench session"),
        (b"\x00\x01", "not an lbench session"),
        (b'{"format": "other"}', "not an lbench session"),
        (b'{"format": "lbench.session", "version": 99}', "newer lbench"),
        (b'{"format": "lbench.session", "version": 1, "id": 3}', "damaged"),
        (b'{"format": "lbench.session", "vers', "torn"),
        (b'{"event":"session","format":"lbench.journal","version":99}\n', "newer lbench"),
        (b'{"event":"session","oops":1}\n', "not an lbench journal"),
    ],
)
def test_a_file_that_is_no_session_is_refused(home: Path, content: bytes, expected: str) -> None:
    (home / "in.json").write_bytes(content)
    result = run("export", "./in.json", "-o", "out.json")
    assert result.exit_code == 2
    assert expected in result.stderr and result.stderr.count("\n") == 1
    assert not (home / "out.json").exists()


@pytest.mark.parametrize("where", ["config.toml", "environment"])
def test_a_wrong_setting_is_named_with_its_place(home: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    if where == "environment":
        monkeypatch.setenv("LBENCH_REPEATS", "none")
    else:
        (home / "config" / "lbench").mkdir(parents=True)
        (home / "config" / "lbench" / "config.toml").write_text("repeats = 'x'")
    result = run("run", "probe")
    assert result.exit_code == 2 and "must be a whole number from 1 to 10000 or auto, got" in result.stderr


def test_a_missing_package_is_named_with_its_cure(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "aioboto3" else real(name))
    result = run("run", "probe", "-b", "emulated:client=aioboto3")
    assert result.exit_code == 2 and "pip install aioboto3" in result.stderr


@pytest.mark.parametrize(
    ("line", "code", "expected"),
    [
        ("workloads <&-", 0, ""),
        ("workloads >&-", 0, ""),
        ("workloads nothing >&- 2>&-", 2, ""),
        ("run probe -b sequential --repeats 1 --json >&-", 0, ""),
        ("run function -p name=f -p payload=@- <&-", 2, "standard input holds no event"),
        ("destroy --stack a_b <&-", 2, "a_b"),
    ],
)
def test_closed_streams_are_empty_ones(home: Path, line: str, code: int, expected: str) -> None:
    done = subprocess.run(
        f"exec {sys.executable} -m lbench {line}", shell=True, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, "fault" in done.stderr) == (code, False), done.stderr
    assert expected in done.stderr
