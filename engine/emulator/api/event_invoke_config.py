"""How a function's events are handled: the four operations on its EventInvokeConfig."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from lbench.engine.emulator.api.async_queue import EventConfig, EventQueue
from lbench.engine.emulator.api.destinations import Destinations, bucket_of
from lbench.engine.emulator.api.functions import Function
from lbench.engine.emulator.api.invoke import find
from lbench.engine.emulator.core import arn as naming
from lbench.engine.emulator.core.errors import Refusal

__all__ = ["EventConfigs"]


class _Place(msgspec.Struct, rename="pascal"):
    destination: str | None = None


class _Places(msgspec.Struct, rename="pascal"):
    on_success: _Place | None = None
    on_failure: _Place | None = None


class _Asked(msgspec.Struct, rename="pascal"):
    maximum_retry_attempts: Annotated[int, Meta(ge=0, le=2)] | None = None
    maximum_event_age_in_seconds: Annotated[int, Meta(ge=60, le=21_600)] | None = None
    destination_config: _Places | None = None


class EventConfigs:
    """Each operation returns what is answered, as JSON values."""

    def __init__(
        self, region: str, functions: Mapping[str, Function], events: EventQueue, destinations: Destinations
    ) -> None:
        self._region = region
        self._functions = functions
        self._events = events
        self._destinations = destinations

    def put(self, name: str, query: str, body: bytes | bytearray) -> dict[str, Any]:
        """PutFunctionEventInvokeConfig: what is not named is as by default."""
        return self._set(self._key(name, query), EventConfig(), body)

    def update(self, name: str, query: str, body: bytes | bytearray) -> dict[str, Any]:
        """UpdateFunctionEventInvokeConfig: what is not named stays."""
        key = self._key(name, query)
        return self._set(key, self._there(key), body)

    def get(self, name: str, query: str) -> dict[str, Any]:
        """GetFunctionEventInvokeConfig."""
        key = self._key(name, query)
        return self._describe(key, self._there(key))

    def delete(self, name: str, query: str) -> None:
        """DeleteFunctionEventInvokeConfig."""
        key = self._key(name, query)
        self._there(key)
        del self._events.configs[key]

    def _key(self, name: str, query: str) -> tuple[str, str]:
        function, pool = find(self._functions, self._region, name, query)
        return function.name, pool.spec.version

    def _there(self, key: tuple[str, str]) -> EventConfig:
        try:
            return self._events.configs[key]
        except KeyError:
            text = f"The function {naming.arn(self._region, *key)} doesn't have an EventInvokeConfig"
            raise Refusal("ResourceNotFoundException", text) from None

    def _set(self, key: tuple[str, str], old: EventConfig, body: bytes | bytearray) -> dict[str, Any]:
        try:
            asked = msgspec.json.decode(body or b"{}", type=_Asked)
        except msgspec.MsgspecError as problem:
            raise Refusal("InvalidParameterValueException", f"1 validation error detected: {problem}") from None
        change: dict[str, Any] = {"modified": time.time()}
        if asked.maximum_retry_attempts is not None:
            change["retries"] = asked.maximum_retry_attempts
        if asked.maximum_event_age_in_seconds is not None:
            change["age_s"] = asked.maximum_event_age_in_seconds
        if asked.destination_config is not None:
            change["on_failure"] = self._destination(asked.destination_config)
        config = self._events.configs[key] = msgspec.structs.replace(old, **change)
        return self._describe(key, config)

    def _destination(self, places: _Places) -> str | None:
        if places.on_success is not None and places.on_success.destination:
            raise _refused("a destination on success is not emulated: leave it out")
        arn = None if places.on_failure is None else places.on_failure.destination or None
        if arn is not None and bucket_of(arn) is None:
            raise _refused(f"the destination {arn} is not emulated: name an S3 bucket, arn:aws:s3:::NAME")
        if arn is not None and self._destinations.endpoint is None:
            raise _refused("no S3 is known here: start the emulator with an s3_endpoint")
        return arn

    def _describe(self, key: tuple[str, str], config: EventConfig) -> dict[str, Any]:
        return {
            "LastModified": round(config.modified, 3),
            "FunctionArn": naming.arn(self._region, *key),
            "MaximumRetryAttempts": config.retries,
            "MaximumEventAgeInSeconds": config.age_s,
            "DestinationConfig": {
                "OnSuccess": {},
                "OnFailure": {} if config.on_failure is None else {"Destination": config.on_failure},
            },
        }


def _refused(text: str) -> Refusal:
    return Refusal("InvalidParameterValueException", text)
