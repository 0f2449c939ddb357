"""Start the emulator as a separate process, and end it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import Self

import msgspec

from lbench.config.limits import LOOPBACK_DOWN, TOO_MANY_FILES, TOO_MANY_PROCESSES, no_more_processes
from lbench.engine.emulator.core.spec import EmulatorConfig, FunctionSpec
from lbench.engine.processes import child as children
from lbench.errors import BackendError
from lbench.workloads.sigv4 import EMPTY_SHA256, Credentials, Signer

__all__ = ["RunningEmulator", "launch"]

_START_LIMIT_S = 120.0
_STOP_GRACE_S = 3.0
_KEPT_ERRORS_BYTES = 4096


class _Errors:
    """The end of the process's standard error."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._read, self.write = os.pipe()
        os.set_blocking(self._read, False)
        self._kept = b""
        self._loop.add_reader(self._read, self._some)

    def _some(self) -> None:
        with contextlib.suppress(BlockingIOError):
            chunk = os.read(self._read, _KEPT_ERRORS_BYTES)
            self._kept = (self._kept + chunk)[-_KEPT_ERRORS_BYTES:]
            if not chunk:
                self._loop.remove_reader(self._read)

    def last_line(self) -> str:
        self._some()
        lines = self._kept.decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def close(self) -> None:
        self._loop.remove_reader(self._read)
        os.close(self._read)


class RunningEmulator:
    """An emulator process: `endpoint` is its URL, `child` its process. Also an async context manager."""

    def __init__(
        self, child: children.Child, endpoint: str, errors: _Errors, credentials: Credentials, region: str
    ) -> None:
        self.child = child
        self.endpoint = endpoint
        self.credentials = credentials
        self._region = region
        self._errors = errors
        self._stopped = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def methods(self) -> tuple[str, str, str]:
        """Its methods for an environment's CPU share, memory limit, and isolation.

        Raises:
            BackendError: the emulator does not answer.
        """
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(self.endpoint.rpartition(":")[2]))
            path = "/_lbench/methods"
            signer = Signer(self.credentials, self._region, "lambda")
            headers = signer.sign("GET", path, "", {"host": "127.0.0.1"}, EMPTY_SHA256) | {"connection": "close"}
            head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            try:
                writer.write(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())
                body = (await reader.read()).partition(b"\r\n\r\n")[2]
            finally:
                writer.close()
            found = msgspec.json.decode(body, type=dict[str, str])
            return found["cpu_share_method"], found["memory_method"], found["isolation_method"]
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, KeyError):
            raise BackendError(_silence()) from None

    def last_error(self) -> str:
        """The last line of its standard error: the reason where it ended by itself."""
        return self._errors.last_line()

    async def stop(self) -> None:
        """End it and all its descendants; may be called again."""
        if self._stopped:
            return
        self._stopped = True
        await self.child.stop(_STOP_GRACE_S)
        self._errors.close()
        if self.child.stdout is not None:
            self.child.stdout.close()


async def launch(
    functions: Sequence[FunctionSpec],
    *,
    concurrency: int = 1000,
    port: int = 0,
    region: str = "us-east-1",
    config: EmulatorConfig | None = None,
) -> RunningEmulator:
    """Start the emulator with these functions and wait until it serves.

    `concurrency`: the limit of invocations at once over all functions. `port`: 0 takes a free one. `config`: all other
    settings; its functions, concurrency and region are replaced by those given here. Must be called on the
    main thread's loop. The process ends with this one, however this one ends.

    Raises:
        BackendError: it did not start (a port in use, a missing code folder); the message has the reason.
    """
    config = msgspec.structs.replace(
        (config or EmulatorConfig()).with_credentials(),
        functions=list(functions),
        concurrency=concurrency,
        region=region,
    )
    errors = _Errors()
    argv = [
        sys.executable,
        "-P",
        "-m",
        "lbench.engine.emulator",
        "--lifeline",
        "--config",
        "-",
        "--port",
        str(port),
    ]
    try:
        child = children.start(argv, stdout=subprocess.PIPE, stderr=errors.write)
    except OSError as error:
        errors.close()
        why = TOO_MANY_PROCESSES if no_more_processes(error) else error.strerror
        raise BackendError(f"the emulator cannot be started: {why}") from None
    finally:
        os.close(errors.write)
    running = RunningEmulator(child, "", errors, config.credentials, region)
    try:
        await asyncio.get_running_loop().run_in_executor(None, _send, child, msgspec.json.encode(config) + b"\n")
        async with asyncio.timeout(_START_LIMIT_S):
            running.endpoint = (await child.first_line()).decode().strip()
    except TimeoutError:
        await running.stop()
        raise BackendError(f"the emulator did not start within {_START_LIMIT_S:.0f} s: is the machine busy?") from None
    except BaseException:
        await running.stop()
        raise
    if not running.endpoint:
        await child.wait()
        reason = running.last_error().removeprefix("lbench: ") or f"exit code {child.returncode}"
        await running.stop()
        raise BackendError(f"the emulator did not start: {reason}")
    return running


def _send(child: children.Child, line: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):
        child.stdin.write(line)
        child.stdin.flush()


def _silence() -> str:
    """Why the emulator does not answer, as far as this machine shows it."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname()[:2], timeout=2).close()
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            return TOO_MANY_FILES
        return LOOPBACK_DOWN
    return "the emulator does not answer: is the machine busy? run it again"
