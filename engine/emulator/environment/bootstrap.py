"""The first code in an environment: it ties the process to the emulator's life, then becomes awslambdaric.

It is run as a script (`python -S -P bootstrap.py HANDLER CLIENT`) and imports neither lbench nor anything
heavy: every millisecond here is part of each cold start.
"""

from __future__ import annotations

import importlib
import json
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _end_with_emulator() -> None:
    """End this process with the emulator, which alone holds the other end of the pipe at standard input.

    On Linux the kernel kills the whole group when that end closes (frozen processes and the function's children
    too): a signal-driven pipe, F_SETSIG = SIGKILL. Where the kernel refuses, PDEATHSIG; on other systems a thread
    watches.
    """
    parent = int(os.environ.pop("LBENCH_PARENT_PID", "0"))
    wrapped = (
        "AWS_LAMBDA_EXEC_WRAPPER" in os.environ
    )  # then the wrapper may be the emulator's child and the group's leader
    null = os.open(os.devnull, os.O_RDONLY)
    if sys.platform == "linux":
        import fcntl

        pipe = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 100)
        try:
            group = os.getpgrp()
            fcntl.fcntl(pipe, fcntl.F_SETOWN, -group if wrapped or group == os.getpid() else os.getpid())
            fcntl.fcntl(pipe, 10, 9)  # F_SETSIG, SIGKILL
            fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)
        except OSError:
            import ctypes

            ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG, SIGKILL
        if parent and not wrapped and os.getppid() != parent:  # the emulator died before the lines above
            os._exit(1)
    else:
        import threading

        pipe = os.dup(0)

        def watch() -> None:
            while os.read(pipe, 4096):
                pass
            os.killpg(os.getpgrp(), 9)

        threading.Thread(target=watch, name="lifeline", daemon=True).start()
    os.dup2(null, 0)  # a function that reads its standard input finds it empty, as on Lambda
    os.close(null)


def _load_sibling(name: str) -> Any:
    """Load a module beside this file under its bare name (this folder must not be on the path)."""
    from _frozen_importlib_external import SourceFileLoader

    loader = SourceFileLoader(name, os.path.join(os.path.dirname(__file__), f"{name}.py"))  # noqa: PTH118, PTH120
    module: Any = type(sys)(name)
    module.__file__ = loader.path
    sys.modules[name] = module
    code: Any = loader.get_code(name)
    exec(code, module.__dict__)
    return module


def _enter_room(plan: dict[str, Any]) -> None:
    """Confine this process to what an environment on Lambda sees, and end it where that fails."""
    isolation = _load_sibling("isolation")
    try:
        isolation.enter(plan)
    except OSError as error:
        os.write(2, f"lbench: this environment cannot be isolated: {error}\n".encode())
        os._exit(1)
    for path in [path for path, finder in sys.path_importer_cache.items() if finder is None]:
        del sys.path_importer_cache[path]  # it was not there before
    if not plan["semaphores"]:
        isolation.refuse_semaphores()


def main() -> None:
    """Run the function's runtime until it ends."""
    wrapper = sys.argv[3:]
    if not wrapper:
        _end_with_emulator()
    room = os.environ.pop("LBENCH_ROOM", "")
    if room and sys.platform == "linux":
        plan = json.loads(room)
        _enter_room(plan)
    if wrapper:  # the function's own command, which starts this script again
        if room:
            os.environ["LBENCH_ROOM"] = json.dumps(plan | {"namespaces": [], "covers": [], "user": None})
        os.execv(wrapper[0], [*wrapper, *sys.orig_argv[: -len(wrapper)]])
    # The guardian's mark stays in the process's own list, which its children inherit.
    os.environ._data.pop(b"LBENCH_GUARDED", None)  # type: ignore[attr-defined]
    os.environ["_LAMBDA_TELEMETRY_LOG_FD"] = str(os.dup(1))  # records come framed, in the order of all output
    handler, client = sys.argv[1:3]
    sys.argv = ["bootstrap", handler]
    if client == "awslambdaric":
        try:
            importlib.import_module("runtime_client")  # awslambdaric's C++ client
        except ImportError:
            client = "python"
    if client != "awslambdaric":
        _load_sibling("runtime_client")
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
