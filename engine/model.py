"""The session document (`lbench.session`, version 1) as typed data; docs/session.schema.json is generated from it.

Times ending `_s` inside a run are seconds since that run's start on the driver's clock. What was not measured, or
does not apply, is null, never 0. Money is a decimal string.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from operator import attrgetter
from typing import Annotated, Any, Literal

import msgspec

from lbench.config.limits import limits
from lbench.config.prices import Rates
from lbench.engine.machine.fingerprint import Environment, MachineSample
from lbench.engine.machine.processor_time import Usage

__all__ = [
    "EXCHANGES",
    "VERSION",
    "Answer",
    "BilledSource",
    "Comparison",
    "ComparisonEnd",
    "Cost",
    "CostTexts",
    "Curve",
    "CurveCrossing",
    "CurvePoint",
    "DataInfo",
    "Document",
    "Driver",
    "ErrorInfo",
    "Explanation",
    "Interaction",
    "Interval",
    "IntervalKind",
    "Invocation",
    "InvocationStatus",
    "LambdaEnvironment",
    "Measures",
    "Milliseconds",
    "Origin",
    "Paired",
    "Prediction",
    "Pricing",
    "PricingTexts",
    "Quantities",
    "RateTexts",
    "RentBreakEven",
    "Run",
    "RunStatus",
    "S3Usage",
    "Schedule",
    "Seconds",
    "Stage",
    "Sweep",
    "SweepCurves",
    "TunedCandidate",
    "Tuning",
    "Usd",
    "UsdInterval",
    "VarianceShares",
    "Warning_",
    "check_times",
    "epoch_s",
    "point_text",
    "shared_fields",
]

EXCHANGES = "its tasks exchange objects, on Lambda through S3"  # a note of a local run
VERSION = 1

Origin = Literal["measured", "emulated", "simulated"]
Schedule = Literal["isolated", "alternating", "concurrent"]
RunStatus = Literal["running", "ok", "failed", "wrong_answer", "cancelled", "interrupted", "over_budget"]
InvocationStatus = Literal["ok", "error", "throttled", "timeout", "cancelled", "superseded"]
Usd = Annotated[str, msgspec.Meta(pattern=r"^-?\d+(\.\d+)?$", description="US dollars, a plain decimal")]
# Wider than any figure or bill can hold (three centuries): only damaged records are outside.
Seconds = Annotated[float, msgspec.Meta(ge=-1e10, le=1e10)]
Milliseconds = Annotated[float, msgspec.Meta(ge=-1e13, le=1e13)]
# What ended the repeats of a comparison: their number, the precision of every speedup, the limit, a person, a failure.
ComparisonEnd = Literal["count", "precision", "time", "cancelled", "failed"]
BilledSource = Literal["report", "audit", "estimated", "model"]


def check_times(texts: Iterable[str]) -> None:
    """Refuse an invalid time where it is decoded, not where it is drawn.

    Raises:
        msgspec.ValidationError: one is not an ISO 8601 time that this machine's clock could show.
    """
    for text in texts:
        try:
            datetime.fromisoformat(text).timestamp()
        except (ValueError, OverflowError):
            raise msgspec.ValidationError(f"{text!r} is not an ISO 8601 time") from None


def epoch_s(text: str) -> float:
    """A recorded ISO 8601 time as seconds since 1970."""
    return datetime.fromisoformat(text).timestamp()


def shared_fields(source: msgspec.Struct, kind: type[msgspec.Struct]) -> dict[str, Any]:
    """The values of the fields that a record of another kind has under the same names."""
    names = set(kind.__struct_fields__)
    return {name: getattr(source, name) for name in source.__struct_fields__ if name in names}


class DataInfo(msgspec.Struct, frozen=True):
    """The data set that a run read, and what it is: `source` names the file or the generator."""

    source: str
    digest: str
    rows: int
    columns: int
    bytes: int
    notes: list[str] = []


class Answer(msgspec.Struct, frozen=True):
    """Whether a run's answer is right (`ok` is null where nothing could be compared), and how that was found."""

    ok: bool | None
    check: str
    digest: str  # empty: the answer was not computed
    summary: dict[str, Any] = {}

    @property
    def computed(self) -> bool:
        """Whether there is an answer: a simulated run may have none."""
        return bool(self.digest)


class Driver(msgspec.Struct, frozen=True):
    """What the driver itself spent on a run: its CPU, the job's own code, and how late its event loop was."""

    cpu_s: Seconds
    encode_s: Seconds
    decode_s: Seconds
    merge_s: Seconds
    loop_lag_p99_ms: Milliseconds | None
    loop_lag_max_ms: Milliseconds | None


class Stage(msgspec.Struct, frozen=True):
    """One stage of a run."""

    index: int
    started_s: Seconds
    finished_s: Seconds | None
    tasks: int


class LambdaEnvironment(msgspec.Struct, frozen=True):
    """An execution environment, a worker process or a thread."""

    id: str
    created_s: Seconds | None = None
    ended_s: Seconds | None = None
    init_ms: Milliseconds | None = None
    cpu_model: str | None = None
    memory_mb: int | None = None
    cpu_share_method: str | None = None
    clock_offset_s: Seconds | None = None
    clock_bound_s: Seconds | None = None


class ErrorInfo(msgspec.Struct, frozen=True):
    """Why an attempt failed."""

    type: str
    message: str
    retriable: bool
    unrun: bool = False  # the function certainly never ran: nothing of it is billed


class Measures(msgspec.Struct, kw_only=True):
    """What is measured of one invocation; null: not measured. A backend's outcome, the journal and the document share it."""

    connect_ms: Milliseconds | None = None
    init_ms: Milliseconds | None = None
    fetch_ms: Milliseconds | None = None
    compute_ms: Milliseconds | None = None
    billed_ms: int | None = None
    billed_source: BilledSource | None = None
    memory_mb: int | None = None  # the function's size
    max_memory_mb: int | None = None  # used, by the REPORT line
    request_bytes: int | None = None
    response_bytes: int | None = None
    via_s3: bool | None = None
    peak_rss_mb: int | None = None  # MiB: the peak of the worker process while it ran the task; local workers only
    batch: int | None = None  # tasks handed over in this invocation
    printed_bytes: int | None = None  # of log, by what the task's code printed, with CloudWatch's 26 bytes a line

    def measures(self) -> dict[str, Any]:
        """Those of these fields that were measured, by their names."""
        return {name: value for name, value in zip(_FIELDS, _values(self), strict=True) if value is not None}


_FIELDS = Measures.__struct_fields__
_values = attrgetter(*_FIELDS)


class _Charged(Measures, kw_only=True):
    usd: Usd | None
    request_id: str | None
    log_tail: str | None
    error: ErrorInfo | None


class Invocation(_Charged):
    """One attempt of one task. `status` is null while it has no end."""

    stage: int
    task: int
    attempt: int
    hedge_of: int | None
    environment: str | None
    cold: bool | None
    status: InvocationStatus | None
    queued_s: Seconds | None
    dispatched_s: Seconds | None
    started_s: Seconds | None
    finished_s: Seconds | None
    returned_s: Seconds | None


class Pricing(msgspec.Struct, frozen=True, omit_defaults=True):
    """The prices that a run is charged by, recorded so that a later price list changes nothing."""

    rates: Rates | None = None
    ephemeral_mb: int = limits().ephemeral_min_mb
    memory_mb: int | None = None
    bound_usd: Usd | None = None
    max_usd: Usd | None = None  # what all runs of the plan may cost together
    unpriced: list[str] = []
    deadline_s: Seconds = 300.0
    marked: bool = False  # whether each call's mark is written to the log
    print_limit_bytes: int | None = None  # of log that a task can fill; null: nothing limits it
    rent_usd_per_hour: Usd | None = None  # of an equal EC2 machine, for local backends
    rent_basis: str | None = None
    worker_usd_per_hour: Usd | None = None  # of one worker of a cluster, where its price was given


class RateTexts(msgspec.Struct, frozen=True, kw_only=True):
    """The prices of a region (`config.prices.Rates`) as plain decimals; null: no verified price."""

    region: str
    architecture: str
    duration_gb_s_usd: Usd
    request_usd: Usd
    storage_gb_s_usd: Usd
    s3_put_usd: Usd | None = None
    s3_get_usd: Usd | None = None
    s3_storage_gb_month_usd: Usd | None = None
    logs_gb_usd: Usd | None = None
    transfer_gb_usd: Usd | None = None
    http_api_request_usd: Usd | None = None
    price_date: str
    price_source: str
    assumed: dict[str, str] = {}  # each price that is another region's, the dearest known: field and region


class PricingTexts(Pricing, frozen=True, omit_defaults=False):
    """The same in a document."""

    rates: RateTexts | None = None  # type: ignore[assignment]


class S3Usage(msgspec.Struct, frozen=True):
    """A run's S3 requests, the bytes that it put there, and the hours for which they are charged."""

    put: int  # PUT, COPY, POST and LIST
    get: int
    bytes: int
    hours: float


class CostTexts(msgspec.Struct, frozen=True, kw_only=True):
    """A run's bill item by item (`engine.cost.CostItems`); null: it does not apply, was not counted or has no price."""

    requests: Usd | None = None
    duration: Usd | None = None
    storage: Usd | None = None
    transfer: Usd | None = None
    s3: Usd | None = None
    logs: Usd | None = None
    machine_rent: Usd | None = None


class Quantities(msgspec.Struct, frozen=True, kw_only=True):
    """What a bill counts: with the run's prices (`pricing.rates`) each of its amounts can be computed again.

    requests x request + billed_ms / 1000 x memory_mb / 1024 x duration + billed_ms / 1000 x storage_mb / 1024 x storage +
    s3_put x PUT + s3_get x GET + s3_byte_s / 2^30 / 2,592,000 x S3's GB-month + transfer_bytes / 2^30 x transfer +
    log_bytes / 2^30 x logs.
    """

    requests: int
    billed_ms: int
    memory_mb: int
    storage_mb: int  # of /tmp, beyond what is free
    s3_put: int  # PUT, COPY, POST and LIST
    s3_get: int
    s3_byte_s: int  # bytes in S3 times the seconds for which they are charged
    transfer_bytes: int
    log_bytes: int


class Cost(msgspec.Struct, frozen=True):
    """What a run cost by list prices of the first tier, without the free tier.

    `usd` is the sum of the items without `machine_rent` (null for local backends, whose rent is named apart).
    """

    usd: Usd | None
    bound_usd: Usd | None
    items: CostTexts
    region: str | None
    architecture: str | None
    price_date: str | None
    price_source: str | None
    unpriced: list[str] = []
    machine_rent_basis: str | None = None
    estimated: list[str] = []
    quantities: Quantities | None = None  # null: nothing is charged
    assumed: list[
        str
    ] = []  # the items counted at the dearest known price of another region, none being known for this one


def point_text(point: Mapping[str, Any]) -> str:
    """A point for people: "n_trees=8", "workers=2, memory=1769"."""
    parts = (f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in point.items())
    return ", ".join(parts)


class Sweep(msgspec.Struct, frozen=True):
    """Which sweep a run belongs to, and its point."""

    id: str
    point: dict[str, Any]


class Interaction(msgspec.Struct, frozen=True):
    """What a run of an exploring session answers: its makespan is counted from the arrival of a person's update."""

    generation: int  # of the update; a later one cancels it
    step: int | None = None  # of a scripted sequence; null: by hand
    coarse_tasks: int = 0  # so many of its first tasks draw a picture of few points, to be shown first


class Paired:
    """What a run and its record say of its partners."""

    __slots__ = ()
    schedule: Schedule
    repeat: int
    round: int | None

    @property
    def pair_round(self) -> int | None:
        """The round of an alternating session: its runs ran just before or after each other. None: it has no pairs."""
        if self.schedule != "alternating":
            return None
        return self.repeat if self.round is None else self.round


class Run(Paired, msgspec.Struct, frozen=True):
    """One job on one backend, once."""

    id: str
    workload: str
    params: dict[str, Any]
    seed: int
    tasks: int | None
    backend: str
    label: str
    origin: Origin
    backend_settings: dict[str, Any]
    transport: str | None
    oversubscribed: bool
    data: DataInfo | None
    code_digest: str
    package_digest: str | None
    repeat: int
    warmup: bool
    schedule: Schedule
    overlaps: list[str]
    sweep: Sweep | None
    status: RunStatus
    error: str | None
    started: str
    setup_s: Seconds | None
    makespan_s: Seconds | None
    answer: Answer | None
    driver: Driver | None
    cost: Cost | None
    stages: list[Stage]
    environments: list[LambdaEnvironment]
    machine_samples: list[MachineSample]
    invocations: list[Invocation]
    notes: list[str] = []
    interaction: Interaction | None = None
    cold: bool | None = None  # whether all its environments were new
    round: int | None = None  # of an interleaved session, from 0
    pricing: PricingTexts | None = None
    s3: S3Usage | None = None  # null: nothing is charged for S3, or it was not recorded
    worker_s: Seconds | None = None  # of a cluster: the time of all its workers during the run, idle time too
    usage: Usage | None = None  # what the tasks did with their time, on workers of this machine; null: not known
    cold_repeat: bool | None = None  # whether it was one of --cold-repeats; null: of an older document
    paused: bool = False  # while its clock ran: its times count in no figure


class Warning_(msgspec.Struct, frozen=True):
    """Something that makes a result weaker than it looks."""

    code: str
    text: str
    run: str | None = None


class Comparison(msgspec.Struct, frozen=True):
    """Runs of a session that belong together: one job on several backends."""

    id: str
    runs: list[str]
    ended_by: ComparisonEnd | None = None  # null: it was interrupted
    rounds: int | None = None  # repeats of each backend that was not given up
    text: str | None = None  # what ended it, in one sentence


class Prediction(msgspec.Struct, frozen=True):
    """What a model predicts for a backend of a comparison."""

    comparison: str
    label: str
    makespan_s: Seconds | None  # the median of the simulated runs
    usd: Usd | None
    model: str
    parameters: dict[str, Any]
    date: str  # of the parameters, ISO 8601
    low_s: Seconds | None = None  # 95 % of the simulated runs lie between these
    high_s: Seconds | None = None


class VarianceShares(msgspec.Struct, frozen=True):
    """Where the times of a backend's invocations differ from: parts in ms^2 that add up to `whole_ms2`."""

    invocations: int
    repeats: int
    whole_ms2: float
    parts: dict[str, float]
    negative: list[str]  # parts whose estimate was below 0, taken as 0


class Explanation(msgspec.Struct, frozen=True):
    """Why a backend of a comparison is as fast as it is."""

    comparison: str
    label: str
    cause: str  # of its largest loss
    text: str
    shares: dict[str, float]  # of its lanes' time (lanes x makespan), which add up to 1
    variance: VarianceShares | None = None


IntervalKind = Literal["95 %", "range"]


class Interval(msgspec.Struct, frozen=True):
    """A median or a ratio with its interval: 95 %, or the range of fewer than 6 values; null where there is none."""

    value: float
    low: float | None
    high: float | None
    count: int  # values, pairs or repeats behind it
    kind: IntervalKind | None  # of low and high


class UsdInterval(msgspec.Struct, frozen=True):
    """The same of dollars."""

    value: Usd
    low: Usd | None
    high: Usd | None
    count: int
    kind: IntervalKind | None


class CurvePoint(msgspec.Struct, frozen=True, kw_only=True):
    """A backend at one place of a sweep."""

    at: float
    makespan_s: Interval
    usd: UsdInterval | None  # a run's bill; null: it is charged nothing
    rent_usd: UsdInterval | None  # of an equal machine while the run lasts; local backends only
    speedup: Interval | None  # against the sweep's baseline
    repeats: int  # that ended well; 0: predicted
    capacity: int | None  # workers or environments
    unfinished: bool  # its runs were stopped, or are under way
    in_curve: bool  # else it has too few repeats, or more environments than the machine carries
    fitted_s: float | None  # the curve there; null: the point is in no curve


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """A backend, or its cold or its warm repeats, along the axis of a sweep."""

    name: str  # unique in the sweep; crossings and break-evens name it
    label: str
    backend: str
    origin: Literal["measured", "emulated", "simulated", "predicted"]
    temperature: Literal["cold", "warm"] | None
    machine: str | None  # where several take part
    main: bool  # stands for its backend in crossings
    shape: Literal["rising", "falling", "valley"]
    points: list[CurvePoint]


class CurveCrossing(msgspec.Struct, frozen=True, kw_only=True):
    """Where the less of time or dollars passes from one curve to another, by resampled repeats.

    `at` is the median of the resamples; null: it lies outside `first` to `last`, the places that both curves have.
    """

    of: Literal["time", "usd"]
    below: str  # the curve that is less below
    above: str
    at: float | None
    low: float | None  # null: some point has one repeat
    high: float | None
    low_open: bool  # the interval goes on below the range
    high_open: bool  # and above it
    kind: IntervalKind
    count: int  # repeats behind each point, at the least
    missing: float  # share of the resamples without a crossing
    first: float
    last: float


class CurveRival(msgspec.Struct, frozen=True, kw_only=True):
    """A curve that cannot be distinguished in time from the one with the least at some places between two crossings."""

    least: str
    other: str
    places: list[float]


class RentBreakEven(msgspec.Struct, frozen=True, kw_only=True):
    """From how many runs an hour on a machine rented by the hour is cheaper than paying for each run."""

    at: float
    paid: str  # the curve that is paid by the run
    machine: str  # the fastest curve on the machine
    usd_per_hour: Usd
    run_usd: UsdInterval
    runs_an_hour: float
    low: float | None  # by the interval of the bill
    high: float | None
    most_an_hour: float  # that the machine can do
    reachable: bool  # else paying for each run is always cheaper


class SweepCurves(msgspec.Struct, frozen=True, kw_only=True):
    """A sweep along one axis; one of two axes has one of these for each value of the second."""

    id: str
    workload: str
    axis: str  # a parameter, workers, memory or tasks
    beside: dict[str, Any]  # the second axis and its value
    places: list[float]
    baseline: str | None  # the label that speedups are against
    curves: list[Curve]
    crossings: list[CurveCrossing]  # in time, then in dollars; where none lies inside the range, the nearest miss
    cold_crossings: list[CurveCrossing]  # of a job that is run once, with new environments
    alike: list[list[str]]  # pairs that cannot be distinguished in time: the second is in no crossing
    break_evens: list[RentBreakEven]
    rent_basis: str | None
    left_out: list[str]  # why some curves are in no crossing
    text: str  # the answer in one sentence
    rivals: list[CurveRival] = []
    bases: list[str] = []  # what the dollars of paid backends and the prediction rest on


class TunedCandidate(msgspec.Struct, frozen=True, kw_only=True):
    """A size of the function with a number of tasks, by its warm repeats, or its cold ones if there are no others."""

    memory_mb: int
    tasks: int
    environments: int
    runs: int  # of them all, the cold ones too
    makespan_s: Interval
    cold_s: float | None
    usd: UsdInterval
    cv: float | None  # of the makespans
    steady: bool  # whether they differ by at most 5 %
    on_front: bool  # no other candidate is at least as good in time and in dollars
    picks: list[Literal["fastest", "cheapest", "balanced"]]


class Tuning(msgspec.Struct, frozen=True, kw_only=True):
    """What `lbench tune` found: its candidates, the fastest first, and what the picks do not settle."""

    id: str
    workload: str
    label: str
    origin: Origin
    candidates: list[TunedCandidate]
    caveats: list[str]


class Document(msgspec.Struct, frozen=True):
    """A whole session."""

    id: str
    name: str
    tags: list[str]
    created: str
    lbench_version: str
    complete: bool
    environment: Environment
    runs: list[Run]
    warnings: list[Warning_]
    format: Literal["lbench.session"] = "lbench.session"
    version: int = VERSION
    comparisons: list[Comparison] | None = None
    predictions: list[Prediction] | None = None
    explanations: list[Explanation] | None = None
    sweeps: list[SweepCurves] | None = None
    tuning: Tuning | None = None
