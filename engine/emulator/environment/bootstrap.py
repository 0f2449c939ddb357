"""The first code in an environment: it ties the process to the emulator's life, then becomes awslambdaric.

It is run as a script (`python -S -P bootstrap.py HANDLER CLIENT`) and imports neither lbench nor anything
heavy: every millisecond here is part of each cold start.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys


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


def _own_tmp(folder: str) -> None:
    """Mount the environment's folder at /tmp, for this process and its children alone.

    The calls go through the C module under ctypes, whose own import would take twice as long. Where the system
    refuses, only TMPDIR names the folder.
    """
    import _ctypes

    class Int(_ctypes._SimpleCData):  # type: ignore[type-arg]
        _type_ = "i"

    class Function(_ctypes.CFuncPtr):
        _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO
        _restype_ = Int

    library = _ctypes.dlopen(None, 2)  # type: ignore[arg-type]  # RTLD_NOW; None is this process itself

    def call(name: str, *arguments: object) -> bool:
        return Function(_ctypes.dlsym(library, name))(*arguments) == 0  # type: ignore[no-any-return]

    uid, gid = os.getuid(), os.getgid()
    namespace, user = 0x20000, 0x10000000  # CLONE_NEWNS, CLONE_NEWUSER
    if not (uid == 0 and call("unshare", namespace)):
        if not call("unshare", namespace | user):
            return
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123
                file.write(text)
        call("prctl", 4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: cleared by new credentials, and the guardian reads /proc
    private = 0x4000 | 0x40000  # MS_REC, MS_PRIVATE: our mounts stay here
    if call("mount", b"none\0", b"/\0", None, private, None) and call(
        "mount",
        folder.encode() + b"\0",
        b"/tmp\0",
        None,
        0x1000,
        None,  # MS_BIND
    ):
        for name in ("TMPDIR", "HOME"):  # as on Lambda
            os.environ.pop(name, None)
    if uid != 0:  # in a user namespace of its own, the limit on processes is its own too
        import resource

        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NPROC, (742, 742))


def _load_sibling(name: str) -> None:
    """Load a module beside this file under its bare name (this folder must not be on the path)."""
    import importlib.util

    spec = importlib.util.spec_from_file_location(name, os.path.join(os.path.dirname(__file__), f"{name}.py"))  # noqa: PTH118, PTH120
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


def main() -> None:
    """Run the function's runtime until it ends."""
    _end_with_emulator()
    folder = os.environ.pop("LBENCH_OWN_TMP", "")
    if folder:
        with contextlib.suppress(OSError, ImportError, AttributeError):
            _own_tmp(folder)
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
