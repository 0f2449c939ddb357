"""`python -m lbench.engine.emulator`: AWS Lambda on this machine, until it is told to end.

The first line of its standard output is its endpoint. It ends on SIGTERM or SIGINT, and with --lifeline when
its standard input closes: the process that started it has gone.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import resource
import signal
import sys
import zipfile
from pathlib import Path

import msgspec

from lbench.engine.emulator.api.app import Emulator
from lbench.engine.emulator.core.errors import ERRORS
from lbench.engine.emulator.core.spec import EmulatorConfig, lbench_function
from lbench.errors import InputError, LbenchError, UnknownNameError

_STOP_LIMIT_S = 2  # ending in good order takes milliseconds; after this the kernel ends it, and so the environments


def _config(source: str | None, lifeline: bool) -> EmulatorConfig:
    if source is None:
        config = EmulatorConfig()
    else:
        try:
            if source == "-":
                text = sys.stdin.buffer.readline() if lifeline else sys.stdin.buffer.read()
            else:
                text = Path(source).read_bytes()
            config = msgspec.json.decode(text, type=EmulatorConfig)
        except OSError as problem:
            raise InputError(f"{source}: {problem.strerror}: name a readable file, or - for standard input") from None
        except msgspec.MsgspecError as problem:
            raise InputError(f"the emulator's configuration {source} is not right: {problem}") from None
    if not config.functions:
        config = msgspec.structs.replace(config, functions=[lbench_function()])
    names = [function.name for function in config.functions]
    for function in config.functions:
        if names.count(function.name) > 1:
            raise InputError(f"function {function.name} is there twice: give each a name of its own")
        _check_code(Path(function.code), function.name)
    if sum(function.concurrency or 0 for function in config.functions) > config.concurrency:
        raise InputError(f"the functions reserve more than the concurrency of {config.concurrency}: raise it")
    if config.conditions.fail_error not in ERRORS:
        raise UnknownNameError("fail_error", config.conditions.fail_error, ERRORS)
    return config


def _check_code(code: Path, name: str) -> None:
    if code.suffix == ".zip" and code.exists():
        if not zipfile.is_zipfile(code):
            raise InputError(f"function {name}: its code {code} is no zip file: make it again")
    elif code.exists() and not code.is_dir():
        raise InputError(f"function {name}: its code {code} is neither a folder nor a .zip file")
    elif not code.is_dir():
        raise InputError(f"function {name}: its code folder {code} is not there")


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
        with contextlib.suppress(BrokenPipeError):
            print(emulator.endpoint, flush=True)
        gc.freeze()  # what has been loaded stays: no collection looks at it again
        await stop.wait()
        signal.alarm(_STOP_LIMIT_S)


def _allow_many_files() -> None:
    """An environment takes seven descriptors, and 1,024 is a common limit that may be raised by anyone."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def main() -> int:
    """Serve; the exit code is 0, or 2 when it could not be started."""
    parser = argparse.ArgumentParser(prog="python -m lbench.engine.emulator", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="of 127.0.0.1; by default a free one")
    parser.add_argument("--config", metavar="FILE", help="functions and limits as JSON; - reads standard input")
    parser.add_argument("--check-signatures", action="store_true", help="refuse what is not signed rightly")
    parser.add_argument("--s3-endpoint", metavar="URL", help="where records of failed events go")
    parser.add_argument("--lifeline", action="store_true", help="end when standard input closes")
    given = parser.parse_args()
    os.environ.pop("LBENCH_PARENT_PID", None)  # its lifeline is enough: it ends in good order, folders removed
    _allow_many_files()
    try:
        config = _config(given.config, given.lifeline)
        if given.check_signatures:
            config = msgspec.structs.replace(config, check_signatures=True)
        if given.s3_endpoint is not None:
            config = msgspec.structs.replace(config, s3_endpoint=given.s3_endpoint)
        asyncio.run(_serve(config, given.port, given.lifeline))
    except LbenchError as problem:
        print(f"lbench: {problem}", file=sys.stderr)
        return 2
    except OverflowError:
        print(f"lbench: port {given.port} is out of range: name one from 1 to 65535", file=sys.stderr)
        return 2
    except OSError as problem:
        print(
            f"lbench: port {given.port} cannot be taken ({problem.strerror}): name another with --port",
            file=sys.stderr,
        )
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
