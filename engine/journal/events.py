"""The journal's events, one a line. A session is nothing but the fold of its events (`engine.session`).

Every event is one JSON object with `event` first. Times ending `_s` are seconds since the run's start. An
invocation has a number within its run (`n`, from 0), so that its end finds its beginning without a search.
"""

from __future__ import annotations

from typing import Any

import msgspec

from lbench.decoding import decode_with
from lbench.engine.machine.fingerprint import Environment, MachineSample
from lbench.engine.machine.processor_time import Usage
from lbench.engine.model import (
    Answer,
    ComparisonEnd,
    DataInfo,
    Driver,
    ErrorInfo,
    Interaction,
    InvocationStatus,
    LambdaEnvironment,
    Measures,
    Milliseconds,
    Origin,
    Paired,
    Pricing,
    RunStatus,
    Schedule,
    Seconds,
    Sweep,
    check_times,
)
from lbench.errors import visible_json

__all__ = [
    "JOURNAL_VERSION",
    "PREVIEWS_NAME",
    "Answered",
    "Audited",
    "ComparisonEnded",
    "Dispatched",
    "EnvironmentSeen",
    "Event",
    "Paused",
    "Phase",
    "Previewed",
    "Returned",
    "RunEnded",
    "RunPlanned",
    "RunStarted",
    "Sampled",
    "SessionEnded",
    "SessionStarted",
    "StageEnded",
    "StageStarted",
    "Warned",
    "decode_event",
    "decode_events",
    "encode_lines",
]

JOURNAL_VERSION = 1
PREVIEWS_NAME = "previews.bin"


class _Event(msgspec.Struct, tag_field="event", omit_defaults=True):
    pass


class SessionStarted(_Event, tag="session"):
    """The first line: the session's id, machine and software."""

    id: str
    name: str
    created: str
    lbench_version: str
    environment: Environment
    format: str = ""
    version: int = 0


class RunPlanned(Paired, _Event, tag="planned"):
    """A run of the plan, recorded before it starts so that a viewer can show the whole table."""

    run: str
    workload: str
    params: dict[str, Any]
    seed: int
    backend: str
    label: str
    origin: Origin
    repeat: int
    warmup: bool
    schedule: Schedule
    tasks: int | None = None
    interaction: Interaction | None = None
    cold: bool | None = None  # whether all its environments are new
    round: int | None = None  # of an interleaved session, from 0
    sweep: Sweep | None = None


class RunStarted(_Event, tag="started"):
    """The run's clock starts: everything is open and warm."""

    run: str
    started: str
    setup_s: Seconds | None  # of the backend; null when it was open already
    settings: dict[str, Any]
    transport: str | None
    oversubscribed: bool
    code_digest: str
    package_digest: str | None
    pricing: Pricing
    notes: list[str] = []
    data: DataInfo | None = None
    capacity: int = 1


class StageStarted(_Event, tag="stage"):
    """The job yielded a stage."""

    run: str
    index: int
    tasks: int
    at_s: Seconds


class StageEnded(_Event, tag="stage_end"):
    """All results of the stage have returned."""

    run: str
    index: int
    at_s: Seconds


class Dispatched(_Event, tag="dispatched"):
    """An attempt was handed to the backend."""

    run: str
    n: int
    stage: int
    task: int
    attempt: int
    queued_s: Seconds
    dispatched_s: Seconds
    environment: str | None = None
    hedge_of: int | None = None


class _Charged(Measures, kw_only=True):
    s3_put: int = 0
    s3_get: int = 0
    s3_bytes: int = 0  # put there
    request_id: str | None = None
    log_tail: str | None = None
    error: ErrorInfo | None = None


class Returned(_Event, _Charged, tag="returned"):
    """An attempt ended, with all that is known of it."""

    run: str
    n: int
    status: InvocationStatus
    returned_s: Seconds
    environment: str | None = None
    cold: bool | None = None
    started_s: Seconds | None = None
    finished_s: Seconds | None = None


class Audited(_Event, tag="audited"):
    """AWS's own figures of an invocation, from its log; they replace the estimates."""

    run: str
    n: int
    billed_ms: int
    init_ms: Milliseconds | None = None
    memory_mb: int | None = None
    max_memory_mb: int | None = None
    request_id: str | None = None


class EnvironmentSeen(_Event, tag="environment"):
    """An environment's data; a later line replaces an earlier one."""

    run: str
    info: LambdaEnvironment


class Previewed(_Event, tag="preview"):
    """A block of the growing preview lies in the file `PREVIEWS_NAME`: `length` bytes at `offset` (`workloads.encoding`)."""

    run: str
    stage: int
    task: int
    offset: int
    length: int


class Sampled(_Event, tag="sample"):
    """The machine's state at a moment of a run."""

    run: str
    sample: MachineSample


class RunEnded(_Event, tag="ended"):
    """The run's clock stopped."""

    run: str
    status: RunStatus
    makespan_s: Seconds | None
    driver: Driver | None
    error: str | None = None
    s3_put: int = 0  # the driver's own requests: data set, arguments, results
    s3_get: int = 0
    s3_bytes: int = 0  # put there
    overlaps: list[str] = []
    cold: bool | None = None  # whether all the environments that it reached were new; null: it does not apply
    worker_s: Seconds | None = None  # of a cluster: the time of all its workers, idle time too
    usage: Usage | None = None  # what the tasks did with their time; null: not known
    notes: list[str] = []  # more of what `RunStarted` has: what only the run itself has shown


class ComparisonEnded(_Event, tag="comparison"):
    """All runs of a plan have ended: which belong together, and what ended their repeats."""

    id: str
    runs: list[str]
    ended_by: ComparisonEnd
    rounds: int  # repeats of each backend that was not given up
    text: str  # the same in one sentence


class Answered(_Event, tag="answer"):
    """The run's answer was compared with the reference."""

    run: str
    answer: Answer


class Phase(_Event, tag="phase"):
    """The engine's work outside every run's clock: loading data, opening a backend, checking."""

    text: str


class Paused(_Event, tag="paused"):
    """Dispatch was paused or resumed."""

    paused: bool


class Warned(_Event, tag="warning"):
    """A warning, for a run or for the session."""

    code: str
    text: str
    run: str | None = None


class SessionEnded(_Event, tag="end"):
    """The engine has finished the plan; `complete` is false if it was stopped."""

    complete: bool
    reason: str | None = None


Event = (
    SessionStarted
    | RunPlanned
    | RunStarted
    | StageStarted
    | StageEnded
    | Dispatched
    | Returned
    | Audited
    | EnvironmentSeen
    | Previewed
    | Sampled
    | RunEnded
    | ComparisonEnded
    | Answered
    | Phase
    | Paused
    | Warned
    | SessionEnded
)

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def encode_lines(events: list[Event]) -> bytes:
    """The events as JSON lines, each with its line end.

    Text that is not Unicode (a file name in another encoding has lone surrogates in Python) is written with escapes:
    one such event must not lose those around it.
    """
    try:
        return _encoder.encode_lines(events)
    except UnicodeEncodeError:
        return _encoder.encode_lines([_plain(msgspec.to_builtins(event)) for event in events])


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def decode_events(lines: bytes) -> list[Event]:
    """Whole lines, in a third of the time of one by one.

    Raises:
        msgspec.MsgspecError: some line is no event of this version, is empty, or has an invalid time.
        UnicodeDecodeError: some line is not UTF-8.
    """
    if not lines.isascii() or b"\\" in lines or b"\x7f" in lines:
        visible = b"\n".join(map(visible_json, lines.split(b"\n")))
    else:
        visible = lines
    try:
        events = _decoder.decode_lines(visible)
    except RecursionError:
        raise msgspec.DecodeError("a line is nested too deeply") from None
    if len(events) != lines.count(b"\n"):
        raise msgspec.DecodeError("a line is empty")
    for event in events:
        if type(event) in _TIMED:
            _check(event)
    return events


def decode_event(line: bytes | memoryview) -> Event:
    """One line.

    Raises:
        msgspec.MsgspecError: the line is no event of this version, or has an invalid time.
    """
    try:
        event = decode_with(_decoder, visible_json(line))
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError(str(error)) from None
    _check(event)
    return event


_TIMED = {SessionStarted, RunStarted}


def _check(event: Event) -> None:
    if isinstance(event, SessionStarted | RunStarted):
        check_times([event.created if isinstance(event, SessionStarted) else event.started])
