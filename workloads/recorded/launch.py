"""Runs a script as it would run by itself, with the hooks in its process; ends as the script ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ["die_as", "run_script"]

_STARTUP = Path(__file__).resolve().parent / "startup"
_KERNEL = 0x80  # si_code of a signal that the terminal sends, which the script gets by itself
_FORWARDED = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGALRM")


def run_script(
    words: Sequence[str],
    folder: Path,
    before: Callable[[], None] = lambda: None,
    meanwhile: Callable[[], object] = lambda: None,
) -> int:
    """Run `python WORDS...` and return its exit code; minus a signal's number where that ended it.

    `before`: called in the new process, before Python begins there; `meanwhile`: called here, while it begins.
    """
    environ = dict(os.environ)
    environ["LBENCH_RECORD_TO"] = str(folder)
    path = environ.get("PYTHONPATH")
    if path is not None:
        environ["LBENCH_RECORD_PYTHONPATH"] = path
    environ["PYTHONPATH"] = os.pathsep.join([str(_STARTUP), *([path] if path else [])])
    signals = {getattr(signal, name) for name in _FORWARDED if hasattr(signal, name)}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signals | {signal.SIGCHLD})

    def begin() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        before()

    try:
        process = subprocess.Popen([sys.executable, *words], env=environ, preexec_fn=begin)
        meanwhile()
        return _wait(process, signals)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _wait(process: subprocess.Popen[bytes], signals: set[signal.Signals]) -> int:
    """Pass signals on until the script has ended. One that the terminal sent has reached it already."""
    if not hasattr(signal, "sigwaitinfo"):  # macOS
        for one in signals - {signal.SIGINT, signal.SIGQUIT}:
            signal.signal(one, lambda number, _: process.send_signal(number))
        for one in (signal.SIGINT, signal.SIGQUIT):
            signal.signal(one, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
        return process.wait()
    while (code := process.poll()) is None:
        got = signal.sigwaitinfo(signals | {signal.SIGCHLD})
        if got.si_signo != signal.SIGCHLD and got.si_code != _KERNEL:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(got.si_signo)
    return code


def die_as(code: int) -> None:
    """End this process by the signal that has ended the script (an exit code below 0)."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the script's own is enough
    with contextlib.suppress(OSError, ValueError):  # SIGKILL has no handler to reset
        signal.signal(-code, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {-code})
    os.kill(os.getpid(), -code)
