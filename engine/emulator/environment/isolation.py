"""An environment's view of the machine, made by the environment's own process before it loads the function.

Like bootstrap.py, which loads it, it imports neither lbench nor anything heavy. A plan comes from `resources/sandbox.py`:

    namespaces  descriptors of an ended environment's namespaces, whose place this one takes; else empty
    covers      folders that are hidden
    keeps       [source, target]: what is visible nevertheless, and what is shown elsewhere
    folders     empty folders that are made
    tmp_mb      the size of /tmp
    user        the user and group to become; null: stay
    semaphores  whether multiprocessing may have them

Afterwards everything but /tmp is read-only, there is no /dev/shm, and the code is /var/task.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["can_unshare", "enter", "refuse_semaphores"]

_NEW_MOUNTS, _NEW_USER = 0x20000, 0x10000000
_READ_ONLY, _NO_SUID, _NO_DEVICES, _REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 1, 2, 4, 0x20, 0x1000, 0x4000, 0x40000
_MOUNT_SETATTR = 442  # the same number on every architecture
_AT_RECURSIVE = 0x8000
_DUMPABLE, _SUBREAPER = 4, 36  # options of prctl
_LINKS = (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2"))
_LOCKED = {"ro": 1, "nosuid": 2, "nodev": 4, "noexec": 8, "noatime": 1024, "nodiratime": 2048, "relatime": 1 << 21}
_NOT_IMPLEMENTED = 38
_CAPABILITIES_3 = 0x20080522  # the version of the kernel's structures


def _caller() -> Callable[..., None]:
    """A function that calls the C library and raises OSError.

    It goes through the C module under ctypes, whose own import would take twice as long.
    """
    import _ctypes

    class Int(_ctypes._SimpleCData):  # type: ignore[type-arg]
        _type_ = "i"

    class Function(_ctypes.CFuncPtr):
        _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO
        _restype_ = Int

    library = _ctypes.dlopen(None, 2)  # type: ignore[arg-type]  # RTLD_NOW; None is this process itself

    def call(name: str, *arguments: object) -> None:
        given = [value.encode() + b"\0" if isinstance(value, str) else value for value in arguments]
        if Function(_ctypes.dlsym(library, name))(*given) != 0:
            number = _ctypes.get_errno()
            raise OSError(number, f"{name}: {os.strerror(number)}")

    return call


def _unshare(call: Callable[..., None]) -> None:
    """A mount namespace of its own; in a user namespace of its own, where this user is not root."""
    uid, gid = os.getuid(), os.getgid()
    if uid == 0:
        call("unshare", _NEW_MOUNTS)
        return
    call("unshare", _NEW_MOUNTS | _NEW_USER)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123
            file.write(text)


def can_unshare() -> bool:
    """Whether this machine allows it, tried in a process that ends at once."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            call = _caller()
            _unshare(call)
            call("mount", "none", "/", None, _RECURSIVE | _PRIVATE, None)
            call("mount", "none", "/tmp", "tmpfs", _NO_SUID | _NO_DEVICES, "size=1m")
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1] == 0


def enter(plan: dict[str, Any]) -> None:
    """Carry out the plan for this process and its children.

    Raises:
        OSError: the system refuses a step.
    """
    call = _caller()
    if plan["namespaces"]:
        for descriptor in plan["namespaces"]:
            call("setns", descriptor, 0)
            os.close(descriptor)
    elif plan["covers"]:
        _unshare(call)
        os.umask(0o022)
        _mount_all(call, plan)
    if plan["covers"]:
        os.chdir("/var/task")
    user = plan["user"]
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    elif (
        os.getuid() != 0 and plan["covers"]
    ):  # a new user namespace gives all: they would read files whatever their modes
        call("capset", _CAPABILITIES_3.to_bytes(4, sys.byteorder) + bytes(4), bytes(24))
    call("prctl", _DUMPABLE, 1, 0, 0, 0)  # cleared by new credentials; the guardian and the function read /proc
    call("prctl", _SUBREAPER, 1, 0, 0, 0)  # what the function leaves without a parent stays in this process's tree
    if os.getuid() != 0 and user is None and plan["covers"]:  # the limit is this user namespace's own
        import resource

        resource.setrlimit(resource.RLIMIT_NPROC, (742, 742))


def _mount_all(call: Callable[..., None], plan: dict[str, Any]) -> None:
    call("mount", "none", "/", None, _RECURSIVE | _PRIVATE, None)  # our mounts stay here
    opened = [(os.open(source, os.O_PATH | os.O_CLOEXEC), source, target) for source, target in plan["keeps"]]
    for path in plan["covers"]:
        if path != "/tmp":
            call("mount", "none", path, "tmpfs", _NO_SUID | _NO_DEVICES, "mode=755,size=1m")
    for path in plan["folders"]:
        os.makedirs(path, exist_ok=True)  # noqa: PTH103
    for entry in opened:
        if not entry[2].startswith("/tmp/"):
            _show(call, *entry)
    for name, number in _LINKS:
        os.symlink(f"/proc/self/fd{number}", f"/dev/{name}")  # noqa: PTH211
    _make_read_only(call)
    call("mount", "none", "/tmp", "tmpfs", _NO_SUID | _NO_DEVICES, f"mode=1777,size={plan['tmp_mb']}m")
    for entry in opened:
        if entry[2].startswith("/tmp/"):
            _show(call, *entry)
        os.close(entry[0])


def _show(call: Callable[..., None], descriptor: int, source: str, target: str) -> None:
    if not os.path.exists(target):  # noqa: PTH110
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):  # noqa: PTH112
            os.makedirs(target)  # noqa: PTH103
        else:
            os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    call("mount", f"/proc/self/fd/{descriptor}", target, None, _BIND | _RECURSIVE, None)


def _make_read_only(call: Callable[..., None]) -> None:
    attributes = (1).to_bytes(8, sys.byteorder) + bytes(24)  # attr_set: MOUNT_ATTR_RDONLY
    try:
        call("syscall", _MOUNT_SETATTR, -100, "/", _AT_RECURSIVE, attributes, len(attributes))
    except OSError as error:
        if error.errno != _NOT_IMPLEMENTED:
            raise
    else:
        return
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123
        mounts = [line.split() for line in file]
    for fields in mounts:  # Linux before 5.12
        flags = sum(_LOCKED.get(option, 0) for option in fields[5].split(",")) | _READ_ONLY
        point = fields[4].encode("utf-8", "surrogateescape").decode("unicode_escape")
        try:
            call("mount", None, point, None, _REMOUNT | _BIND | flags, None)
        except OSError:
            if point == "/":
                raise


class _WithoutSemaphores:
    """Finds two C modules, and makes them refuse semaphores and shared memory as Lambda's C library does.

    It has no /dev/shm to keep them in, and says ENOSYS; a newer C library would say ENOENT.
    """

    _module: Any

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
        if name not in ("_multiprocessing", "_posixshmem"):
            return None
        import importlib
        import importlib.machinery

        sys.meta_path.remove(self)
        try:
            self._module = importlib.import_module(name)
            del sys.modules[name]  # the import that asks here starts again
        finally:
            sys.meta_path.insert(0, self)

        def refuse(*_: object, **__: object) -> None:
            raise OSError(_NOT_IMPLEMENTED, os.strerror(_NOT_IMPLEMENTED))

        if name == "_posixshmem":
            self._module.shm_open = refuse
        else:
            self._module.SemLock = type("SemLock", (self._module.SemLock,), {"__new__": refuse})
        return importlib.machinery.ModuleSpec(name, self)  # type: ignore[arg-type]

    def create_module(self, spec: Any) -> Any:
        return self._module

    def exec_module(self, module: Any) -> None:
        """Do nothing: it has been loaded."""


def refuse_semaphores() -> None:
    """From now on multiprocessing finds no semaphores."""
    sys.meta_path.insert(0, _WithoutSemaphores())
