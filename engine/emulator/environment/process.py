"""An environment's process: start, freeze, end, output, and peak memory."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib.util
import json
import os
import platform
import signal
import site
import sys
import time
from collections.abc import Callable
from pathlib import Path

from lbench.engine.emulator.core.context import Shared
from lbench.engine.emulator.core.log import ended
from lbench.engine.emulator.core.sandbox import Room
from lbench.engine.emulator.core.spec import FunctionSpec
from lbench.engine.emulator.resources.peer import is_connection_of
from lbench.engine.processes import child as children

__all__ = ["Output", "Process", "libraries", "needed_paths", "variables"]

_NEEDED = ("msgspec", "numpy", "scipy", "sklearn", "joblib", "threadpoolctl")
_KEPT_OUTPUT_BYTES = 16_384  # more than the tail of a log
_FRAME = b"\xa5\x5a\x00"  # begins a log record of the runtime; the type's last byte holds format and level
_FRAME_HEAD_BYTES = 16
_BOOTSTRAP = str(Path(__file__).with_name("bootstrap.py"))
# Lambda's limits, as recorded; the emulator's own limit on files is higher, and would be inherited
_FILES = 1024
_LOCKED_BYTES = 65_536
_STACK_BYTES = 8_388_608
_PROCESSES = 742


@functools.cache
def libraries() -> tuple[str, ...]:
    """The running interpreter's folders of installed packages, which environments import from.

    Those of lbench's own needs are among them wherever they are: PYTHONPATH may name them.
    """
    folders = site.getsitepackages()
    if site.ENABLE_USER_SITE:
        folders.append(site.getusersitepackages())
    for name in _NEEDED:
        found = importlib.util.find_spec(name)
        if found is not None and found.origin is not None:
            folders.append(str(Path(found.origin).parent.parent))
    return tuple(folder for folder in dict.fromkeys(folders) if Path(folder).is_dir())


def needed_paths() -> list[str]:
    """What every environment reads of this machine, besides its interpreter and its code."""
    linked = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    return [sys.prefix, sys.base_prefix, *libraries(), str(Path(__file__).parent), *filter(None, linked)]


def variables(
    spec: FunctionSpec,
    *,
    region: str,
    api: str,
    stream: str,
    code: str | None = None,
    folder: Path | None,
    trace_id: str | None = None,
) -> dict[str, str]:
    """The environment's variables; none of the user's (credentials, proxies, settings) is inherited.

    `code`: where the function finds its code; None: in its folder. `folder`: what stands for /tmp; None: it is its own.
    """
    code = code or spec.code
    execution = spec.runtime or f"python{sys.version_info.major}.{sys.version_info.minor}"
    given = {
        "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "AWS_ACCESS_KEY_ID": "lbench",
        "AWS_SECRET_ACCESS_KEY": "lbench",
        **(spec.credentials or {}),
        **(spec.environment or {}),
    }
    if given["AWS_ACCESS_KEY_ID"] == "lbench":
        given["AWS_SESSION_TOKEN"] = "lbench"
    libraries_path = [
        code,
        f"{code}/lib",
        given.get("LD_LIBRARY_PATH", ""),
        os.environ.get("LD_LIBRARY_PATH", ""),
    ]
    given["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, libraries_path))
    if "DYLD_LIBRARY_PATH" in os.environ:  # some interpreters do not start without it
        given.setdefault("DYLD_LIBRARY_PATH", os.environ["DYLD_LIBRARY_PATH"])
    if trace_id is not None:
        given["_X_AMZN_TRACE_ID"] = trace_id
    if spec.logging is not None and spec.logging.format == "JSON":
        given["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
        given["AWS_LAMBDA_LOG_LEVEL"] = spec.logging.application_level or "INFO"
    more = libraries() if spec.libraries is None else spec.libraries
    path = [code, *([given["PYTHONPATH"]] if "PYTHONPATH" in given else []), *more]
    return given | {
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{execution}",
        "AWS_LAMBDA_FUNCTION_NAME": spec.name,
        "AWS_LAMBDA_FUNCTION_VERSION": spec.version,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(spec.memory_mb),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": spec.log_group,
        "AWS_LAMBDA_LOG_STREAM_NAME": stream,
        "AWS_LAMBDA_RUNTIME_API": api,
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:2000",  # nothing listens there: traces go nowhere
        "_AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1",
        "_AWS_XRAY_DAEMON_PORT": "2000",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LAMBDA_TASK_ROOT": code,
        "PWD": code,
        "SHLVL": "0",
        "_HANDLER": spec.handler,
        "PYTHONPATH": os.pathsep.join(path),
        **({} if folder is None else {"TMPDIR": str(folder), "HOME": str(folder)}),
    }


def wrapper(spec: FunctionSpec, code: str) -> list[str]:
    """The command that starts the runtime in place of the platform, from AWS_LAMBDA_EXEC_WRAPPER.

    It is run by a shell, which exits with 127 where it is missing, as on Lambda. /var/task is the code's folder.
    """
    path = (spec.environment or {}).get("AWS_LAMBDA_EXEC_WRAPPER", "")
    if path.startswith("/var/task/"):
        path = code + path[len("/var/task") :]
    return ["/bin/sh", "-c", 'exec "$0" "$@"', path] if path else []


def _set_limits(pid: int, *, own_user: bool) -> None:
    """Set Lambda's limits, on systems that can set another process's (Linux).

    The limit on processes is counted over all processes of a user: it is set where that is the environment's own.
    """
    if platform.system() != "Linux":
        return
    import resource

    unlimited = resource.RLIM_INFINITY
    limits = {
        resource.RLIMIT_NOFILE: (_FILES, _FILES),
        resource.RLIMIT_MEMLOCK: (_LOCKED_BYTES, _LOCKED_BYTES),
        resource.RLIMIT_STACK: (_STACK_BYTES, unlimited),
    }
    if own_user:
        limits[resource.RLIMIT_NPROC] = (_PROCESSES, _PROCESSES)
    for name, pair in limits.items():
        with contextlib.suppress(OSError, ValueError):
            resource.prlimit(pid, name, pair)


def unframed(output: bytes) -> bytes:
    """The output with the runtime's log frames unpacked: each is a record, which ends its line.

    A frame is type (4 bytes), length (4), time (8), message. Other output stands between frames as it was written.
    """
    at = output.find(_FRAME)
    if at < 0:
        return output
    parts = []
    done = 0
    while at >= 0:
        head = output[at : at + _FRAME_HEAD_BYTES]
        end = at + _FRAME_HEAD_BYTES + int.from_bytes(head[4:8], "big")
        if len(head) == _FRAME_HEAD_BYTES and end <= len(output):
            parts += [output[done:at], ended(output[at + _FRAME_HEAD_BYTES : end])]
            done = end
            at = output.find(_FRAME, done)
        else:
            at = output.find(_FRAME, at + 1)
    return b"".join([*parts, output[done:]])


class Output:
    """The end of the process's output, both streams in their order."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._read, self.write = os.pipe()  # both ends close on exec; Popen gives `write` to the child
        os.set_blocking(self._read, False)
        self._kept = bytearray()
        self._loop.add_reader(self._read, self._some)

    def _some(self) -> None:
        try:
            chunk = os.read(self._read, 65_536)
        except BlockingIOError:
            return
        if not chunk:
            self.close()
        self._keep(chunk)

    def _keep(self, chunk: bytes) -> None:
        self._kept += chunk
        if len(self._kept) > 2 * _KEPT_OUTPUT_BYTES:
            del self._kept[:-_KEPT_OUTPUT_BYTES]

    def take(self) -> bytes:
        """Return the output so far, and drop it."""
        with contextlib.suppress(BlockingIOError):
            while self._read >= 0:
                chunk = os.read(self._read, 65_536)
                if not chunk:
                    break
                self._keep(chunk)
        taken = bytes(self._kept)
        self._kept.clear()
        return unframed(taken)

    def close_writer(self) -> None:
        """Close the write end, which the child has inherited."""
        os.close(self.write)

    def close(self) -> None:
        if self._read >= 0:
            self._loop.remove_reader(self._read)
            os.close(self._read)
            self._read = -1


class Process:
    """The process of one environment, leader of its own group, under its CPU share and memory limit.

    Raises:
        OSError: it cannot be started or confined.
    """

    def __init__(
        self, spec: FunctionSpec, environ: dict[str, str], on_exit: Callable[[int], None], shared: Shared, room: Room
    ) -> None:
        self.output = Output()
        number = next(shared.numbers)
        guard = shared.confinement.guard
        if guard is not None:
            environ = environ | guard.variables(number)
        environ = environ | {"LBENCH_ROOM": json.dumps(room.plan)}
        python = spec.python or sys.executable
        runtime = [python, "-S", "-P", _BOOTSTRAP, spec.handler, spec.runtime_client]
        try:
            self._child = children.start(
                [*runtime, *wrapper(spec, room.code)],
                env=environ,
                cwd=spec.code,
                stdout=self.output.write,
                stderr=self.output.write,
                pass_fds=room.descriptors,
            )
        except OSError:
            self.output.close()
            raise
        finally:
            self.output.close_writer()
        self._status: int | None = None  # /proc/<pid>/status, kept open
        self._closed = False
        self._looked_s = -1.0
        self._max_memory_mb = 0
        try:
            _set_limits(self._child.pid, own_user=room.user is not None)
            self.held = shared.confinement.attach(
                self._child.pid, number, spec.memory_mb, self._kill, in_memory_mb=room.in_memory_mb
            )
        except OSError:
            self._child.kill()
            self.output.close()
            raise
        self._child.on_exit(on_exit)

    @property
    def pid(self) -> int:
        """The id of the process and of its group."""
        return self._child.pid

    @property
    def ended(self) -> asyncio.Future[int]:
        return self._child.exited

    def has_connection(self, peer_port: int, our_port: int) -> bool:
        """Whether the process or one of its descendants has made that connection."""
        if is_connection_of([self.pid], peer_port, our_port):
            return True
        return is_connection_of(self.held.descendants(), peer_port, our_port)

    def kill(self) -> None:
        self.max_memory_mb()
        self._kill()

    def _kill(self) -> None:
        strays = [] if self._closed else self.held.strays()
        self._child.kill()
        for pid in strays:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)

    def max_memory_mb(self, *, within_s: float = 0.0) -> int:
        """The peak resident memory of all processes in MB, rounded up; the last known figure after the end.

        `within_s`: a figure of that age is enough (asking the kernel takes longer than a trivial invocation).
        """
        now = time.monotonic()
        if self._closed or now - self._looked_s < within_s:
            return self._max_memory_mb
        self._looked_s = now
        peak = max(self._peak_bytes(), self.held.peak_bytes())
        self._max_memory_mb = max(self._max_memory_mb, -(-peak // 1_048_576))
        return self._max_memory_mb

    def _peak_bytes(self) -> int:
        """The peak of the first process, by a descriptor that stays open; 0: the system does not report it."""
        with contextlib.suppress(OSError, IndexError, ValueError):
            if self._status is None:
                self._status = os.open(f"/proc/{self.pid}/status", os.O_RDONLY)
            text = os.pread(self._status, 4096, 0)
            return int(text.split(b"VmHWM:", 1)[1].split(None, 1)[0]) * 1024
        return 0

    def close(self) -> None:
        """Release the resources of a process that has ended."""
        self._closed = True
        self.held.detach()
        self.output.close()
        if self._status is not None:
            os.close(self._status)
            self._status = None
