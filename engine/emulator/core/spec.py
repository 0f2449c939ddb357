"""The emulator's configuration: functions, limits, and injected faults."""

from __future__ import annotations

import secrets
import string
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from lbench.config.limits import MemoryMb, TimeoutS, limits
from lbench.engine.emulator.resources.cpu import Method
from lbench.engine.machine.thread_variables import THREAD_VARIABLES
from lbench.workloads.sigv4 import Credentials

__all__ = [
    "BLAS_THREADS",
    "Conditions",
    "EmulatorConfig",
    "FunctionSpec",
    "Logging",
    "lbench_function",
    "random_credentials",
]

RuntimeClient = Literal["awslambdaric", "python", "plain"]
# Of lbench's own function: a task is the unit of parallelism, so that its libraries start no threads.
BLAS_THREADS = dict.fromkeys(THREAD_VARIABLES, "1")
Rate = Annotated[float, Meta(ge=0, le=1)]
Milliseconds = Annotated[float, Meta(ge=0, le=900_000)]


class Logging(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A function's LoggingConfig."""

    format: Literal["Text", "JSON"] = "Text"
    application_level: str | None = None  # with JSON only
    system_level: str | None = None
    group: str | None = None  # None: the function's own


class FunctionSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One version of a function, as `CreateFunction` would describe it, with its code as a folder (or a zip file)."""

    name: Annotated[str, Meta(pattern="^[a-zA-Z0-9-_]{1,64}$")]
    handler: str  # "module.function", found in `code`
    code: str  # a folder; it is LAMBDA_TASK_ROOT, the working folder, and comes first on the path
    memory_mb: MemoryMb = limits().memory_mb_per_vcpu
    timeout_s: TimeoutS = 3.0  # AWS's own default
    # Reserved concurrency of all versions together; None: only the emulator's limit holds.
    concurrency: Annotated[int, Meta(ge=0)] | None = None
    environment: dict[str, str] | None = None
    credentials: dict[str, str] | None = None  # the role's, as AWS_* variables: an update of `environment` keeps them
    # The Runtime API's client. "python": ours in the place of awslambdaric's C++ one; "plain": our loop too.
    # Where awslambdaric (or its C++ client) is not installed, the next one is taken by itself.
    runtime_client: RuntimeClient = "awslambdaric"
    code_sha256: str | None = None  # hex; part of GetFunctionConfiguration
    code_bytes: int = 0  # of the zip
    version: str = "$LATEST"
    description: str | None = None
    runtime: str | None = None  # as requested; this interpreter runs, unless `python` names another
    python: str | None = None  # the interpreter of its environments; None: the running one
    libraries: tuple[str, ...] | None = None  # folders on the path after `code`; None: the running one's site-packages
    role: str | None = None
    ephemeral_mb: Annotated[int, Meta(ge=limits().ephemeral_min_mb, le=limits().ephemeral_max_mb)] = (
        limits().ephemeral_min_mb
    )  # of /tmp
    tracing: Literal["PassThrough", "Active"] = "PassThrough"  # Active: requests without a trace id are sampled
    logging: Logging | None = None  # None: text, in the function's own group

    @property
    def system_level(self) -> str | None:
        """From which level on the platform writes its events as JSON; None: its log is text."""
        if self.logging is None or self.logging.format != "JSON":
            return None
        return self.logging.system_level or "INFO"

    @property
    def log_group(self) -> str:
        own = f"/aws/lambda/{self.name}"
        return own if self.logging is None else self.logging.group or own


class Conditions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Injected faults: latency, throttling, errors, slow environments, lost and duplicate replies. All off by default."""

    latency_ms: Milliseconds = 0.0  # added to each round trip, half on either way
    jitter_ms: Milliseconds = 0.0  # up to this much more, evenly spread
    cold_delay_ms: Milliseconds = 0.0  # before a new environment's process is started; not part of its init
    fail_rate: Rate = 0.0  # of requests that get `fail_error` and do not run
    fail_error: str = "ServiceException"  # any error of Invoke
    throttle_rate: Rate = 0.0  # of requests that get 429 and do not run
    slow_rate: Rate = 0.0  # of environments that are slow
    slow_factor: Annotated[float, Meta(ge=1, le=1000)] = 2.0  # how many times slower they are
    lost_rate: Rate = 0.0  # of requests that run, but get no answer: the connection closes
    duplicate_rate: Rate = 0.0  # of requests that run twice and are answered twice
    seed: int = 1

    @property
    def at_rest(self) -> bool:
        """Whether no fault is injected."""
        return self == Conditions(slow_factor=self.slow_factor, fail_error=self.fail_error, seed=self.seed)


class EmulatorConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The configuration file of `python -m lbench.engine.emulator --config`; no functions: lbench's own."""

    functions: list[FunctionSpec] = []
    # Of invocations over all functions; more get 429.
    concurrency: Annotated[int, Meta(ge=1)] = limits().concurrency
    freeze: bool = True  # stop environments between invocations, as Lambda does
    region: str = "us-east-1"
    init_limit_s: Annotated[float, Meta(gt=0)] = 10.0  # AWS's, after which an init is repeated
    idle_s: Annotated[float, Meta(gt=0)] = 600.0  # not documented by AWS; 5 to 10 minutes were measured
    # New environments of one function: at most this many at once, refilled evenly over 10 s (AWS: 1,000).
    ramp_per_10_s: Annotated[int, Meta(ge=1)] = 1000
    requests_per_s: Annotated[int, Meta(ge=1)] = 10 * limits().concurrency  # Invoke, over all functions
    control_requests_per_s: Annotated[int, Meta(ge=1)] | None = None  # AWS: 15; None: no limit
    event_time_scale: Annotated[float, Meta(gt=0, le=1)] = 1.0  # factor of all waits and ages of Event invocations
    front_timeout_s: Annotated[float, Meta(gt=0)] = 30.0  # of the HTTP API in front; API Gateway's, which is fixed
    activation_s: Annotated[float, Meta(ge=0, le=60)] = 0.2  # how long a new function is Pending, an update InProgress
    auth: bool = True  # refuse requests without a valid signature
    access_key: str | None = None  # of callers; None: drawn at random, with its secret key
    secret_key: str | None = None
    s3_endpoint: str | None = None  # store of failed events' records; same credentials
    cpu_share: Method | None = None  # None: the best that works here
    isolation: bool = True  # hide this machine's files from environments, by the best method that works here
    conditions: Conditions = Conditions()

    def with_credentials(self) -> EmulatorConfig:
        """The same, with random credentials where none are given: nobody else on this machine can know them."""
        if self.access_key and self.secret_key:
            return self
        drawn = random_credentials()
        return msgspec.structs.replace(self, access_key=drawn.access_key, secret_key=drawn.secret_key)

    @property
    def credentials(self) -> Credentials:
        assert self.access_key and self.secret_key, "with_credentials first"
        return Credentials(self.access_key, self.secret_key)


def random_credentials() -> Credentials:
    """Credentials that nobody can guess, in the form of AWS's."""
    letters = string.ascii_uppercase + string.digits
    return Credentials("LB" + "".join(secrets.choice(letters) for _ in range(18)), secrets.token_urlsafe(30))


def lbench_function() -> FunctionSpec:
    """Lbench's own function with one vCPU; its code folder is made where it is missing."""
    from lbench.engine.emulator.core.code_folder import code_folder

    folder, digest = code_folder()
    memory_mb = limits().memory_mb_per_vcpu
    return FunctionSpec(
        name=f"lbench-{memory_mb}",
        handler="lbench.lambda_src.handler.handle",
        code=str(folder),
        memory_mb=memory_mb,
        environment=dict(BLAS_THREADS),
        timeout_s=float(limits().timeout_max_s),
        code_sha256=digest,
    )
