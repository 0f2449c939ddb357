"""The operations on a function's EventInvokeConfig, which says how its events are handled."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import msgspec

from lbench.engine.emulator.api.async_queue import EventConfig, EventQueue
from lbench.engine.emulator.api.destinations import Destinations, bucket_of
from lbench.engine.emulator.api.functions import LATEST, Function
from lbench.engine.emulator.api.functions_api import page
from lbench.engine.emulator.api.lookup import named, parameters
from lbench.engine.emulator.api.requests import decode, invalid
from lbench.engine.emulator.core import arn as naming
from lbench.engine.emulator.core.errors import Refusal

__all__ = ["EventConfigs"]

_SERVICES = ("lambda", "sqs", "sns", "events", "s3")  # whose ARNs AWS takes for destinations


class _Place(msgspec.Struct, rename="pascal"):
    destination: str | None = None


class _Places(msgspec.Struct, rename="pascal"):
    on_success: _Place | None = None
    on_failure: _Place | None = None


class _Asked(msgspec.Struct, rename="pascal"):
    maximum_retry_attempts: int | None = None
    maximum_event_age_in_seconds: int | None = None
    destination_config: _Places | None = None


class EventConfigs:
    """The operations; each returns its reply as JSON values."""

    def __init__(
        self, region: str, functions: Mapping[str, Function], events: EventQueue, destinations: Destinations
    ) -> None:
        self._region = region
        self._functions = functions
        self._events = events
        self._destinations = destinations

    def put(self, name: str, query: str, body: bytes | bytearray) -> dict[str, Any]:
        """PutFunctionEventInvokeConfig: a member that is not named takes its default."""
        key = self._key(name, query, "PutFunctionEventInvokeConfig")
        return self._set(key, EventConfig(), body, "PutFunctionEventInvokeConfig")

    def update(self, name: str, query: str, body: bytes | bytearray) -> dict[str, Any]:
        """UpdateFunctionEventInvokeConfig: a member that is not named stays."""
        key = self._key(name, query, "UpdateFunctionEventInvokeConfig")
        return self._set(key, None, body, "UpdateFunctionEventInvokeConfig")

    def get(self, name: str, query: str) -> dict[str, Any]:
        key = self._key(name, query, "GetFunctionEventInvokeConfig")
        return self._describe(key, self._config(key))

    def delete(self, name: str, query: str) -> None:
        key = self._key(name, query, "DeleteFunctionEventInvokeConfig")
        self._config(key)
        del self._events.configs[key]

    def list_all(self, text: str, query: str) -> dict[str, Any]:
        """ListFunctionEventInvokeConfigs."""
        name, _ = named(self._region, text, "", "ListFunctionEventInvokeConfigs")
        if name not in self._functions:
            raise _no_function()
        configs = [(key, config) for key, config in self._events.configs.items() if key[0] == name]
        entries = [self._describe(key, config) for key, config in configs]
        return page("FunctionEventInvokeConfigs", entries, parameters(query), most=50)

    def _key(self, text: str, query: str, operation: str) -> tuple[str, str]:
        name, qualifier = named(self._region, text, query, operation)
        return name, qualifier or LATEST

    def _config(self, key: tuple[str, str]) -> EventConfig:
        try:
            return self._events.configs[key]
        except KeyError:
            text = f"The function {naming.arn(self._region, *key)} doesn't have an EventInvokeConfig"
            raise Refusal("ResourceNotFoundException", text) from None

    def _set(
        self, key: tuple[str, str], old: EventConfig | None, body: bytes | bytearray, operation: str
    ) -> dict[str, Any]:
        asked = decode(body, _Asked, operation)
        if asked == _Asked():
            raise invalid("You must specify at least one of error handling or destination setting.")
        function = self._functions.get(key[0])
        if function is None or key[1] not in function.pools:
            raise _no_function()
        if old is None:
            old = self._config(key)
        change: dict[str, Any] = {"modified": time.time()}
        if asked.maximum_retry_attempts is not None:
            change["retries"] = asked.maximum_retry_attempts
        if asked.maximum_event_age_in_seconds is not None:
            change["age_s"] = asked.maximum_event_age_in_seconds
        if asked.destination_config is not None:
            change["on_failure"] = self._destination(key[0], asked.destination_config)
        config = self._events.configs[key] = msgspec.structs.replace(old, **change)
        return self._describe(key, config)

    def _destination(self, function: str, places: _Places) -> str | None:
        """The bucket of failed events' records; None: none.

        Raises:
            Refusal: a destination is impossible, or not emulated.
        """
        success = None if places.on_success is None else places.on_success.destination
        failure = None if places.on_failure is None else places.on_failure.destination
        for destination in (success, failure):
            if destination:
                self._check_destination(function, destination, success, failure)
        if success:
            raise invalid("DestinationConfig OnSuccess is not emulated: leave it out")
        if not failure:
            return None
        if bucket_of(failure) is None:
            raise invalid(f"the destination {failure} is not emulated: name an S3 bucket, arn:aws:s3:::NAME")
        if self._destinations.endpoint is None:
            raise invalid("no S3 is known here: start the emulator with --s3-endpoint")
        return failure

    def _check_destination(self, function: str, destination: str, success: str | None, failure: str | None) -> None:
        service = [*destination.split(":"), "", ""][2]
        if service not in _SERVICES:
            shown = [
                "null" if place is None else f"{kind}(destination={place})"
                for kind, place in (("OnSuccess", success), ("OnFailure", failure))
            ]
            raise invalid(
                f"The provided destination config DestinationConfig(onSuccess={shown[0]}, onFailure={shown[1]}) is invalid."
            )
        if service == "lambda":
            name, qualifier = naming.parse(destination, self._region)
            if name == function and not qualifier:
                raise invalid("You can't specify the function as a destination for itself.")
            if name not in self._functions:
                raise invalid(f"The destination ARN {destination} is invalid.")

    def _describe(self, key: tuple[str, str], config: EventConfig) -> dict[str, Any]:
        """The settings; those that were never named are left out, as on AWS."""
        reply: dict[str, Any] = {
            "LastModified": round(config.modified, 3),
            "FunctionArn": naming.arn(self._region, *key),
            "DestinationConfig": {
                "OnSuccess": {},
                "OnFailure": {} if config.on_failure is None else {"Destination": config.on_failure},
            },
        }
        if config.retries is not None:
            reply["MaximumRetryAttempts"] = config.retries
        if config.age_s is not None:
            reply["MaximumEventAgeInSeconds"] = config.age_s
        return reply


def _no_function() -> Refusal:
    return Refusal("ResourceNotFoundException", "The function doesn't exist.")
