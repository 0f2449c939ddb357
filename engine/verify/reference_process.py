"""The process that computes a reference and compares an answer with it, outside every run's clock.

`python -m lbench.engine.verify.reference_process FILE`: the file holds the request (JSON,
`Request`); the verdict (JSON, `Verdict`) goes to standard output.

A reference is computed once for each workload, parameters, data and versions, and cached.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import msgspec

from lbench.config.folders import write_whole
from lbench.engine.model import Answer
from lbench.engine.processes.lifeline import begin_to_answer
from lbench.engine.verify.png import write_png
from lbench.errors import LbenchError, WorkloadError
from lbench.workloads import parameters, registry
from lbench.workloads.dataset import open_dataset
from lbench.workloads.encoding import decode, encode
from lbench.workloads.model import Params, Workload
from lbench.workloads.own.workload import OwnWorkload

__all__ = ["Request", "Verdict", "main"]


class Request(msgspec.Struct):
    """An answer to check."""

    workload: str
    params: dict[str, Any]
    tasks: int | None
    seed: int
    data: str | None
    data_digest: str | None
    versions: str  # more that a cached reference depends on
    cache: str | None  # folder of references; None: none can be made
    picture: str | None = None
    answer: str = ""  # path of the encoded answer


class Verdict(msgspec.Struct):
    """The result of a check, or one line on why there is none."""

    answer: Answer | None
    error: str | None = None


def _reference(request: Request, workload: Workload[Any], params: Params, data: Any) -> Any:
    key = hashlib.sha256(
        encode([request.workload, workload.reference_key(params), request.data_digest, request.versions])
    ).hexdigest()
    if request.cache is None:
        return decode(encode(workload.reference(params, data)))
    path = Path(request.cache) / f"{key}.bin"
    try:
        return decode(path.read_bytes())
    except (OSError, LbenchError):
        pass  # missing or truncated: compute it
    reference = encode(workload.reference(params, data))
    with contextlib.suppress(OSError):  # a cache that cannot be written only costs time
        write_whole(path, reference)
    return decode(reference)


def check(request: Request) -> Answer:
    """Compare an answer with its reference, which is computed or read from the cache."""
    description = registry.describe(request.workload)
    workload = registry.load(description)
    params = parameters.parse(description.params, request.params, tasks=request.tasks, seed=request.seed)
    data = None if request.data is None else open_dataset(Path(request.data))
    raw = Path(request.answer).read_bytes()
    answer = decode(raw)
    result = workload.result(answer)
    reference = _reference(request, workload, params, data)
    if request.picture is not None:
        _draw(workload, params, answer, request.picture)
    if reference is None and isinstance(workload, OwnWorkload) and not workload.checks:
        ok, how = None, "there is no reference(): the answers are compared with each other"
    else:
        verdict = workload.check(params, answer, reference)
        ok, how = verdict.ok, verdict.how
    return Answer(
        ok=ok,
        check=how,
        digest=hashlib.sha256(raw if result is answer else encode(result)).hexdigest(),
        summary=workload.summary(params, answer),
    )


def _draw(workload: Workload[Any], params: Params, answer: Any, path: str) -> None:
    pixels = workload.picture(params, answer)
    if pixels is not None:
        write_png(Path(path), pixels)


def main() -> None:
    """Check one request."""
    out = begin_to_answer()
    try:
        request = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Request)
        verdict = Verdict(check(request))
    except WorkloadError as error:
        verdict = Verdict(None, str(error))
    except (LbenchError, OSError, MemoryError) as error:
        verdict = Verdict(None, f"{type(error).__name__}: {error}")
    with os.fdopen(out, "wb") as stream:
        stream.write(msgspec.json.encode(verdict))


if __name__ == "__main__":
    main()
