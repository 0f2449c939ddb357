"""`python -m lbench.engine.emulator`: AWS Lambda on this machine, until it is stopped.

The first line of its standard output is its endpoint; the lines below are its credentials, to be pasted into a shell.
It ends on SIGTERM or SIGINT, and with --lifeline when
its standard input closes because the launching process has exited.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import gc
import os
import re
import resource
import signal
import sys
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from lbench.config.limits import LOOPBACK_DOWN, limits
from lbench.config.server_url import check_server_url
from lbench.decoding import decode_json
from lbench.engine.emulator.api.app import Emulator
from lbench.engine.emulator.core.errors import ERRORS
from lbench.engine.emulator.core.spec import EmulatorConfig, lbench_function
from lbench.errors import InputError, LbenchError, UnknownNameError
from lbench.workloads.sigv4 import Credentials

_OPEN = "lbench: signatures are not checked: any user of this machine can run code as you through this port"
_MOST_ACTIVATION_S = 60
_STOP_LIMIT_S = (
    10  # the end takes milliseconds, and longer with large code folders; then the kernel ends it with all environments
)


def _config(source: str | None, lifeline: bool) -> EmulatorConfig:
    if source is None:
        config = EmulatorConfig()
    else:
        try:
            if source == "-":
                text = sys.stdin.buffer.readline() if lifeline else sys.stdin.buffer.read()
            else:
                text = Path(source).read_bytes()
            config = decode_json(text, EmulatorConfig)
            if config.secret_key and source != "-" and Path(source).stat().st_mode & 0o077:
                raise InputError(f"{source} holds a secret key that others can read: chmod 600 {source}")
        except OSError as problem:
            raise InputError(
                f"cannot read {source}: {problem.strerror}. Name a readable file, or - for standard input"
            ) from None
        except (msgspec.MsgspecError, UnicodeDecodeError) as problem:
            raise InputError(f"invalid emulator configuration {source}: {problem}") from None
    if not config.functions:
        config = msgspec.structs.replace(config, functions=[lbench_function()])
    names = [function.name for function in config.functions]
    for function in config.functions:
        if names.count(function.name) > 1:
            raise InputError(f"function {function.name} is defined twice: give each function its own name")
        _check_code(Path(function.code), function.name)
    if sum(function.concurrency or 0 for function in config.functions) > config.concurrency:
        raise InputError(
            f"the functions reserve more than the concurrency of {config.concurrency}: raise it or reserve less"
        )
    if config.conditions.fail_error not in ERRORS:
        raise UnknownNameError("fail_error", config.conditions.fail_error, ERRORS)
    return config


def _check_code(code: Path, name: str) -> None:
    if code.suffix == ".zip" and code.exists():
        if code.stat().st_size > limits().package_unzipped_max_bytes:
            raise InputError(
                f"function {name}: {code} is larger than Lambda's {limits().package_unzipped_max_bytes} bytes"
            )
        if not zipfile.is_zipfile(code):
            raise InputError(f"function {name}: {code} is not a zip file: build it again")
    elif code.exists() and not code.is_dir():
        raise InputError(f"function {name}: code must be a folder or a .zip file, got {code}")
    elif not code.is_dir():
        raise InputError(f"function {name}: code folder {code} not found")


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|)", text)
    seconds = -1.0 if found is None else float(found[1]) / (1000 if found[2] == "ms" else 1)
    if not 0 <= seconds <= _MOST_ACTIVATION_S:
        raise InputError(f"--activation must be from 0s to {_MOST_ACTIVATION_S}s, got {text}")
    return seconds


def _watch_lifeline(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    def readable() -> None:
        if not os.read(0, 4096):
            loop.remove_reader(0)
            stop.set()

    loop.add_reader(0, readable)


async def _serve(config: EmulatorConfig, port: int, lifeline: bool) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if lifeline:
        _watch_lifeline(loop, stop)
    async with Emulator(config, port) as emulator:
        if not lifeline:
            _, trial = await asyncio.open_connection("127.0.0.1", urlsplit(emulator.endpoint).port)
            trial.close()
        with contextlib.suppress(BrokenPipeError):
            lines = [emulator.endpoint]
            if emulator.credentials is not None and not lifeline:  # with a lifeline, its launcher has made them
                lines += _exports(emulator.credentials, emulator.endpoint, config.region)
            print("\n".join(lines), flush=True)
            if not config.auth:
                print(_OPEN, file=sys.stderr, flush=True)
        gc.freeze()  # loaded modules stay: the collector skips them
        await stop.wait()
        signal.alarm(_STOP_LIMIT_S)


def _exports(credentials: Credentials, endpoint: str, region: str) -> list[str]:
    """Shell lines after which boto3 and the AWS CLI use this emulator."""
    return [
        f"export AWS_ACCESS_KEY_ID={credentials.access_key}",
        f"export AWS_SECRET_ACCESS_KEY={credentials.secret_key}",
        f"export AWS_DEFAULT_REGION={region}",
        f"export AWS_ENDPOINT_URL_LAMBDA={endpoint}",
    ]


def _allow_many_files() -> None:
    """Raise the limit on open files: an environment takes seven descriptors, and 1,024 is a common limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _cannot_start(problem: OSError, port: int) -> str:
    if problem.filename is None and problem.errno in (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES):
        return f"port {port} is not available ({problem.strerror}): choose another with --port"
    if problem.errno == errno.ENETUNREACH:
        return LOOPBACK_DOWN
    if problem.filename is None:
        return f"the emulator cannot start: {problem.strerror}"
    return f"the emulator cannot start: {problem.filename}: {problem.strerror}; set TMPDIR to a folder that you can write to"


def main() -> int:
    """Serve; the exit code is 0, or 2 where it could not start."""
    parser = argparse.ArgumentParser(prog="python -m lbench.engine.emulator", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port of 127.0.0.1 (default: a free one)")
    parser.add_argument("--config", metavar="FILE", help="functions and limits as JSON (-: standard input)")
    parser.add_argument("--no-auth", action="store_true", help="accept requests without a valid signature")
    parser.add_argument("--s3-endpoint", metavar="URL", help="store for the records of failed events")
    parser.add_argument("--activation", metavar="SECONDS", help="time of Pending and InProgress, as in 0.2s")
    parser.add_argument("--lifeline", action="store_true", help="end when standard input closes")
    given = parser.parse_args()
    os.environ.pop("LBENCH_PARENT_PID", None)  # its lifeline is enough: it ends in order and removes its folders
    _allow_many_files()
    try:
        config = _config(given.config, given.lifeline)
        if given.no_auth:
            config = msgspec.structs.replace(config, auth=False)
        if given.s3_endpoint is not None:
            config = msgspec.structs.replace(config, s3_endpoint=given.s3_endpoint)
        if config.s3_endpoint is not None:
            check_server_url("s3_endpoint", config.s3_endpoint)
        if given.activation is not None:
            config = msgspec.structs.replace(config, activation_s=_seconds(given.activation))
        asyncio.run(_serve(config, given.port, given.lifeline))
    except LbenchError as problem:
        print(f"lbench: {problem}", file=sys.stderr)
        return 2
    except OverflowError:
        print(f"lbench: --port must be 1 to 65535, got {given.port}", file=sys.stderr)
        return 2
    except OSError as problem:
        print(f"lbench: {_cannot_start(problem, given.port)}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
