"""A machine that lacks something has one line with the remedy: a short socket path, files, the loopback interface."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

RUN = ["run", "probe", "--tasks", "2", "--repeats", "1", "--quiet"]


def lbench_on(
    home: Path, *args: str, prepare: Callable[[], None] | None = None, prefix: tuple[str, ...] = (), **env: str
) -> subprocess.CompletedProcess[str]:
    argv = [*prefix, sys.executable, "-m", "lbench", *args]
    return subprocess.run(
        argv,
        capture_output=True,
        text=True,
        timeout=180,
        cwd=home,
        env=os.environ | env,
        check=False,
        preexec_fn=prepare,
    )


def test_a_folder_that_is_too_long_for_sockets_is_one_line(home: Path, tmp_path: Path) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir(mode=0o700)
    done = lbench_on(home, *RUN, "-b", "sequential", XDG_RUNTIME_DIR=str(long))
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2 and "XDG_RUNTIME_DIR is too long for a socket" in line and "to a shorter folder" in line


def test_few_open_files_are_one_line_with_the_number_that_is_needed(home: Path) -> None:
    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    assert lbench_on(home, *RUN, "-b", "sequential", prepare=few).returncode == 0
    done = lbench_on(home, *RUN, "-b", "emulated:concurrency=2", prepare=few)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if "open files" in line]
    assert done.returncode in (1, 2) and "Traceback" not in done.stderr
    assert lines and all(
        "2 environments at once need at least 98 open files, but the limit is 64" in one for one in lines
    )
    assert "raise it with `ulimit -n 260`, or lower --concurrency" in lines[0]


def test_doctor_names_what_a_run_would_refuse(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too few open files, and a folder that is too long for a socket: in the words of the run that fails."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")  # doctor does not ask AWS then
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    long = tmp_path / ("x" * 100)
    long.mkdir(mode=0o700)
    done = lbench_on(home, "doctor", prepare=few, XDG_RUNTIME_DIR=str(long), COLUMNS="1000")
    found = {line[2:19].strip(): line for line in done.stdout.splitlines() if line.startswith("✘")}
    assert done.returncode == 1
    assert "open files, but the limit is 64: raise it with `ulimit -n " in found["open files"]
    assert "XDG_RUNTIME_DIR is too long for a socket" in found["sockets"]


def test_a_loopback_interface_that_is_down_is_one_line(home: Path) -> None:
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-rn", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no network namespace can be made here")
    done = lbench_on(home, *RUN, "-b", "emulated", prefix=(unshare, "-rn"))
    text = done.stdout + done.stderr
    assert done.returncode in (1, 2) and "Traceback" not in text
    assert "127.0.0.1 cannot be reached" in text and "`ip link set lo up`" in text
    done = lbench_on(home, "emulator", prefix=(unshare, "-rn"))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("lbench: 127.0.0.1 cannot be reached") and "`ip link set lo up`" in done.stderr


def test_no_file_is_left_unclosed(home: Path) -> None:
    argv = [sys.executable, "-X", "dev", "-W", "error", "-m", "lbench", *RUN, "-b", "sequential", "-b", "processes"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=180, cwd=home, check=False)
    assert done.returncode == 0 and "ResourceWarning" not in done.stderr and "Traceback" not in done.stderr


def test_a_umask_that_takes_the_owners_rights_is_one_line_and_nothing_is_written(home: Path) -> None:
    def closed() -> None:
        os.umask(0o777)

    for args in ([*RUN, "-b", "sequential"], ["check", "probe"]):
        done = lbench_on(home, *args, prepare=closed, TMPDIR=str(home))
        assert (done.returncode, done.stdout, list(home.iterdir())) == (2, "", [])
        assert done.stderr == (
            "lbench: the umask is 0777: new files would be closed to you, too; run `umask 077` first\n"
        )


_NO_THREAD = """import threading
def refuse(*_, **__):
    raise RuntimeError("can't start new thread")
threading.Thread.start = refuse
"""
_NO_FORK = """import errno, subprocess
def refuse(*_, **__):
    raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
subprocess.Popen._execute_child = refuse
"""


@pytest.mark.parametrize("code", [_NO_THREAD, _NO_FORK], ids=["thread", "fork"])
@pytest.mark.parametrize("module", ["lbench.engine", "lbench"])
def test_no_more_processes_are_one_line_with_the_limit_to_raise(home: Path, code: str, module: str) -> None:
    """Root has no such limit: what the system would raise is raised here, in the engine or in the command."""
    startup = home / "startup"
    startup.mkdir()
    indented = "".join(f"    {line}\n" for line in code.splitlines())
    (startup / "sitecustomize.py").write_text(f"import sys\nif '{module}' in sys.orig_argv:\n{indented}")
    done = lbench_on(home, *RUN, "-b", "processes", PYTHONPATH=str(startup))
    if done.returncode == 0:
        assert code == _NO_THREAD and module == "lbench"  # the command needs none
        return
    lines = [line for line in (done.stdout + done.stderr).splitlines() if "ulimit -u" in line]
    assert lines and all("no more processes or threads can be started" in line for line in lines), done.stderr
    assert done.returncode in (1, 2) and "see engine.log" not in done.stdout + done.stderr


@pytest.mark.parametrize("name", ["check", "run"])
def test_without_a_folder_for_temporary_files_there_is_one_line(home: Path, name: str) -> None:
    """All of them read-only: here by Python's own search for one, and by a runtime folder that cannot be made."""
    startup = home / "startup"
    startup.mkdir()
    (startup / "sitecustomize.py").write_text(
        "import errno, pathlib, tempfile\n"
        "def none():\n"
        "    raise FileNotFoundError(errno.ENOENT, 'No usable temporary directory found in [...]')\n"
        "tempfile._get_default_tempdir = none\n"
        "make = pathlib.Path.mkdir\n"
        "def mkdir(self, *given, **more):\n"
        "    if str(self).startswith('/tmp/lbench-'):\n"
        "        raise OSError(errno.EROFS, 'Read-only file system')\n"
        "    return make(self, *given, **more)\n"
        "pathlib.Path.mkdir = mkdir\n"
    )
    args = [*RUN, "-b", "sequential"] if name == "run" else [name, "probe", "--tasks", "2"]
    with tempfile.TemporaryDirectory(prefix="lb-", dir="/tmp") as data:  # short: sockets lie there
        done = lbench_on(home, *args, PYTHONPATH=str(startup), XDG_RUNTIME_DIR="", XDG_DATA_HOME=data)
    assert done.returncode == (1 if name == "run" else 2)  # sockets lie beside the sessions: the engine has begun
    assert "lbench: no folder for temporary files can be written: set TMPDIR to one that can" in done.stderr
    assert "Errno" not in done.stderr
