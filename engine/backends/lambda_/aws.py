"""`lambda`: the Lambda backend on AWS, with the stack of `lbench deploy` and the credentials of botocore's chain."""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
from collections.abc import Callable
from typing import Literal

from lbench.config.aws import aws_client, aws_session
from lbench.config.deployment import TEMPORARY
from lbench.config.limits import limits
from lbench.engine.backends.aws_client.credentials import ChainCredentials
from lbench.engine.backends.aws_client.endpoints import Resolved, named_s3_endpoint, resolve, resolve_url
from lbench.engine.backends.base import Call, Outcome
from lbench.engine.backends.lambda_.backend import LambdaBackend
from lbench.engine.backends.lambda_.concurrency_quota import Ramp
from lbench.engine.backends.lambda_.force_cold import ColdForcing
from lbench.engine.backends.lambda_.http_api_transport import FRONT_TIMEOUT_S
from lbench.engine.backends.lambda_.object_store import ObjectStore
from lbench.engine.backends.lambda_.preflight import Survey
from lbench.engine.backends.settings import AwsSettings
from lbench.workloads.s3 import ObjectStoreError
from lbench.workloads.sigv4 import Credentials

__all__ = ["AwsBackend"]


class AwsBackend(LambdaBackend):
    """Calls the deployed function of the chosen size. Its S3 objects share a prefix, which is deleted at the end."""

    origin: Literal["measured", "emulated", "simulated"] = "measured"

    def __init__(self, settings: AwsSettings, found: Survey) -> None:
        """`found` is the result of `preflight.survey`."""
        super().__init__(settings, capacity=found.chosen.concurrency)
        self._found = found
        self._function = found.function
        self._route = str(settings.memory)
        self._credentials = ChainCredentials()
        self._marked = True
        self.package_digest = found.deployment.package_digest
        self.notes = [
            found.chosen.note,
            f"the package of {found.deployment.stack}: Python {found.deployment.python} on {found.deployment.arch}",
        ]
        self.settings["stack"] = found.deployment.stack
        self.settings["ephemeral_mb"] = found.deployment.ephemeral_mb
        self._prefix = f"{TEMPORARY}{secrets.token_hex(8)}"
        self.settings["temporary"] = self._prefix  # `lbench gc` removes it where this process was killed
        self.settings["mark"] = self._mark  # distinguishes this run's lines in the log from another's
        self.settings["log_group"] = found.deployment.log_group
        # Calls above the burst of a ramp wait here for their turn.
        growing_s = (
            max(0, self.capacity - limits().ramp_environments_per_10_s) * 10 / limits().ramp_environments_per_10_s
        )
        self.start_allowance_s += math.ceil(growing_s)
        self._ramp: Ramp | None = None

    async def _start(self) -> tuple[Resolved, Callable[[], Credentials], ObjectStore]:
        self._ramp = Ramp()
        await self._credentials.__aenter__()
        place = await asyncio.to_thread(resolve, "lambda", self.region)
        s3 = await asyncio.to_thread(resolve, "s3", self.region)
        if self._found.deployment.http_api is not None:
            self._front = resolve_url(self._found.deployment.http_api, place), FRONT_TIMEOUT_S
        self._store = ObjectStore(
            self._credentials,
            region=self.region,
            endpoint=self._chosen.s3_endpoint or named_s3_endpoint(s3),
            bucket=self._found.deployment.bucket,
            prefix=self._prefix,
            proxy=s3.proxy,
            ca_file=s3.ca_file,
            owner=None if self._chosen.s3_endpoint else self._found.deployment.account,
        )
        return place, self._credentials, self._store

    def _make_forcing(self) -> ColdForcing:
        session = aws_session(self.region)
        return ColdForcing(lambda: aws_client(session, "lambda"), self._function, region=self.region)

    async def invoke(self, call: Call) -> Outcome:
        """Run one call once the ramp lets its environment start."""
        assert self._ramp is not None
        async with self._ramp:
            return await super().invoke(call)

    async def _stop(self) -> None:
        try:
            if self._store is not None:
                await self._store.clear()
        except ObjectStoreError as error:
            logging.getLogger(__name__).warning(
                "temporary objects stay in S3 until the bucket's rule deletes them after a day: %s", error
            )
        finally:
            await self._credentials.__aexit__(None, None, None)
