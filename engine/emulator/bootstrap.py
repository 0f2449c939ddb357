"""The first thing that runs in an environment: make it end with the emulator, then be awslambdaric.

It is run as a script (`python -S -P bootstrap.py HANDLER CLIENT`) and imports nothing of lbench, nor anything
heavy: every millisecond here is in each cold start.
"""

from __future__ import annotations

import importlib
import os
import sys


def _end_with_emulator() -> None:
    """Standard input is a pipe whose other end only the emulator holds.

    On Linux the kernel itself kills the whole group when that end closes (frozen ones too, and what the
    function has started): a signal-driven pipe, F_SETSIG = SIGKILL. Where it refuses, PDEATHSIG; on other
    systems a thread watches.
    """
    parent = int(os.environ.pop("LBENCH_PARENT_PID", "0"))
    null = os.open(os.devnull, os.O_RDONLY)
    if sys.platform == "linux":
        import fcntl

        pipe = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 100)
        try:
            fcntl.fcntl(pipe, fcntl.F_SETOWN, -os.getpgrp() if os.getpgrp() == os.getpid() else os.getpid())
            fcntl.fcntl(pipe, 10, 9)  # F_SETSIG, SIGKILL
            fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)
        except OSError:
            import ctypes

            ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG, SIGKILL
        if parent and os.getppid() != parent:  # it died before the lines above
            os._exit(1)
    else:
        import threading

        pipe = os.dup(0)

        def watch() -> None:
            while os.read(pipe, 4096):
                pass
            os.killpg(os.getpgrp(), 9)

        threading.Thread(target=watch, name="lifeline", daemon=True).start()
    os.dup2(null, 0)  # a function that reads its standard input finds nothing there, as on Lambda
    os.close(null)


def _ours(name: str) -> None:
    """Load a module that lies beside this file, under its bare name (this folder must not be on the path)."""
    import importlib.util

    spec = importlib.util.spec_from_file_location(name, os.path.join(os.path.dirname(__file__), f"{name}.py"))  # noqa: PTH118, PTH120
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


def main() -> None:
    """Run the function's runtime until it ends."""
    _end_with_emulator()
    handler, client = sys.argv[1:3]
    sys.argv = ["bootstrap", handler]
    if client == "awslambdaric":
        try:
            importlib.import_module("runtime_client")  # awslambdaric's C++ client
        except ImportError:
            client = "python"
    if client != "awslambdaric":
        _ours("runtime_client")
    if client != "plain":
        try:
            from awslambdaric.__main__ import main as awslambdaric
        except ImportError:
            pass
        else:
            awslambdaric(sys.argv)
            return
    sys.modules["runtime_client"].run(handler)


if __name__ == "__main__":
    main()
