"""map_reduce on `lambda`: its objects lie in the deployment's bucket, under the run's own prefix, and go with the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lbench.engine.backends.base import Published
from lbench.engine.backends.lambda_.aws import AwsBackend
from lbench.engine.backends.lambda_.preflight import survey
from lbench.engine.backends.settings import AwsSettings
from lbench.engine.journal.events import Returned
from lbench.engine.measure.run_store import RunStore
from lbench.engine.plan.policy import Policy
from lbench.engine.runner.runner import Runner
from lbench.workloads import registry
from lbench.workloads.dataset import open_dataset, write_dataset
from lbench.workloads.encoding import decode, encode
from lbench.workloads.map_reduce import DESCRIPTION, MapReduceParams


@pytest.mark.parametrize("job", ["group_by", "sort"])
async def test_the_answer_is_the_sequential_one_and_the_bucket_is_empty(
    aws_lambda: Any, tmp_path: Path, job: str, fakes: Any
) -> None:
    bucket = aws_lambda.deploy(Workloads="map_reduce,")
    params = MapReduceParams(job=job, rows=2000, keys=30, tasks=3, reducers=2)  # type: ignore[arg-type]
    workload = registry.load(DESCRIPTION)
    digest = write_dataset(workload.load(params, None), tmp_path / "data")
    data = open_dataset(tmp_path / "data")
    settings = AwsSettings(concurrency=2)
    found = await survey(settings, workload="map_reduce", timeout_s=60, tasks=5)
    async with AwsBackend(settings, found) as backend:
        await backend.publish(Published(tmp_path / "data", digest, (tmp_path / "data").stat().st_size))
        temporary = RunStore(backend, tmp_path / "session", "r1")
        sink = fakes.Sink()
        runner = Runner("r1", backend, sink, Policy(), store=temporary.place)
        answer = decode(encode(await runner.run(workload.job(params, data))))
        assert workload.check(params, answer, decode(encode(workload.reference(params, data)))).ok
        own = [key for key in aws_lambda.keys(bucket) if ".r1/" in key]
        assert len(own) == 6 and all(key.startswith("tmp/") for key in own)
        assert await temporary.clear() is None
        assert not [key for key in aws_lambda.keys(bucket) if ".r1/" in key]
    assert aws_lambda.keys(bucket) == []
    assert sum(event.s3_put for event in sink.of(Returned)) == 6
