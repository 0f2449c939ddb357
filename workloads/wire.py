"""The messages of driver and handler through Invoke: one definition for both ends.

Bytes travel as base64 inside the JSON (msgspec does so by itself). Times are seconds since the epoch on the
environment's clock; durations are milliseconds.
"""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["LINE_BYTES", "Answer", "Event", "Letter", "Object", "TaskError"]

LINE_BYTES = 26  # CloudWatch charges for these on top of each log event (its PutLogEvents documentation)


class Object(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where bytes lie in S3. `endpoint` None: AWS's own; `sha256` None: not yet written."""

    bucket: str
    key: str
    region: str = "us-east-1"
    endpoint: str | None = None
    sha256: str | None = None
    bytes: int | None = None
    crc32: int | None = None  # of what is fetched once and soon: it costs half of what a SHA-256 does


class Event(msgspec.Struct, omit_defaults=True):
    """One call of a task function. Exactly one of `task` and `task_at` is set: `encode([function, arguments])`."""

    deadline_ms: int  # the watchdog ends the environment so long after the handler began
    result_limit: int  # the largest answer, in bytes of JSON, that may come back inline
    call: int | None = None  # the driver's number; the answer repeats it, so that none is taken for another call's
    task: bytes | None = None
    task_at: Object | None = None
    data: Object | None = None
    result_to: Object | None = None  # where a result goes that is too large to come back inline
    answer_to: Object | None = None  # where the answer goes as a `Letter`, because nobody waits for it
    mark: str | None = None  # printed into the log with the request's id, for who reads the log afterwards
    print_limit: int | None = None  # bytes of log (counted as in `Answer.printed`) after which prints are dropped


class Answer(msgspec.Struct, omit_defaults=True):
    """How a call went. Exactly one of `result` and `result_at` is set: `encode(value)`; neither if the task raised."""

    environment: str
    cold: bool  # whether it was the first call in its environment
    received: float  # the handler began
    sent: float  # the handler ended
    call: int | None = None  # the event's
    result: bytes | None = None
    result_at: Object | None = None
    fetch_ms: float | None = None  # task and data from S3, checked and mapped; None: nothing to fetch
    import_ms: float | None = None  # finding the task's function (its libraries, the first time)
    compute_ms: float | None = None  # the task's own code
    store_ms: float | None = None  # the result to S3
    init_ms: float | None = None  # with a cold call: from the process's start until the handler was loaded, about
    printed: int | None = None  # bytes that prints of the task's code added to the log, with `LINE_BYTES` for each line
    s3: dict[str, int] = {}  # requests made, and bytes that the task has stored: {"get": n, "put": n, "bytes": n}
    cpu_model: str | None = None  # with an environment's first answer only
    versions: dict[str, Any] | None = None  # likewise


class TaskError(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What the task's own code raised, in the words of the runtime's function errors."""

    error_message: str
    error_type: str
    stack_trace: list[str] | None = None


class Letter(msgspec.Struct, omit_defaults=True):
    """An answer that does not come back through Invoke: as an object in S3, or as the body of an HTTP API's response."""

    answer: Answer
    request_id: str | None = None
    error: TaskError | None = None
