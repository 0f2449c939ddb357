"""The operations on functions besides Invoke: create, change, publish, delete, list, reserve."""

from __future__ import annotations

import base64
import urllib.parse
import uuid
from pathlib import Path
from typing import Any

import msgspec

from lbench.config.limits import limits as lambda_limits
from lbench.engine.emulator.api.async_queue import EventQueue
from lbench.engine.emulator.api.describe import configuration, timestamp
from lbench.engine.emulator.api.functions import LATEST, Function
from lbench.engine.emulator.api.invoke import find
from lbench.engine.emulator.api.requests import (
    Code,
    Create,
    Publish,
    Settings,
    UpdateCode,
    check_architectures,
    decode,
    invalid,
    out_of_bounds,
    with_settings,
)
from lbench.engine.emulator.api.unpack import UNZIPPED_LIMIT, ZIPPED_LIMIT, BadPackage, Package, unpack
from lbench.engine.emulator.core import arn as naming
from lbench.engine.emulator.core.context import Shared
from lbench.engine.emulator.core.errors import Refusal
from lbench.engine.emulator.core.spec import FunctionSpec
from lbench.errors import InputError

__all__ = ["Control"]

_PAGE = 50  # functions on a page: AWS's most, whatever is asked for


class Control:
    """The operations; each returns its reply as JSON values."""

    def __init__(self, shared: Shared, functions: dict[str, Function], events: EventQueue) -> None:
        self._shared = shared
        self._functions = functions
        self._events = events
        self._region = shared.config.region
        self._stamps: dict[tuple[str, str], dict[str, str]] = {}  # LastModified and RevisionId of each version
        self.leaving: list[Function] = []  # deleted, but not all of their environments have ended

    def add(self, spec: FunctionSpec) -> Function:
        """Add a function of the emulator's configuration or of CreateFunction.

        Raises:
            InputError: its code is a zip file that cannot be unpacked.
        """
        if spec.code.endswith(".zip") and Path(spec.code).is_file():
            try:
                package = unpack(Path(spec.code).read_bytes(), self._shared.scratch.path / "code")
            except BadPackage as problem:
                raise InputError(f"function {spec.name}: {spec.code}: {problem}") from None
            spec = msgspec.structs.replace(
                spec, code=str(package.folder), code_sha256=package.digest, code_bytes=package.size
            )
        function = self._functions[spec.name] = Function(spec, self._shared)
        self._touch(spec)
        return function

    def _touch(self, spec: FunctionSpec) -> None:
        self._stamps[spec.name, spec.version] = {"LastModified": timestamp(), "RevisionId": str(uuid.uuid4())}

    def _describe(self, spec: FunctionSpec, *, qualified: bool = False) -> dict[str, Any]:
        return configuration(spec, self._region, self._stamps[spec.name, spec.version], qualified=qualified)

    # -- reading
    def get(self, name: str, query: str) -> dict[str, Any]:
        """GetFunction."""
        function, pool = find(self._functions, self._region, name, query)
        reply: dict[str, Any] = {
            "Configuration": self._describe(pool.spec, qualified="Qualifier=" in query),
            "Code": {"RepositoryType": "folder", "Location": pool.spec.code},
        }
        if function.reserved is not None:
            reply["Concurrency"] = {"ReservedConcurrentExecutions": function.reserved}
        return reply

    def get_configuration(self, name: str, query: str) -> dict[str, Any]:
        """GetFunctionConfiguration."""
        _, pool = find(self._functions, self._region, name, query)
        return self._describe(pool.spec, qualified="Qualifier=" in query)

    def list_functions(self, query: str) -> dict[str, Any]:
        """ListFunctions: pages of at most 50, `Marker` is where the next begins."""
        asked = dict(urllib.parse.parse_qsl(query))
        specs = []
        for name in sorted(self._functions):
            pools = self._functions[name].pools
            specs += [pool.spec for pool in pools.values()] if asked.get("FunctionVersion") else [pools[LATEST].spec]
        return self._page("Functions", [self._describe(s, qualified="FunctionVersion" in asked) for s in specs], asked)

    def list_versions(self, name: str, query: str) -> dict[str, Any]:
        """ListVersionsByFunction."""
        function, _ = find(self._functions, self._region, name, "")
        entries = [self._describe(pool.spec, qualified=True) for pool in function.pools.values()]
        return self._page("Versions", entries, dict(urllib.parse.parse_qsl(query)))

    def _page(self, key: str, entries: list[dict[str, Any]], asked: dict[str, str]) -> dict[str, Any]:
        try:
            start = int(base64.urlsafe_b64decode(asked.get("Marker", "") or "MA=="))
            count = int(asked.get("MaxItems", _PAGE))
        except ValueError:
            raise Refusal(
                "InvalidParameterValueException", "Marker must be a NextMarker of an earlier reply, MaxItems a number"
            ) from None
        if not 1 <= count <= 10_000:
            raise out_of_bounds("maxItems", count, 1, 10_000)
        end = start + min(count, _PAGE)
        page: dict[str, Any] = {key: entries[start:end]}
        if end < len(entries):
            page["NextMarker"] = base64.urlsafe_b64encode(str(end).encode()).decode()
        return page

    def account(self) -> dict[str, Any]:
        """GetAccountSettings."""
        limits = self._shared.limits
        sizes = {function.spec.code_sha256: function.spec.code_bytes for function in self._functions.values()}
        return {
            "AccountLimit": {
                "TotalCodeSize": 322_122_547_200,
                "CodeSizeUnzipped": UNZIPPED_LIMIT,
                "CodeSizeZipped": ZIPPED_LIMIT,
                "ConcurrentExecutions": limits.concurrency,
                "UnreservedConcurrentExecutions": limits.unreserved(),
            },
            "AccountUsage": {"TotalCodeSize": sum(sizes.values()), "FunctionCount": len(self._functions)},
        }

    # -- changing
    def create(self, body: bytes | bytearray) -> dict[str, Any]:
        """CreateFunction."""
        asked = decode(body, Create)
        name, _ = naming.parse(asked.function_name)
        if not naming.valid(name):
            naming.parse("")  # refuses
        if name in self._functions:
            raise Refusal("ResourceConflictException", f"Function already exist: {name}")
        if asked.package_type != "Zip":
            raise invalid(f"PackageType {asked.package_type} is not emulated: use Zip")
        if asked.runtime is None or asked.handler is None:
            raise invalid(
                "Runtime and Handler are mandatory parameters for functions created with deployment packages."
            )
        check_architectures(asked.architectures)
        base = FunctionSpec(name=name, handler=asked.handler, code="", memory_mb=lambda_limits().memory_min_mb)
        spec = self._with_code(with_settings(base, asked), asked.code)
        self.add(spec)
        return self._describe(self._publish(name, "") if asked.publish else spec)

    def update_code(self, name: str, body: bytes | bytearray) -> dict[str, Any]:
        """UpdateFunctionCode."""
        function, pool = self._latest(name)
        asked = decode(body, UpdateCode)
        self._check_revision(pool, asked.revision_id)
        check_architectures(asked.architectures)
        spec = self._with_code(pool, asked)
        if asked.dry_run:
            return self._describe(spec)
        function.replace(spec)
        self._touch(spec)
        return self._describe(self._publish(function.name, "") if asked.publish else spec)

    def update_configuration(self, name: str, body: bytes | bytearray) -> dict[str, Any]:
        """UpdateFunctionConfiguration."""
        function, old = self._latest(name)
        asked = decode(body, Settings)
        self._check_revision(old, asked.revision_id)
        spec = with_settings(old, asked)
        function.replace(spec)
        self._touch(spec)
        return self._describe(spec)

    def publish(self, name: str, body: bytes | bytearray) -> dict[str, Any]:
        """PublishVersion."""
        function, latest = self._latest(name)
        asked = decode(body, Publish)
        self._check_revision(latest, asked.revision_id)
        if asked.code_sha256 not in (None, "", self._describe(latest)["CodeSha256"]):
            raise invalid(f"CodeSHA256 ({asked.code_sha256}) is different from current CodeSHA256 in $LATEST.")
        return self._describe(self._publish(function.name, asked.description))

    def _publish(self, name: str, description: str | None) -> FunctionSpec:
        """Publish `$LATEST`; the last version where nothing has changed since."""
        function = self._functions[name]
        latest = function.spec
        change: dict[str, Any] = {"description": description} if description else {}
        last = function.pools.get(str(function.last_version))
        if last is not None and msgspec.structs.replace(last.spec, version=LATEST, description=None) == (
            msgspec.structs.replace(latest, description=None)
        ):
            return last.spec
        spec = msgspec.structs.replace(latest, version=str(function.last_version + 1), **change)
        function.publish(spec)
        self._touch(spec)
        return spec

    def delete(self, name: str, query: str) -> None:
        """DeleteFunction, or one of its versions."""
        function, pool = find(self._functions, self._region, name, query)
        if pool.spec.version != LATEST:
            pool.retire()
            del function.pools[pool.spec.version]
            return
        if "Qualifier=" in query:
            raise invalid("$LATEST version cannot be deleted without deleting the function.")
        del self._functions[function.name]
        function.remove()
        self._events.forget(function.name)
        self.leaving = [one for one in self.leaving if one.environments]
        self.leaving.append(function)

    # -- reserved concurrency
    def put_concurrency(self, name: str, body: bytes | bytearray) -> dict[str, Any]:
        """PutFunctionConcurrency."""
        function, _ = find(self._functions, self._region, name, "")
        asked = decode(body, dict[str, Any]).get("ReservedConcurrentExecutions")
        if not isinstance(asked, int) or isinstance(asked, bool) or asked < 0:
            raise out_of_bounds("reservedConcurrentExecutions", asked, 0, None)
        limits = self._shared.limits
        least = limits.least_unreserved()
        if asked and limits.unreserved(besides=function.name) - asked < least:
            raise invalid(
                "Specified ReservedConcurrentExecutions for function decreases account's "
                f"UnreservedConcurrentExecution below its minimum value of [{least}]."
            )
        function.reserve(asked)
        return {"ReservedConcurrentExecutions": asked}

    def get_concurrency(self, name: str) -> dict[str, Any]:
        """GetFunctionConcurrency."""
        function, _ = find(self._functions, self._region, name, "")
        return {} if function.reserved is None else {"ReservedConcurrentExecutions": function.reserved}

    def delete_concurrency(self, name: str) -> None:
        """DeleteFunctionConcurrency."""
        find(self._functions, self._region, name, "")[0].reserve(None)

    # -- helpers
    def _latest(self, name: str) -> tuple[Function, FunctionSpec]:
        function, _ = find(self._functions, self._region, name, "")
        return function, function.spec

    def _check_revision(self, spec: FunctionSpec, revision: str | None) -> None:
        if revision and revision != self._stamps[spec.name, spec.version]["RevisionId"]:
            raise Refusal(
                "PreconditionFailedException",
                "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to "
                "retrieve the latest Revision Id",
            )

    def _with_code(self, spec: FunctionSpec, code: Code) -> FunctionSpec:
        package = self._unpack(code)
        return msgspec.structs.replace(
            spec, code=str(package.folder), code_sha256=package.digest, code_bytes=package.size
        )

    def _unpack(self, code: Code) -> Package:
        if code.zip_file is None:
            given = "S3" if code.s3_bucket else "an image" if code.image_uri else "nothing"
            raise invalid(f"Code from {given} is not emulated: send a ZipFile")
        if len(code.zip_file) > ZIPPED_LIMIT:
            raise Refusal("RequestTooLargeException", f"Zipped size must be smaller than {ZIPPED_LIMIT} bytes")
        try:
            return unpack(code.zip_file, self._shared.scratch.path / "code")
        except BadPackage as problem:
            raise invalid(str(problem)) from None
        except OSError as problem:
            raise Refusal("ServiceException", f"the code cannot be unpacked here: {problem.strerror}") from None
