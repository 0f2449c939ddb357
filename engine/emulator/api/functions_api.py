"""The operations on functions besides Invoke: create, change, publish, delete, list, reserve."""

from __future__ import annotations

import base64
import secrets
import shutil
from pathlib import Path
from typing import Any

import msgspec

from lbench.config.limits import limits
from lbench.engine.emulator.api.async_queue import EventQueue
from lbench.engine.emulator.api.describe import code_sha256, configuration
from lbench.engine.emulator.api.functions import LATEST, Function
from lbench.engine.emulator.api.lookup import find, named, not_found, parameters
from lbench.engine.emulator.api.requests import (
    Code,
    Create,
    Publish,
    Settings,
    UpdateCode,
    check_architectures,
    check_tags,
    decode,
    invalid,
    with_settings,
)
from lbench.engine.emulator.api.unpack import BadPackage, Package, archive_of, unpack
from lbench.engine.emulator.api.version_state import VersionState
from lbench.engine.emulator.core import arn as naming
from lbench.engine.emulator.core.arn import invalid_member
from lbench.engine.emulator.core.context import Shared
from lbench.engine.emulator.core.errors import Refusal
from lbench.engine.emulator.core.spec import FunctionSpec
from lbench.errors import InputError

__all__ = ["CODE_PATH", "Control"]

CODE_PATH = "/_lbench/code/"
_PAGE = 50  # functions on a page: AWS's most, whatever is asked for
_MOST_ITEMS = 10_000
_NAME_MAX = 64
_UNQUALIFIED_ONLY = (
    "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. "
    "Please specify either a function name or an unqualified function ARN."
)
_IMAGE = "Please don't provide ImageUri when updating a function with packageType Zip."


class Control:
    """The operations; each returns its reply as JSON values."""

    def __init__(self, shared: Shared, functions: dict[str, Function], events: EventQueue) -> None:
        self._shared = shared
        self._functions = functions
        self._events = events
        self._region = shared.config.region
        self._activation_s = shared.config.activation_s
        self._downloads: dict[str, FunctionSpec] = {}  # by the secret part of their URL
        self.endpoint = ""
        self.leaving: list[Function] = []  # deleted, but not all of their environments have ended

    def add(self, spec: FunctionSpec, activation_s: float = 0.0) -> Function:
        """Add a function of the emulator's configuration or of CreateFunction.

        Raises:
            InputError: its code is a zip file that cannot be unpacked.
        """
        if spec.code.endswith(".zip") and Path(spec.code).is_file():
            try:
                package = unpack(Path(spec.code).read_bytes(), self._shared.scratch.path / "code")
            except BadPackage as problem:
                raise InputError(f"function {spec.name}: {spec.code}: {problem}") from None
            spec = _with_package(spec, package)
        function = self._functions[spec.name] = Function(spec, self._shared, activation_s)
        return function

    def _state(self, function: Function, version: str) -> VersionState:
        function.settle()
        pool = function.latest if version == LATEST else function.pools[version]
        return pool.state.settle(function.loop.time())

    def _describe(
        self, function: Function, spec: FunctionSpec, *, qualified: bool | None = None, listed: bool = False
    ) -> dict[str, Any]:
        """A version's configuration; `qualified` None: as far as it was published."""
        state = self._state(function, spec.version).describe(listed=listed)
        shown = spec.version != LATEST if qualified is None else qualified
        return configuration(spec, self._region, state, qualified=shown, listed=listed)

    # -- reading
    def _find(self, text: str, query: str, operation: str) -> tuple[Function, FunctionSpec, bool]:
        """The function, the version's settings, and whether the request names a version."""
        qualifier = named(self._region, text, query, operation)[1]
        function, pool = find(self._functions, self._region, text, query, operation=operation)
        return function, function.spec if pool.spec.version == LATEST else pool.spec, bool(qualifier)

    def get(self, name: str, query: str) -> dict[str, Any]:
        """GetFunction."""
        function, spec, qualified = self._find(name, query, "GetFunction")
        reply: dict[str, Any] = {
            "Configuration": self._describe(function, spec, qualified=qualified),
            "Code": {"RepositoryType": "S3", "Location": self._location(spec)},
        }
        if function.tags:
            reply["Tags"] = function.tags
        if function.reserved is not None:
            reply["Concurrency"] = {"ReservedConcurrentExecutions": function.reserved}
        return reply

    def _location(self, spec: FunctionSpec) -> str:
        """Where the code's zip can be had, by whoever knows the URL, as with AWS's signed ones."""
        token = next((token for token, known in self._downloads.items() if known.code == spec.code), None)
        if token is None:
            token = secrets.token_urlsafe(24)
            self._downloads[token] = spec
        return f"{self.endpoint}{CODE_PATH}{token}"

    def download(self, token: str) -> bytes | None:
        """The zip of a location; None: there is none of that name."""
        spec = self._downloads.get(token)
        return None if spec is None else archive_of(Path(spec.code))

    def get_configuration(self, name: str, query: str) -> dict[str, Any]:
        function, spec, qualified = self._find(name, query, "GetFunctionConfiguration")
        return self._describe(function, spec, qualified=qualified)

    def list_functions(self, query: str) -> dict[str, Any]:
        """ListFunctions: pages of at most 50, `Marker` is where the next begins."""
        asked = parameters(query)
        if asked.get("FunctionVersion", "ALL") != "ALL":
            text = "Member must satisfy enum value set: [ALL]"
            raise Refusal.invalid([invalid_member("functionVersion", asked["FunctionVersion"], text)])
        if "MasterRegion" in asked:
            raise invalid("MasterRegion is not emulated: leave it out")
        every = "FunctionVersion" in asked
        entries = []
        for name in sorted(self._functions):
            function = self._functions[name]
            for spec in self._specs(function) if every else [function.spec]:
                entries.append(self._describe(function, spec, qualified=every, listed=True))
        return page("Functions", entries, asked)

    def _specs(self, function: Function) -> list[FunctionSpec]:
        return [function.spec, *(pool.spec for version, pool in function.pools.items() if version != LATEST)]

    def list_versions(self, name: str, query: str) -> dict[str, Any]:
        function, _ = find(self._functions, self._region, name, "", operation="ListVersionsByFunction")
        entries = [self._describe(function, spec, qualified=True, listed=True) for spec in self._specs(function)]
        return page("Versions", entries, parameters(query))

    def account(self) -> dict[str, Any]:
        """GetAccountSettings: the code of each version counts."""
        concurrency = self._shared.limits
        sizes = [spec.code_bytes for function in self._functions.values() for spec in self._specs(function)]
        return {
            "AccountLimit": {
                "TotalCodeSize": 322_122_547_200,
                "CodeSizeUnzipped": limits().package_unzipped_max_bytes,
                "CodeSizeZipped": limits().package_zipped_max_bytes,
                "ConcurrentExecutions": concurrency.concurrency,
                "UnreservedConcurrentExecutions": concurrency.unreserved(),
            },
            "AccountUsage": {"TotalCodeSize": sum(sizes), "FunctionCount": len(self._functions)},
        }

    # -- changing
    def create(self, body: bytes | bytearray) -> dict[str, Any]:
        asked = decode(body, Create, "CreateFunction")
        name, qualifier = naming.parse(asked.function_name, self._region, operation="CreateFunction")
        if len(name) > _NAME_MAX:
            text = f"Member must have length less than or equal to {_NAME_MAX}"
            raise invalid(f"1 validation error detected: {invalid_member('functionName', name, text)}")
        if qualifier not in ("", LATEST):
            raise invalid(f"FunctionName must be without the qualifier {qualifier}")
        if name in self._functions:
            raise Refusal("ResourceConflictException", f"Function already exist: {name}")
        if asked.package_type == "Image":
            raise invalid("PackageType Image is not emulated: use Zip")
        if asked.runtime is None or asked.handler is None:
            raise invalid(
                "Runtime and Handler are mandatory parameters for functions created with deployment packages."
            )
        check_architectures(asked.architectures)
        tags = check_tags(asked.tags or {})
        base = FunctionSpec(name=name, handler=asked.handler, code="", memory_mb=limits().memory_min_mb)
        spec = self._with_code(with_settings(base, asked), asked.code)
        function = self.add(spec, self._activation_s)
        function.tags = tags
        if asked.publish:
            return self._describe(function, self._publish(function, None, self._activation_s), qualified=False)
        return self._describe(function, spec)

    def update_code(self, name: str, body: bytes | bytearray) -> dict[str, Any]:
        """UpdateFunctionCode: the very same code is a change too."""
        function = self._latest(name, "UpdateFunctionCode")
        asked = decode(body, UpdateCode, "UpdateFunctionCode")
        if asked.image_uri:
            raise invalid(_IMAGE)
        self._check_change(function, asked.revision_id)
        check_architectures(asked.architectures)
        spec = self._with_code(function.spec, asked)
        if asked.dry_run:
            return self._describe(function, spec)
        function.replace(spec, self._activation_s)
        function.changed = True
        if asked.publish:
            return self._describe(function, self._publish(function, None, self._activation_s))
        return self._describe(function, spec)

    def update_configuration(self, name: str, body: bytes | bytearray) -> dict[str, Any]:
        function = self._latest(name, "UpdateFunctionConfiguration")
        asked = decode(body, Settings, "UpdateFunctionConfiguration")
        self._check_change(function, asked.revision_id)
        old = function.spec
        spec = with_settings(old, asked)
        function.replace(spec, self._activation_s)
        function.changed = function.changed or spec != old
        return self._describe(function, spec)

    def publish(self, name: str, body: bytes | bytearray) -> dict[str, Any]:
        function = self._latest(name, "PublishVersion")
        asked = decode(body, Publish, "PublishVersion")
        self._check_change(function, asked.revision_id)
        current = code_sha256(function.spec)
        if asked.code_sha256 not in (None, "", current):
            raise invalid(
                f"CodeSHA256 ({asked.code_sha256}) is different from current CodeSHA256 in $LATEST ({current}). "
                "Please try again with the CodeSHA256 in $LATEST."
            )
        return self._describe(function, self._publish(function, asked.description))

    def _publish(self, function: Function, description: str | None, activation_s: float = 0.0) -> FunctionSpec:
        """Publish `$LATEST`; the last version where nothing has changed since."""
        last = function.pools.get(str(function.last_version))
        if last is not None and not function.changed:
            return last.spec
        change: dict[str, Any] = {"description": description} if description else {}
        spec = msgspec.structs.replace(function.spec, version=str(function.last_version + 1), **change)
        function.publish(spec, activation_s)
        return spec

    def delete(self, text: str, query: str) -> None:
        """DeleteFunction, or one of its versions; a version that does not exist is no error."""
        name, qualifier = named(self._region, text, query, "DeleteFunction")
        if qualifier == LATEST:
            raise invalid("$LATEST version cannot be deleted without deleting the function.")
        function = self._functions.get(name)
        if function is None:
            raise not_found(self._region, name)
        if qualifier:
            pool = function.pools.pop(qualifier, None)
            if pool is not None:
                pool.retire()
            return
        del self._functions[function.name]
        function.remove()
        self._events.forget(function.name)
        self.leaving = [one for one in self.leaving if one.environments]
        self.leaving.append(function)

    # -- reserved concurrency
    def put_concurrency(self, name: str, body: bytes | bytearray) -> dict[str, Any]:
        asked = decode(body, dict[str, int], "PutFunctionConcurrency")["ReservedConcurrentExecutions"]
        function = self._unqualified(name, "PutFunctionConcurrency", shown=LATEST)
        concurrency = self._shared.limits
        least = concurrency.least_unreserved()
        if asked and concurrency.unreserved(besides=function.name) - asked < least:
            raise invalid(
                "Specified ReservedConcurrentExecutions for function decreases account's "
                f"UnreservedConcurrentExecution below its minimum value of [{least}]."
            )
        function.reserve(asked)
        return {"ReservedConcurrentExecutions": asked}

    def get_concurrency(self, name: str) -> dict[str, Any]:
        function = self._unqualified(name, "GetFunctionConcurrency")
        return {} if function.reserved is None else {"ReservedConcurrentExecutions": function.reserved}

    def delete_concurrency(self, name: str) -> None:
        self._unqualified(name, "DeleteFunctionConcurrency").reserve(None)

    # -- helpers
    def _unqualified(self, text: str, operation: str, shown: str = "") -> Function:
        name, qualifier = named(self._region, text, "", operation)
        if qualifier:
            raise invalid(_UNQUALIFIED_ONLY)
        if name not in self._functions:
            raise not_found(self._region, name, shown)
        return self._functions[name]

    def _latest(self, name: str, operation: str) -> Function:
        return find(self._functions, self._region, name, "", operation=operation)[0]

    def _check_change(self, function: Function, revision: str | None) -> None:
        """Check that `$LATEST` may change now.

        Raises:
            Refusal: a change is under way, or the revision is not the current one.
        """
        state = self._state(function, LATEST)
        busy = "The operation cannot be performed at this time. "
        if state.pending:
            text = f"{busy}The function is currently in the following state: Pending"
            raise Refusal("ResourceConflictException", text)
        if state.in_progress:
            text = f"{busy}An update is in progress for resource: {naming.arn(self._region, function.name)}"
            raise Refusal("ResourceConflictException", text)
        if revision and revision != state.revision:
            raise Refusal(
                "PreconditionFailedException",
                "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to "
                "retrieve the latest Revision Id",
            )

    def _with_code(self, spec: FunctionSpec, code: Code) -> FunctionSpec:
        return _with_package(spec, self._unpack(code))

    def _unpack(self, code: Code) -> Package:
        if code.zip_file is None:
            raise invalid("Please provide a source for function code: send a ZipFile")
        most = limits().package_zipped_max_bytes
        if len(code.zip_file) > most:
            raise Refusal("RequestEntityTooLargeException", f"Zipped size must be smaller than {most} bytes")
        try:
            return unpack(code.zip_file, self._shared.scratch.path / "code")
        except BadPackage as problem:
            raise invalid(str(problem)) from None
        except (OSError, shutil.Error) as problem:
            text = f"cannot unpack the code here: {getattr(problem, 'strerror', problem)}"
            raise Refusal("ServiceException", text) from None


def _with_package(spec: FunctionSpec, package: Package) -> FunctionSpec:
    return msgspec.structs.replace(spec, code=str(package.folder), code_sha256=package.digest, code_bytes=package.size)


def page(key: str, entries: list[dict[str, Any]], asked: dict[str, str], most: int = _MOST_ITEMS) -> dict[str, Any]:
    """A page of a list, by the query's `Marker` and `MaxItems`.

    Raises:
        Refusal: they are invalid.
    """
    try:
        start = int(base64.urlsafe_b64decode(asked.get("Marker", "") or "MA=="))
        count = int(asked.get("MaxItems", min(_PAGE, most)))
    except ValueError:
        raise invalid("Marker must be a NextMarker of an earlier reply, MaxItems a number") from None
    if not 1 <= count <= most:
        bound = "greater than or equal to 1" if count < 1 else f"less than or equal to {most}"
        raise Refusal.invalid([invalid_member("maxItems", count, f"Member must have value {bound}")])
    end = start + min(count, _PAGE)
    shown: dict[str, Any] = {key: entries[start:end]}
    if end < len(entries):
        shown["NextMarker"] = base64.urlsafe_b64encode(str(end).encode()).decode()
    return shown
