"""The Lambda function: one task a call. It imports workloads only, and no SDK, which would slow every cold start.

What the task's own code raises goes through, so that the runtime reports a function error; a line of JSON on standard
output (it comes back in the log's tail) then names the environment for the driver.
"""

from __future__ import annotations

import base64
import os
import platform
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import msgspec

from lbench.workloads import functions, objects
from lbench.workloads.dataset import Dataset, RemoteDataset, file_digest, open_dataset
from lbench.workloads.deadline import ended_at
from lbench.workloads.encoding import decode, encode
from lbench.workloads.prints import Meter, counted, install
from lbench.workloads.s3 import S3Client, credentials_from_environment
from lbench.workloads.task_errors import error_texts, sendable
from lbench.workloads.wire import Answer, Event, Letter, Object, TaskError

__all__ = ["handle"]

_ENVELOPE = 2048  # bytes of an answer besides its result, at most
_HTTP = "requestContext"  # in an event of API Gateway (payload format 2.0), and never in one of ours


class _Environment:
    """What one environment keeps between calls: the last data set, a connection to S3, whether it has described itself."""

    def __init__(self) -> None:
        self.id = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME") or f"local-{uuid.uuid4().hex[:12]}"
        self.calls = 0
        self.introduced = False
        self._data: tuple[str, Path, Dataset] | None = None
        self._remote: tuple[Object, RemoteDataset] | None = None
        self._clients: dict[tuple[str, str | None], S3Client] = {}

    def s3(self, place: Object) -> S3Client:
        """The client for an object's endpoint, kept warm."""
        where = (place.region, place.endpoint)
        if where not in self._clients:
            self._clients[where] = S3Client(
                credentials_from_environment(), region=place.region, endpoint=place.endpoint
            )
        return self._clients[where]

    def requests(self) -> dict[str, int]:
        """Requests to S3 since the environment began, and the bytes that tasks have stored there."""
        own = {name: sum(client.requests[name] for client in self._clients.values()) for name in ("get", "put")}
        return {name: made + own.get(name, 0) for name, made in objects.requests().items()}

    def parts(self, place: Object) -> RemoteDataset:
        """The data set for a task that reads parts of it: nothing is fetched yet."""
        assert place.sha256 is not None
        if self._remote is None or self._remote[0] != place:  # equal data of another run lie elsewhere
            client = self.s3(place)
            self._remote = place, RemoteDataset(lambda first, end: client.get_range(place, first, end))
        return self._remote[1]

    def dataset(self, place: Object) -> Dataset:
        """The data set, fetched once into the temporary folder and mapped; the one before it is dropped."""
        assert place.sha256 is not None
        if self._data is not None and self._data[0] == place.sha256:
            return self._data[2]
        path = Path(tempfile.gettempdir()) / f"lbench-{place.sha256}.data"
        if not (path.is_file() and file_digest(path) == place.sha256):  # absent, or torn by a crash
            self.s3(place).get_to_file(place, path)
        dataset = open_dataset(path)
        if self._data is not None:
            self._data[1].unlink(missing_ok=True)
        self._data = (place.sha256, path, dataset)
        return dataset


_environment = _Environment()


def _starts_again() -> bool:
    """Whether this environment's process has started before: /tmp stays when Lambda restarts one.

    It does so in an invocation's time, after a start of more than 10 s and after a crash: at full price, slowly where memory
    is small, and up to the function's timeout.
    """
    if "AWS_LAMBDA_RUNTIME_API" not in os.environ:
        return False
    try:
        (Path(tempfile.gettempdir()) / "lbench-started").touch(exist_ok=False)
    except FileExistsError:
        return True
    except OSError:
        pass
    return False


_prints = Meter()
if "AWS_LAMBDA_RUNTIME_API" in os.environ:  # before a user's module keeps a stream
    install(_prints)

# While the environment starts (AWS gives that phase two full cores), not in the first task's time. But in a second start
# the task itself imports what it needs, within its deadline: so the bill stays below the announced bound.
_again = _starts_again()
if (_preload := os.environ.get("LBENCH_PRELOAD")) and not _again:
    try:
        functions.preload(_preload)
    except BaseException as error:  # a user's own module may raise anything: its task raises it again and reports it
        print(f"lbench: {_preload} does not import here: {type(error).__name__}", flush=True)


def handle(event: dict[str, Any], context: Any = None) -> Any:
    """Run one task (`workloads.wire.Event`) and return an `Answer` as JSON values.

    Raises:
        Exception: whatever the task's own code raises.
        ObjectStoreError: S3 could not be used.
    """
    received, began = time.time(), time.perf_counter()
    here = _environment
    here.calls += 1
    fronted = _HTTP in event
    asked = _event_in(event) if fronted else msgspec.convert(event, Event)
    request_id = getattr(context, "aws_request_id", None)
    if asked.mark is not None:
        print(f'{{"lbench_mark":"{asked.mark}","request":"{request_id}","environment":"{here.id}"}}', flush=True)
    answer = Answer(environment=here.id, cold=here.calls == 1, received=received, sent=received, call=asked.call)
    before = here.requests()

    def close() -> Answer:
        # One reading of the wall clock, then durations: a clock that steps in between does no harm.
        answer.sent = received + time.perf_counter() - began
        answer.s3 = {name: made - before[name] for name, made in here.requests().items() if made > before[name]}
        if not here.introduced:
            here.introduced = True
            answer.cpu_model, answer.versions, answer.init_ms = _cpu_model(), _versions(), _init_ms
        return answer

    def post(error: BaseException | None) -> Any:
        # Nobody waits, or only the front, which would hide an error: everything goes into the letter.
        letter = msgspec.json.encode(Letter(close(), request_id, None if error is None else _task_error(error)))
        if fronted:
            return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": letter.decode()}
        assert asked.answer_to is not None
        here.s3(asked.answer_to).put(asked.answer_to, letter)
        return None

    posted = fronted or asked.answer_to is not None
    late_ms = (_init_ms or 0.0) if _again and here.calls == 1 else 0.0  # a second start is in this call's time
    with ended_at(max(1.0, asked.deadline_ms - late_ms)):
        try:
            try:
                with counted(_prints, asked.print_limit):
                    _run(asked, answer, here)
            finally:
                answer.printed = _prints.printed
        except BaseException as error:
            answer.result = answer.result_at = None
            if posted:
                return post(error)
            failed = {"lbench_failed": request_id, "answer": close()}
            print(msgspec.json.encode(failed).decode(), flush=True)
            raised = sendable(error)
            if raised is error:
                raise
            raise raised from None
        if posted:
            return post(None)
    return msgspec.to_builtins(close())


def _event_in(request: dict[str, Any]) -> Event:
    """The event in the body of a request to the front."""
    body = request.get("body") or "{}"
    return msgspec.json.decode(base64.b64decode(body) if request.get("isBase64Encoded") else body, type=Event)


def _task_error(error: BaseException) -> TaskError:
    texts = error_texts(error)
    return TaskError(texts.message, texts.kind, texts.frames)


def _run(asked: Event, answer: Answer, here: _Environment) -> None:
    fetching = time.perf_counter()
    task: bytes | memoryview | None = asked.task
    if asked.task_at is not None:
        task = here.s3(asked.task_at).get(asked.task_at)
        answer.fetch_ms = _ms_since(fetching)
    assert task is not None
    name, arguments = decode(task)
    importing = time.perf_counter()
    _, wants_data = functions.find(name)
    answer.import_ms = _ms_since(importing)
    dataset: Dataset | RemoteDataset | None = None
    if asked.data is not None and wants_data:
        fetching = time.perf_counter()
        dataset = here.parts(asked.data) if functions.reads_parts(name) else here.dataset(asked.data)
        answer.fetch_ms = round((answer.fetch_ms or 0.0) + _ms_since(fetching), 3)
    computing = time.perf_counter()
    value = functions.call(name, arguments, dataset)
    answer.compute_ms = _ms_since(computing)
    result = encode(value)
    if len(result) * 4 // 3 + _ENVELOPE <= asked.result_limit or asked.result_to is None:
        answer.result = result
    else:
        storing = time.perf_counter()
        answer.result_at = here.s3(asked.result_to).put(asked.result_to, result)
        answer.store_ms = _ms_since(storing)


def _ms_since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 3)


def _cpu_model() -> str | None:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                name, _, value = line.partition(":")
                if name.strip() in ("model name", "Model", "CPU part"):
                    return value.strip()
    except OSError:
        pass
    return platform.processor() or None


def _since_start_ms() -> float | None:
    """The age of this process, to 10 ms; None where it is not known."""
    try:
        ticks = int(Path("/proc/self/stat").read_bytes().rpartition(b") ")[2].split()[19])
        return round((time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")) * 1000, 3)
    except (OSError, ValueError, IndexError, AttributeError):
        return None


def _versions() -> dict[str, str]:
    """Of what is loaded (looking for more would import it), and the architecture: what equality depends on."""
    versions = {"python": platform.python_version(), "machine": platform.machine()}
    for package, module in (("numpy", "numpy"), ("scikit-learn", "sklearn")):
        if module in sys.modules:
            versions[package] = str(getattr(sys.modules[module], "__version__", ""))
    return versions


_init_ms = _since_start_ms()  # the last thing that an environment's start does here
