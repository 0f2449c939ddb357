"""Finding the function and the version that a request names."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping

from lbench.engine.emulator.api.functions import LATEST, Function, Pool
from lbench.engine.emulator.core import arn as naming
from lbench.engine.emulator.core.errors import Refusal

__all__ = ["find", "named", "not_found", "parameters"]


def parameters(query: str) -> dict[str, str]:
    """The query's parameters; the last of a name counts."""
    return dict(urllib.parse.parse_qsl(query)) if query else {}


def named(region: str, text: str, query: str, operation: str = "") -> tuple[str, str]:
    """(name, qualifier or "") of a request; `text` as in the path, `query` as sent.

    Raises:
        Refusal: they are invalid, or the function would be in another region or account.
    """
    name = urllib.parse.unquote(text) if "%" in text else text
    return naming.parse(name, region, parameters(query).get("Qualifier"), operation=operation)


def find(
    functions: Mapping[str, Function], region: str, text: str, query: str, *, operation: str = "", shown: str = ""
) -> tuple[Function, Pool]:
    """The function and the version of a request; `shown`: the qualifier that the error names where there is none.

    Raises:
        Refusal: no such function or version, or as `named` does.
    """
    name, qualifier = named(region, text, query, operation)
    function = functions.get(name)
    pool = None if function is None else function.pools.get(qualifier or LATEST)
    if function is None or pool is None:
        raise not_found(region, name, qualifier or shown)
    return function, pool


def not_found(region: str, name: str, qualifier: str = "") -> Refusal:
    """The refusal of a function or version that does not exist."""
    return Refusal("ResourceNotFoundException", f"Function not found: {naming.arn(region, name, qualifier)}")
