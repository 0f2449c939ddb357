"""Nothing is left behind: one process of a run is killed at a random moment, whichever it is.

Each round is the real command in folders of its own, killed with -9 somewhere; its seed is its number, which is printed
with what happened. What must go with the victim is gone within 3 s, all the rest within 3 s of the command's own end, and
the session opens.
"""

from __future__ import annotations

import contextlib
import os
import pty
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lbench.cli.documents import document_of
from lbench.engine.emulator.resources.cgroups import find
from lbench.engine.journal.writer import JOURNAL_NAME
from lbench.engine.session.view import SessionView, load_folder

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it looks into /proc")

WITHIN_S = 3.0
STREAMS = ("stdin", "stdout", "stderr")
ALTOGETHER = 200  # rounds; the first of each plan are no slow tests
END_LIMIT_S = 90.0  # of a whole round: a machine may be busy

EMULATED = ("-b", "emulated:memory=885,concurrency=2")
BY_DUTY_CYCLE = ("-b", "emulated:memory=885,concurrency=2,cpu_share=duty-cycle")
LOCAL = ("-b", "processes:concurrency=2")
SPIN = ("-p", "kind=spin", "-p", "seconds=0.03", "--tasks", "50")
CARRY = ("-p", "kind=carry", "-p", "size_bytes=5000000", "--tasks", "4")  # more than an invocation takes: by S3
SPAWN = ("-p", "kind=spawn", "-p", "seconds=CHILD", "--tasks", "6")

# What a kind's command line holds; the first that fits.
KINDS = {
    "emulator": "lbench.engine.emulator",
    "workers' guardian": "workers",
    "guardian": "guardian.py",
    "environment": "bootstrap.py",
    "S3 server": "lbench.engine.backends.lambda_.embedded_s3",
    "worker": "lbench.engine.backends.local.worker",
    "check": "lbench.engine.verify.reference_process",
    "engine": "lbench.engine",
    "launcher": "lbench",
    "child": "sleep",
}
# (what runs, who of it is killed)
PLANS: list[tuple[tuple[str, ...], str]] = [
    (SPIN + LOCAL + EMULATED, "launcher"),
    (SPIN + EMULATED, "engine"),
    (SPIN + EMULATED + LOCAL, "emulator"),
    (SPIN + BY_DUTY_CYCLE, "emulator"),
    (SPIN + EMULATED, "environment"),
    (SPIN + BY_DUTY_CYCLE, "environment"),
    (CARRY + EMULATED, "S3 server"),
    (SPIN + LOCAL, "worker"),
    (SPIN + EMULATED, "guardian"),
    (SPAWN + EMULATED, "emulator"),
    (SPAWN + BY_DUTY_CYCLE, "environment"),
    (SPAWN + EMULATED, "engine"),
    (CARRY + EMULATED, "emulator"),
    (CARRY + EMULATED, "engine"),
    (CARRY + LOCAL, "check"),
    (SPAWN + EMULATED, "child"),
    (SPAWN + LOCAL, "engine"),
    (SPAWN + BY_DUTY_CYCLE, "launcher"),
    (CARRY + EMULATED, "environment"),
    (SPIN + LOCAL, "workers' guardian"),
    (SPIN + LOCAL + EMULATED, "any"),
]
SHORT_LIVED = {"check", "child"}
SURVIVED = {
    "environment",
    "worker",
    "workers' guardian",
    "guardian",
    "check",
    "child",
}  # the run ends well all the same
GOES_WITH = {  # of these kinds nothing is left when the victim has gone; the command's other parts go on
    "launcher": set(KINDS),
    "engine": set(KINDS) - {"launcher"},
    "emulator": {"emulator", "guardian", "environment", "child"},
}


@dataclass
class Round:
    """One command in a folder of its own, whose path is in the environment of each process of ours.

    What a task starts on emulated Lambda has none of our variables: it is known by its argument.
    """

    home: Path
    process: subprocess.Popen[bytes]
    child: list[str]
    emulators: set[int] = field(default_factory=set)
    kinds: set[str] = field(default_factory=set)  # that were ever seen
    sockets: set[str] = field(default_factory=set)  # inodes of those that were ever seen

    def living(self) -> dict[int, str]:
        """Its processes, each with its kind; the dead who wait for their parent have no environment any more."""
        found = {}
        wanted = str(self.home).encode()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                if words[:2] == self.child or wanted in (entry / "environ").read_bytes():
                    pid = int(entry.name)
                    kind = self._kind(pid, words)
                    forked = kind == "launcher" and pid != self.process.pid  # it has not become another program yet
                    found[pid] = "starting" if forked else kind
                    for descriptor in (entry / "fd").iterdir():
                        with contextlib.suppress(OSError):
                            to = str(descriptor.readlink())
                            if to.startswith("socket:["):
                                self.sockets.add(to[8:-1])
        self.kinds |= set(found.values())
        self.emulators |= {pid for pid, kind in found.items() if kind == "emulator"}
        return found

    @staticmethod
    def _kind(pid: int, words: list[str]) -> str:
        for kind, word in KINDS.items():
            if any(part == word or part.endswith(f"/{word}") for part in words):
                return kind
        return " ".join(words)

    def listening(self) -> list[str]:
        """Ports that are listened to by a socket that was a process's of this round."""
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return [words[1] for words in lines if words[3] == "0A" and words[9] in self.sockets]

    def cgroups(self) -> list[str]:
        """Folders of cgroups that its emulators have made."""
        places = [place for place in (find("cpu"), find("memory")) if place is not None]
        return [
            str(folder)
            for place in places
            for pid in self.emulators
            for folder in Path(place.folder).glob(f"lbench-*-{pid}-*")
        ]

    def temporary(self) -> list[str]:
        """Temporary folders and files, sockets, and what points to an engine."""
        left = [path for path in (self.home / "t").rglob("*") if path.name != ".lock"]
        left = [path for path in left if path != self.home / "t" / f"lbench-emulator-{os.getuid()}"]
        left += (self.home / "r").glob("lbench/*")
        for folder in self.sessions():
            left += [*folder.glob("check-*"), *folder.glob("engine.json")]
        return [str(path) for path in left]

    def sessions(self) -> list[Path]:
        folder = self.home / "d" / "lbench" / "sessions"
        return list(folder.iterdir()) if folder.is_dir() else []

    def output(self) -> str:
        """What the command has written to its standard error."""
        return (self.home / "err").read_text(errors="replace")


@pytest.fixture(scope="session")
def cache() -> Iterator[Path]:
    """Not in /tmp: an environment has a /tmp of its own only where its code is elsewhere."""
    folder = Path(tempfile.mkdtemp(prefix="lbench-test-", dir="/var/tmp" if os.access("/var/tmp", os.W_OK) else None))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def running(
    arguments: tuple[str, ...],
    cache: Path,
    *,
    argv: list[str] | None = None,
    terminal: int | None = None,
    **more: str,
) -> Iterator[Round]:
    """A round of `lbench run`, or of another program (`argv`) on a terminal."""
    home = Path(tempfile.mkdtemp(prefix="lk-", dir="/tmp"))  # short: a socket's path has at most 104 bytes
    for name in ("t", "r"):
        (home / name).mkdir(mode=0o700)
    environment = os.environ | {
        "XDG_DATA_HOME": str(home / "d"),
        "XDG_CONFIG_HOME": str(home / "c"),
        "XDG_RUNTIME_DIR": str(home / "r"),
        "XDG_CACHE_HOME": str(cache),
        "TMPDIR": str(home / "t"),
        "PATH": f"{os.environ['PATH']}:{home}",  # the one variable that the guardian keeps
        **more,
    }
    seconds = str(600 + time.time_ns() % 10**9 / 10**9)  # no other process sleeps as long
    given = [word.replace("CHILD", seconds) for word in arguments]
    argv = argv or [sys.executable, "-m", "lbench", "run", "probe", "--repeats", "1", *given]
    with (home / "out").open("wb") as out, (home / "err").open("wb") as err:
        streams = {"stdout": out, "stderr": err} if terminal is None else dict.fromkeys(STREAMS, terminal)
        process = subprocess.Popen(argv, **streams, cwd=home, env=environment, start_new_session=True)
    one = Round(home, process, ["sleep", seconds])
    try:
        yield one
    finally:
        process.kill()
        process.wait()
        for pid in one.living():  # what a failed round has left
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(home, ignore_errors=True)


def look(one: Round, moment: random.Random, victim: str) -> tuple[int, str] | None:
    """(process, kind) to be killed now; None: the command ended before its moment came."""
    after_s: float | None = moment.uniform(0.0, 3.0) if victim == "any" else None
    since_s = time.monotonic()
    while one.process.poll() is None:
        living = one.living()
        if after_s is None and victim in living.values():
            since_s, after_s = time.monotonic(), moment.choice([0.0, 0.1, 1.0, 2.0]) * moment.random()
            if victim in SHORT_LIVED:
                after_s /= 10
        if after_s is not None and time.monotonic() - since_s >= after_s:
            there = sorted(pid for pid, kind in living.items() if kind == victim) or sorted(living)
            if there:
                pid = moment.choice(there)
                return pid, living[pid]
        time.sleep(0.01)  # a random moment is what is waited for
    return None


def gone(one: Round, kinds: set[str], end_s: float) -> dict[int, str]:
    """What is left of these kinds when their time is over."""
    while left := {pid: kind for pid, kind in one.living().items() if kind in kinds}:
        if time.monotonic() > end_s:
            break
        time.sleep(0.02)
    return left


def nothing_left(one: Round, end_s: float) -> None:
    """No process, port, cgroup or temporary folder."""
    while left := {
        name: found
        for name, found in {
            "processes": one.living(),
            "ports": one.listening(),
            "cgroups": one.cgroups(),
            "temporary": one.temporary(),
        }.items()
        if found
    }:
        assert time.monotonic() < end_s, left
        time.sleep(0.02)


def opened(one: Round) -> SessionView | None:
    """The session as a reader sees it; None: the command was killed before its engine had begun one."""
    for folder in one.sessions():
        journal = folder / JOURNAL_NAME
        if not journal.exists() or b"\n" not in journal.read_bytes():
            continue
        view = load_folder(folder)
        assert document_of(view).id == folder.name
        log = folder / "engine.log"
        assert not log.exists() or "Traceback" not in log.read_text(), log.read_text()
        return view
    return None


def play(number: int, cache: Path) -> str:
    """One round; returns what happened in it, in one line."""
    moment = random.Random(number)
    arguments, wanted = PLANS[number % len(PLANS)]
    with running(arguments, cache) as one:
        hit = look(one, moment, wanted)
        kind = "nobody"
        if hit is not None:
            kind = hit[1]
            with contextlib.suppress(ProcessLookupError):
                os.kill(hit[0], signal.SIGKILL)
            killed_s = time.monotonic()
            if kind in GOES_WITH:
                assert gone(one, GOES_WITH[kind], killed_s + WITHIN_S) == {}
            if kind == "launcher":
                nothing_left(one, killed_s + WITHIN_S)
        code = one.process.wait(END_LIMIT_S)
        assert wanted == "any" or wanted in one.kinds, f"no {wanted} was seen among {one.kinds}"
        nothing_left(one, time.monotonic() + WITHIN_S)
        view, output = opened(one), one.output()
        assert "Traceback" not in output, output
        statuses = {} if view is None else {run.planned.run: run.status for run in view.runs.values()}
        what = f"{' '.join(arguments)}: killed {kind}: exit {code}, {statuses}: {output.strip().splitlines()[-1:]}"
        if kind == "launcher":
            assert code == -signal.SIGKILL, what
        elif kind in SURVIVED or kind == "nobody":
            assert code == 0, f"{what}\n{output}"
            assert set(statuses.values()) == {"ok"}, what
        else:  # it may have been killed after its work was done
            assert code in (0, 1), f"{what}\n{output}"
            assert code == 0 or any(word in output for word in ("lbench: ", "✘ failed: ", "warning: ")), output
        return f"seed {number}: {what}"


@pytest.mark.parametrize("number", range(len(PLANS)))
def test_after_any_kill_nothing_is_left_and_the_session_opens(number: int, cache: Path) -> None:
    print(play(number, cache))


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(PLANS), ALTOGETHER))
def test_after_a_kill_at_other_moments_nothing_is_left(number: int, cache: Path) -> None:
    print(play(number, cache))


# Plays the two keys, and prints when tasks return; it is the one that is killed.
SCREENS = """
import os, pty, sys
from lbench.engine.plan.parse import parse_backend
from lbench.engine.plan.plan import Plan
from lbench.tui.main import run
params = {"kind": "spin", "seconds": 0.03}
backends = [parse_backend(name, {}) for name in ("processes:concurrency=2", "emulated:memory=885,concurrency=2")]
plan = Plan(workload="probe", params=params, tasks=50, repeats=3, backends=backends)
run(plan=plan, on_hangup="stop")
"""


def keys_pressed(master: int, one: Round) -> None:
    """Have a terminal's program start its plan, reading all that it draws, until a task has returned."""
    seen, keys = b"", [(b"quit", b"r"), (b"start", b"\r")]
    while one.process.poll() is None:
        if select.select([master], [], [], 0.05)[0]:
            seen += os.read(master, 1 << 16)
        if keys and keys[0][0] in seen:
            os.write(master, keys.pop(0)[1])
            seen = b""
        if any(b'"returned"' in path.read_bytes() for path in (one.home / "d").rglob(JOURNAL_NAME)):
            return
    raise AssertionError("the screens have ended")


@pytest.mark.parametrize("number", range(3))
def test_killed_screens_take_a_run_with_them_that_shall_stop(number: int, cache: Path) -> None:
    moment = random.Random(number)
    master, slave = pty.openpty()
    terminal = {"TERM": "xterm-256color"}
    with running((), cache, argv=[sys.executable, "-P", "-c", SCREENS], terminal=slave, **terminal) as one:
        os.close(slave)
        try:
            keys_pressed(master, one)
            time.sleep(moment.uniform(0.0, 0.5))  # a random moment is what is waited for
            one.living()
            one.process.kill()
            nothing_left(one, time.monotonic() + WITHIN_S)
        finally:
            os.close(master)
        view = opened(one)
        assert view is not None and view.end is not None and not view.end.complete
