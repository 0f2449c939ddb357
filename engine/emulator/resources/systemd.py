"""A delegated cgroup from systemd: a transient scope with `Delegate=yes`, into which it moves this process.

One call at the emulator's start instead of a `systemd-run` around each environment. Current desktops give each user
a manager that does this without a password. Not proven: the call is tested against a stand-in for busctl only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

__all__ = ["delegate", "manager"]

_ANSWER_LIMIT_S = 2.0
_MOVE_LIMIT_S = 1.0


def manager() -> str | None:
    """The systemd manager that answers: `--user` or (as root) `--system`; None: neither."""
    if shutil.which("busctl") is None or shutil.which("systemctl") is None:
        return None
    for which in ("--user", *(["--system"] if os.getuid() == 0 else [])):
        if _ask("systemctl", which, "--no-ask-password", "is-system-running") in ("running", "degraded", "starting"):
            return which
    return None


def delegate(which: str, proc: Path = Path("/proc")) -> bool:
    """Have that manager move this process into a delegated scope; whether it did."""
    before = _own(proc)
    pid = os.getpid()
    unit = f"lbench-emulator-{pid}.scope"
    reply = _ask(
        "busctl",
        which,
        "--quiet",
        "--allow-interactive-authorization=no",
        "call",
        "org.freedesktop.systemd1",
        "/org/freedesktop/systemd1",
        "org.freedesktop.systemd1.Manager",
        "StartTransientUnit",
        "ssa(sv)a(sa(sv))",
        *(unit, "fail", "2", "PIDs", "au", "1", str(pid), "Delegate", "b", "true", "0"),
    )
    end_s = time.monotonic() + _MOVE_LIMIT_S
    while reply is not None and time.monotonic() < end_s:  # the reply names a job; the move itself counts
        if _own(proc) != before:
            return True
        time.sleep(0.01)
    return False


def _own(proc: Path) -> str:
    try:
        return (proc / "self/cgroup").read_text()
    except OSError:
        return ""


def _ask(*argv: str) -> str | None:
    """The command's output; None: it failed. For systemctl an exit code other than 0 is no failure."""
    try:
        done = subprocess.run(  # it ends within the limit
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=_ANSWER_LIMIT_S, check=False, text=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return None if argv[0] == "busctl" and done.returncode else done.stdout.strip()
