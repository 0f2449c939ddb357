"""The task that is a recorded call."""

from __future__ import annotations

import threading
from typing import Any

from lbench.errors import EncodingError
from lbench.workloads.encoding import encode
from lbench.workloads.functions import task_function
from lbench.workloads.own.importer import find_name
from lbench.workloads.recorded.values import Packer, unpack

__all__ = ["CALL", "call"]

CALL = "recorded.call"
_set_up: bytes | None = None  # the initializer that has run last in this process
_thread = threading.local()  # `set_up`: the same of a thread, as an initializer may set what only its thread has


@task_function(CALL)
def call(given: list[Any], setup: Any = None) -> Any:
    """Call a function as the script did, and pack its result. `given`: the function, its arguments, those by name."""
    global _set_up
    if setup is not None:
        key = encode(setup)
        if key != _set_up or key != getattr(_thread, "set_up", None):  # another pool's has set the same names, maybe
            initializer, arguments = unpack(setup, find_name)
            initializer(*arguments)
            _set_up = _thread.set_up = key
    function, args, kwargs = unpack(given, find_name)
    result = function(*args, **kwargs)
    try:
        return Packer().pack(result, shared=False)
    except EncodingError as error:
        raise EncodingError(f"its result cannot be sent: {error}") from None
