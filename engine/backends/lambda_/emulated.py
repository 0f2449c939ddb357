"""`emulated`: the Lambda backend pointed at the emulator and at an S3 on this machine. No AWS account is touched.

Its credentials are random, made for this run: botocore's chain is never asked. An S3 endpoint that the user names may
require real ones; they come from lbench's own variables. Either kind reaches the environments as a role's credentials do.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from lbench.config.limits import limits
from lbench.engine.backends.aws_client.endpoints import Resolved
from lbench.engine.backends.lambda_.backend import FUNCTION_TIMEOUT_S, LambdaBackend
from lbench.engine.backends.lambda_.embedded_s3 import EmbeddedS3
from lbench.engine.backends.lambda_.emulator_host import DUMMY_CREDENTIALS, EmulatorHost
from lbench.engine.backends.lambda_.force_cold import ColdForcing
from lbench.engine.backends.lambda_.object_store import ObjectStore
from lbench.engine.backends.lambda_.package import open_package
from lbench.engine.backends.settings import EmulatedSettings
from lbench.engine.emulator.core.code_folder import code_folder
from lbench.engine.emulator.core.spec import BLAS_THREADS, FunctionSpec, random_credentials
from lbench.errors import BackendError, InputError
from lbench.workloads import registry
from lbench.workloads.objects import Place
from lbench.workloads.own.describe import files_of
from lbench.workloads.s3 import ObjectStoreError
from lbench.workloads.sigv4 import Credentials

__all__ = ["EmulatedBackend", "open_emulated", "s3_credentials_in", "supported_environments"]

HANDLER = "lbench.lambda_src.handler.handle"
_OWN_LIBRARIES = "libraries come from this interpreter's site-packages"
_S3_ACCESS, _S3_SECRET, _S3_TOKEN = "LBENCH_S3_ACCESS_KEY", "LBENCH_S3_SECRET_KEY", "LBENCH_S3_SESSION_TOKEN"
_START_S_PER_CORE = 5.0  # a cold start with scikit-learn takes 1 to 2 s of one core, more on a busy machine


def supported_environments(memory_mb: int, usable_cores: float, memory_bytes: int) -> int:
    """How many environments this machine can run at their full share of CPU and memory; may be 0."""
    by_cores = int(usable_cores / (memory_mb / limits().memory_mb_per_vcpu) + 1e-9)
    return min(by_cores, memory_bytes // (memory_mb * 2**20))


def s3_credentials_in(environ: Mapping[str, str]) -> Credentials | None:
    """Credentials for an S3 endpoint that requires real ones (`--s3-endpoint`); None: not set, so dummies are sent.

    Raises:
        InputError: only one of the two variables is set.
    """
    access, secret = environ.get(_S3_ACCESS), environ.get(_S3_SECRET)
    if not access and not secret:
        return None
    if not access or not secret:
        raise InputError(f"{_S3_ACCESS} and {_S3_SECRET} must be set together: set both, or neither")
    return Credentials(access, secret, environ.get(_S3_TOKEN) or None)


def open_emulated(
    settings: EmulatedSettings,
    *,
    usable_cores: float,
    memory_bytes: int,
    preload: str | None = None,
    objects: bool = False,
) -> EmulatedBackend:
    """Make the backend, not yet entered.

    Args:
        settings: as the user gave them.
        usable_cores: of this machine, by affinity and cgroup quota.
        memory_bytes: of this machine.
        preload: a workload whose task functions each environment imports while it starts.
        objects: whether S3 may be needed: it is then ready before the first call.

    Raises:
        InputError: `settings.s3_endpoint` is named, and half of its credentials.
    """
    most = supported_environments(settings.memory, usable_cores, memory_bytes)
    capacity = settings.concurrency or max(1, most)
    backend = EmulatedBackend(
        settings,
        capacity=capacity,
        oversubscribed=capacity > most,
        start_allowance_s=15.0 + _START_S_PER_CORE * capacity / max(1.0, usable_cores),
        preload=preload,
        objects=objects or settings.transport == "event",
        s3_credentials=None if settings.s3_endpoint is None else s3_credentials_in(os.environ),
    )
    if settings.concurrency is None and capacity == most and usable_cores % 1:
        backend.notes.append(
            f"environments: a quota of {usable_cores:g} cores is enough for {most} of {settings.memory} MB at the full "
            "share of CPU, one more would slow all (concurrency= sets another number)"
        )
    return backend


class EmulatedBackend(LambdaBackend):
    """Starts an emulator with one function, and an embedded S3 that waits until it is needed."""

    origin: Literal["measured", "emulated", "simulated"] = "emulated"

    def __init__(
        self,
        settings: EmulatedSettings,
        *,
        capacity: int,
        oversubscribed: bool,
        start_allowance_s: float,
        preload: str | None = None,
        objects: bool = False,
        s3_credentials: Credentials | None = None,
    ) -> None:
        super().__init__(settings, capacity=capacity, oversubscribed=oversubscribed)
        self._host = EmulatorHost(settings, capacity=capacity)
        self.start_allowance_s = self._host.start_allowance_s(start_allowance_s)
        self._package = settings.package
        self._front_timeout_s = settings.front_timeout
        if settings.transport == "http-api":
            self.settings["front_timeout"] = settings.front_timeout
        self.notes = [_OWN_LIBRARIES]
        if injected := self._host.injected:
            self.settings |= injected
            self.notes.append("injected: " + ", ".join(f"{name}={value:g}" for name, value in injected.items()))
        if oversubscribed:
            many = "environment exceeds" if capacity == 1 else "environments exceed"
            self.notes.append(
                f"oversubscribed: {capacity} {many} what this machine can run with {settings.memory:,} MB each"
            )
        described = None if preload is None else registry.describe(preload)
        self._own = None if described is None else described.code
        # for a user's workload "module:job": the handler finds it beside itself
        self._preload = preload if self._own is None or described is None else described.implementation
        # A server of the user's that asks for none gets dummies; the embedded one has random ones of its own.
        self._s3_credentials = s3_credentials or (DUMMY_CREDENTIALS if settings.s3_endpoint else random_credentials())
        self._objects = objects
        self._embedded: EmbeddedS3 | None = None
        self._ending: asyncio.Task[None] | None = None  # closes the transport, once S3 has died
        self._named_store: ObjectStore | None = None  # at the user's endpoint: its objects must be deleted

    async def _start(self) -> tuple[Resolved, Callable[[], Credentials], ObjectStore]:
        bucket = f"lbench-{secrets.token_hex(6)}"
        if self._chosen.s3_endpoint is None:
            self._embedded = EmbeddedS3(bucket, self._s3_credentials, self._s3_died)
            store = self._open_store(self._embedded.open(), bucket)
        else:
            store = self._open_store(self._chosen.s3_endpoint, bucket)
            try:
                await store.create_bucket()
            except ObjectStoreError as error:
                store.close()
                raise BackendError(f"--s3-endpoint cannot be used: {error}{_remedy(error)}") from None
            self._named_store = store
        function = await asyncio.to_thread(self._describe_function)
        self.package_digest = function.code_sha256
        if self._objects and self._embedded is not None:
            place, _ = await asyncio.gather(self._host.start(function), store.warm())
        else:
            place = await self._host.start(function)
        self._front = Resolved(f"{place.endpoint}/_lbench/http-api", self.region), self._front_timeout_s
        self._environments.cpu_share_method = self._host.cpu_share_method
        self.notes.insert(0, self._host.note)
        keys = self._host.credentials
        return place, lambda: keys, store

    def _make_forcing(self) -> ColdForcing:
        return ColdForcing(self._host.control, self._function, region=self.region, lasting=False)

    def _describe_function(self) -> FunctionSpec:
        """The function to run: this Python with its libraries, or the named package."""
        function = FunctionSpec(
            name=self._function,
            code="",
            handler=HANDLER,
            memory_mb=self._chosen.memory,
            timeout_s=FUNCTION_TIMEOUT_S,
            environment=self._environment(),
            credentials=self._role_variables(),
        )
        if self._package is None:
            folder, digest = code_folder(None if self._own is None else files_of(self._own))
            return msgspec.structs.replace(function, code=str(folder), code_sha256=digest)
        package = open_package(self._package)
        self.notes = [package.note if note == _OWN_LIBRARIES else note for note in self.notes]
        return msgspec.structs.replace(
            function,
            code=str(package.path),
            code_sha256=package.digest,
            runtime=f"python{package.manifest.python}",
            python=package.python,
            libraries=package.libraries,
        )

    def _open_store(self, endpoint: str, bucket: str) -> ObjectStore:
        return ObjectStore(self._s3_credentials, region=self.region, endpoint=endpoint, bucket=bucket, prefix="run")

    def _environment(self) -> dict[str, str]:
        return BLAS_THREADS | ({} if self._preload is None else {"LBENCH_PRELOAD": self._preload})

    def _role_variables(self) -> dict[str, str]:
        """The credentials as Lambda gives a role's: they are no part of the function's configuration."""
        keys = self._s3_credentials
        token = {} if keys.token is None else {"AWS_SESSION_TOKEN": keys.token}
        return {"AWS_ACCESS_KEY_ID": keys.access_key, "AWS_SECRET_ACCESS_KEY": keys.secret_key, **token}

    def _s3_died(self) -> None:
        """End all calls now: each would notice by itself only after retrying for 15 s."""
        if self._store is not None:
            self._store.close()
        if self._transport is not None:
            self._ending = asyncio.get_running_loop().create_task(self._transport.close())

    async def clear(self, place: Place) -> None:
        """Delete the objects; with a dead server they are gone already."""
        if self._embedded is None or not self._embedded.dead:
            await super().clear(place)

    def _broken(self) -> str | None:
        if self._embedded is not None and self._embedded.dead:
            return "the embedded S3 server has ended during the run (engine.log may say why): run it again"
        return self._host.broken()

    async def _stop(self) -> None:
        embedded, self._embedded = self._embedded, None
        store, self._named_store = self._named_store, None
        try:
            if self._ending is not None:
                await asyncio.gather(self._ending, return_exceptions=True)
            await self._host.stop()
            if store is not None:
                await _clear(store)
        finally:
            if embedded is not None:
                await embedded.close()


def _remedy(error: ObjectStoreError) -> str:
    """How to name credentials for a server that refused the dummies: AWS's chain is not asked here."""
    if not any(f"failed: {status} " in str(error) for status in (400, 401, 403)):
        return ""
    return f"; set real credentials in {_S3_ACCESS} and {_S3_SECRET}"


async def _clear(store: ObjectStore) -> None:
    """Delete everything at the user's S3 endpoint; a failure is logged, not raised: the run is over."""
    try:
        await store.clear()
        await store.delete_bucket()
    except ObjectStoreError as error:
        import logging

        logging.getLogger(__name__).warning("objects may be left in S3: %s", error)
