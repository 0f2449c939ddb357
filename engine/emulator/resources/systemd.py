"""A cgroup of our own from systemd: a transient scope with `Delegate=yes`, into which it moves this process.

One call at the emulator's start instead of a `systemd-run` around each environment. Desktops of today give each user
a manager that does this without a password. Marked: the call is tested against a stand-in for busctl only, no machine
with a user manager having been at hand.
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
    """`--user` or (as root) `--system`, whichever of systemd's managers answers; None: neither."""
    if shutil.which("busctl") is None or shutil.which("systemctl") is None:
        return None
    for which in ("--user", *(["--system"] if os.getuid() == 0 else [])):
        if _ask("systemctl", which, "--no-ask-password", "is-system-running") in ("running", "degraded", "starting"):
            return which
    return None


def delegate(which: str, proc: Path = Path("/proc")) -> bool:
    """Have that manager move this process into a delegated scope of its own; whether it has."""
    before = _own(proc)
    pid = os.getpid()
    unit = f"lbench-emulator-{pid}.scope"
    told = _ask(
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
    while told is not None and time.monotonic() < end_s:  # its answer is a job; being moved is what counts
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
    """Its output; an exit code other than 0 is an answer too, for systemctl; for busctl it is none."""
    try:
        done = subprocess.run(  # it ends within the limit: no child to look after
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=_ANSWER_LIMIT_S, check=False, text=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return None if argv[0] == "busctl" and done.returncode else done.stdout.strip()
