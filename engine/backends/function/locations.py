"""Reaches a user's function: on AWS, or its code in an emulator of its own. Both are called in the same way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

from lbench.config.aws import aws_client, aws_session
from lbench.config.folders import is_file, is_folder, typed_path
from lbench.engine.backends.aws_client.credentials import ChainCredentials
from lbench.engine.backends.aws_client.endpoints import resolve
from lbench.engine.backends.aws_client.invoke_api import InvokeClient
from lbench.engine.backends.aws_client.invoke_client import make_client
from lbench.engine.backends.function.configuration import FunctionFacts, FunctionName, look_up
from lbench.engine.backends.lambda_.emulator_host import EmulatorHost
from lbench.engine.backends.region import host_architecture
from lbench.engine.backends.settings import AwsSettings, EmulatedSettings
from lbench.engine.emulator.core.spec import FunctionSpec
from lbench.errors import InputError

__all__ = ["Reached", "check_code", "reach_aws", "reach_emulated"]


def _not_broken() -> str | None:
    return None


@dataclass(slots=True)
class Reached:
    """A function that can be called."""

    client: InvokeClient  # not yet open
    target: str  # the name or ARN to call
    facts: FunctionFacts
    region: str
    control: Callable[[], AbstractAsyncContextManager[Any]]  # an SDK client, to change the function
    notes: list[str] = field(default_factory=list)
    cpu_share_method: str | None = None
    broken: Callable[[], str | None] = _not_broken  # why nothing can be called any more, where that is certain


@contextlib.asynccontextmanager
async def reach_aws(settings: AwsSettings, name: FunctionName) -> AsyncIterator[Reached]:
    """Find the function on AWS.

    Raises:
        InputError: no credentials, no such function, or no permission to read it.
        BackendError: the endpoint cannot be used.
    """
    facts, region = await look_up(name.text, settings.region)
    place = await asyncio.to_thread(resolve, "lambda", region)
    async with ChainCredentials() as credentials:
        client = make_client(settings.client, place, credentials)
        try:
            session = aws_session(region)
            yield Reached(client, name.text, facts, region, lambda: aws_client(session, "lambda"))
        finally:
            await client.close()


@contextlib.asynccontextmanager
async def reach_emulated(
    settings: EmulatedSettings, name: FunctionName, *, capacity: int, timeout_s: float
) -> AsyncIterator[Reached]:
    """Run the code of a folder in an emulator that ends with the block.

    Raises:
        BackendError: the emulator does not start.
    """
    check_code(settings)
    host = EmulatorHost(settings, capacity=capacity)
    function = FunctionSpec(
        name=name.name.replace(".", "-")[:64],
        handler=str(settings.handler),
        code=str(settings.code),
        memory_mb=settings.memory,
        timeout_s=timeout_s,
        environment={"PYTHONDONTWRITEBYTECODE": "1"},  # the folder is the user's: nothing is written into it
    )
    try:
        place = await host.start(function)
        keys = host.credentials
        client = make_client(settings.client, place, lambda: keys)
        facts = FunctionFacts(
            arn=f"function:{function.name}",
            memory_mb=settings.memory,
            arch=settings.arch or host_architecture(),
            timeout_s=timeout_s,
            runtime="this machine's Python",
            version=function.version,
        )
        notes = [
            host.note,
            f"the code in {settings.code} with this interpreter's libraries, without the function's variables",
        ]
        try:
            yield Reached(
                client,
                function.name,
                facts,
                place.region,
                host.control,
                notes,
                host.cpu_share_method,
                host.broken,
            )
        finally:
            await client.close()
    finally:
        await host.stop()


def check_code(settings: EmulatedSettings) -> None:
    """Check that there is code to run.

    Raises:
        InputError: a handler or a folder is missing; the message says how to name them.
    """
    if settings.handler is None or settings.code is None:
        raise InputError(
            "the workload function on emulated requires its code: -b emulated:handler=app.handler,code=FOLDER"
        )
    module, dot, function = settings.handler.rpartition(".")
    if not dot or not module or not function:
        raise InputError(f"handler must be MODULE.FUNCTION, as in the function's configuration, got {settings.handler}")
    folder = typed_path(settings.code)
    if folder.suffix == ".zip" and is_file(folder):
        return
    if not is_folder(folder):
        raise InputError(f"code={settings.code}: there is no such folder or .zip file")
    file = folder / f"{module.replace('.', '/')}.py"
    if not file.is_file() and not (file.with_suffix("") / "__init__.py").is_file():
        raise InputError(f"handler={settings.handler}: there is no {module.replace('.', '/')}.py in {settings.code}")
