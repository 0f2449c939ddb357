"""Whether a job can run on Lambda: each limit has its row, its verdict and its way out."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from lbench.analysis.feasibility import (
    Feasibility,
    Finding,
    PackageWeight,
    feasibility,
    headroom_text,
    summary_sentence,
)
from lbench.engine.sampling.model import Noticed, Sample, SampledStage
from lbench.engine.simulation.distributions import Lognormal

RATIO = Lognormal(1.0, 0.1)
MIB = 1 << 20


def sample(compute_s: list[float] | None = None, **more: Any) -> Sample:
    times = [0.5, 1.0] if compute_s is None else compute_s
    stage = SampledStage(
        tasks=len(times),
        indices=list(range(len(times))),
        compute_s=times,
        request_bytes=more.pop("request_bytes", [100] * len(times)),
        response_bytes=more.pop("response_bytes", [100] * len(times)),
        peak_mb=more.pop("peak_mb", [40] * len(times)),
    )
    made = Sample(
        workload="mine.py:job",
        params={},
        stages=[stage],
        complete=True,
        before_s=0.0,
        init_s=0.1,
        data_bytes=0,
        overhead_s=1e-4,
        workers=2,
        contention=1.0,
        limit_s=6.0,
        scratch_bytes=0,
        noticed=[],
    )
    return msgspec.structs.replace(made, **more)


def rows(found: Feasibility) -> dict[str, Finding]:
    return {row.what: row for row in found.rows}


def package(unzipped_mib: float, zipped_mib: float | None = None) -> PackageWeight:
    zipped = None if zipped_mib is None else int(zipped_mib * MIB)
    return PackageWeight(
        unzipped_bytes=int(unzipped_mib * MIB),
        zipped_bytes=zipped,
        largest=("scipy", "numpy"),
        basis="as installed here",
    )


def test_what_a_task_waits_is_not_multiplied_by_the_core_ratio() -> None:
    made = sample()
    stage = msgspec.structs.replace(made.stages[0], compute_s=[800.0], wait=0.9)
    row = rows(feasibility(msgspec.structs.replace(made, stages=[stage]), None, RATIO))["longest task"]
    assert row.value == pytest.approx(800 * (0.9 + 0.1 * RATIO.median))
    assert "90 % of it waiting" in row.detail


def test_what_listens_on_this_machine_is_no_hindrance_but_is_named() -> None:
    found = feasibility(sample(noticed=[Noticed("port", "127.0.0.1:5432")]), None, RATIO)
    row = rows(found)["ports of this machine"]
    assert (row.verdict, row.measured, found.possible) == ("note", "127.0.0.1:5432", True)
    assert "is not there on Lambda" in row.remedy


def test_a_small_job_fits_and_has_headroom_everywhere() -> None:
    found = feasibility(sample(), package(60), RATIO)
    assert found.possible
    assert {row.verdict for row in found.rows} == {"fits"}
    assert rows(found)["longest task"].headroom == pytest.approx(1 - 1 / 900)
    assert summary_sentence(found, "mine.py:job").endswith("nothing here forbids it.")


@pytest.mark.parametrize(
    ("changed", "what", "remedy"),
    [
        ({"compute_s": [2.0, 1000.0]}, "longest task", "cut the tasks into 2 times as many"),
        ({"peak_mb": [40, 12_000]}, "peak memory", "cut the tasks smaller"),
        ({"scratch_bytes": 11_000 * MIB}, "files in /tmp", "keep less"),
        ({"noticed": [Noticed("gpu", "libcuda.so.1")]}, "GPU", "no GPU"),
        ({"noticed": [Noticed("network", "192.168.1.4:5432")]}, "network", "VPC"),
        ({"noticed": [Noticed("network", "db.internal:5432")]}, "network", "VPC"),
        ({"noticed": [Noticed("write", "/home/me/cache.db")]}, "files written", "gettempdir"),
    ],
)
def test_what_lambda_does_not_allow_is_named_with_the_way_out(changed: Any, what: str, remedy: str) -> None:
    found = feasibility(sample(**changed), None, RATIO)
    row = rows(found)[what]
    assert not found.possible
    assert row.verdict == "no"
    assert remedy in row.remedy
    assert f"{what} (" in summary_sentence(found, "mine.py:job")


def test_a_package_that_is_too_large_names_its_largest_parts() -> None:
    found = feasibility(sample(), package(300), RATIO)
    assert not found.possible
    assert "scipy, numpy" in rows(found)["package, unzipped"].remedy


def test_a_zip_above_the_limit_of_a_request_goes_through_s3_and_forbids_nothing() -> None:
    row = rows(feasibility(sample(), package(180, 60), RATIO))["package, zipped"]
    assert (row.verdict, row.headroom) == ("note", None)


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"peak_mb": [40, 4000]}, "peak memory"),
        ({"compute_s": [800.0]}, "longest task"),  # beyond the limit on a slow vCPU only
        ({"noticed": [Noticed("program", "ffmpeg")]}, "programs started"),
        ({"compute_s": [], "longest_unended_s": 6.0}, "longest task"),
    ],
)
def test_what_may_go_wrong_is_to_be_looked_at(changed: Any, what: str) -> None:
    found = feasibility(sample(**changed), None, RATIO)
    assert found.possible
    assert rows(found)[what].verdict == "tight"
    assert what in summary_sentence(found, "mine.py:job")


def test_large_payloads_go_through_s3() -> None:
    found = rows(feasibility(sample(request_bytes=[5_000_000], response_bytes=[1_000_000]), None, RATIO))
    assert found["largest arguments"].headroom is None  # 6.7 MB in base64
    assert "--transport event" in found["largest result"].remedy


def test_hosts_of_the_internet_forbid_nothing() -> None:
    row = rows(feasibility(sample(noticed=[Noticed("network", "example.com:443")]), None, RATIO))["network"]
    assert row.verdict == "note"


def test_headroom_never_reads_as_all_of_it() -> None:
    assert [headroom_text(share) for share in (0.9999, 0.5, -0.2, None)] == ["> 99 %", "50 %", "none", "–"]
