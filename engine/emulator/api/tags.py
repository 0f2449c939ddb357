"""The operations on a function's tags."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Mapping
from typing import Any

from lbench.engine.emulator.api.functions import Function
from lbench.engine.emulator.api.lookup import not_found
from lbench.engine.emulator.api.requests import Tagging, check_tags, decode, invalid
from lbench.engine.emulator.core import arn as naming
from lbench.engine.emulator.core.errors import Refusal

__all__ = ["Tags"]


class Tags:
    """The operations; each returns its reply as JSON values."""

    def __init__(self, region: str, functions: Mapping[str, Function]) -> None:
        self._region = region
        self._functions = functions

    def add(self, resource: str, body: bytes | bytearray) -> None:
        """TagResource."""
        tags = {name: value or "" for name, value in decode(body, Tagging, "TagResource").tags.items()}
        function = self._find(resource, "TagResource")
        if not tags:
            raise invalid("An error occurred and the request cannot be processed.")
        function.tags = check_tags(function.tags | tags)

    def remove(self, resource: str, query: str) -> None:
        """UntagResource."""
        names = [value for name, value in urllib.parse.parse_qsl(query) if name == "tagKeys"]
        if not names:
            raise Refusal.invalid([naming.invalid_member("tagKeys", None, "Member must not be null")])
        function = self._find(resource, "UntagResource")
        function.tags = {name: value for name, value in function.tags.items() if name not in names}

    def all(self, resource: str) -> dict[str, Any]:
        """ListTags."""
        return {"Tags": self._find(resource, "ListTags").tags}

    def _find(self, resource: str, operation: str) -> Function:
        text = urllib.parse.unquote(resource)
        if not re.fullmatch(naming.TAGGABLE, text):
            constraint = f"Member must satisfy regular expression pattern: {naming.TAGGABLE}"
            raise Refusal.invalid([naming.invalid_member("resource", text, constraint)])
        if text.split(":")[5] != "function":
            raise invalid(f"Tags of {text.split(':')[5]} are not emulated: name a function")
        name, qualifier = naming.parse(text, self._region, operation=operation)
        if qualifier:
            raise invalid("Tags on function aliases and versions are not supported. Please specify a function ARN.")
        function = self._functions.get(name)
        if function is None:
            raise not_found(self._region, name)
        return function
