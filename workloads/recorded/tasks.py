"""The task that is a recorded call."""

from __future__ import annotations

from typing import Any

from lbench.errors import EncodingError
from lbench.workloads.encoding import encode
from lbench.workloads.functions import task_function
from lbench.workloads.own.importer import find_name
from lbench.workloads.recorded.values import Packer, unpack

__all__ = ["CALL", "call"]

CALL = "recorded.call"
_set_up: bytes | None = None  # the initializer that has run last in this process


@task_function(CALL)
def call(given: list[Any], setup: Any = None) -> Any:
    """Call a function as the script did, and pack its result. `given`: the function, its arguments, those by name."""
    global _set_up
    if setup is not None and (key := encode(setup)) != _set_up:  # another pool's has set the same names, maybe
        initializer, arguments = unpack(setup, find_name)
        initializer(*arguments)
        _set_up = key
    function, args, kwargs = unpack(given, find_name)
    result = function(*args, **kwargs)
    try:
        return Packer().pack(result, shared=False)
    except EncodingError as error:
        raise EncodingError(f"its result cannot be sent: {error}") from None
