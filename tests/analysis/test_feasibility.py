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


def test_every_figure_of_every_row() -> None:
    """Measured, limit, what is left, and the numbers behind them in one unit."""
    made = sample(
        compute_s=[90.0, 45.0],
        peak_mb=[40, 2560],
        request_bytes=[3 * MIB, 10],
        response_bytes=[768, 100],
        scratch_bytes=500 * MIB,
        data_bytes=100 * MIB,
    )
    found = rows(feasibility(made, package(125, 10), Lognormal(2.0, 0.1)))
    assert {
        what: (row.measured, row.limit, headroom_text(row.headroom), row.value, row.most, row.unit, row.verdict)
        for what, row in found.items()
    } == {
        "longest task": ("3 min 00 s on a vCPU", "900 s", "80 %", 180.0, 900, "s", "fits"),
        "peak memory": ("2,560 MB", "10,240 MB", "75 %", 2560, 10240, "MB", "fits"),
        "package, unzipped": ("125 MB", "250 MB", "50 %", 125.0, 250.0, "MB", "fits"),
        "package, zipped": ("10 MB", "50 MB", "80 %", 10.0, 50.0, "MB", "fits"),
        "largest arguments": ("4.0 MB", "6 MB", "33 %", 4.0, 6.0, "MB", "note"),
        "largest result": ("1.0 KB", "6 MB", "> 99 %", pytest.approx(1 / 1024), 6.0, "MB", "fits"),
        "files in /tmp": ("600.0 MB", "10,240 MB", "94 %", 600.0, 10240, "MB", "note"),
        "tasks at once": ("2", "1,000", "> 99 %", 2, 1000, "tasks", "fits"),
    }
    assert {what: row.remedy for what, row in found.items() if row.remedy} == {
        "largest arguments": "goes through S3: the time and the requests of a PUT and a GET for each task "
        "with --transport event",
        "files in /tmp": "deploy with --ephemeral 640: it is charged for",
    }
    assert {what: row.detail for what, row in found.items() if row.detail} == {
        "longest task": "90.0 s here; a core of this machine is taken for 2 vCPUs, at most 2.4",
        "package, unzipped": "as installed here",
        "files in /tmp": "100.0 MB of it the data set",
    }


@pytest.mark.parametrize(
    ("tasks", "text"),
    [
        (10, ("fits", "99 %", "")),
        (11, ("note", "99 %", "a new account has 10: those above it wait for a free environment")),
        (1000, ("note", "0.0 %", "a new account has 10: those above it wait for a free environment")),
        (1001, ("note", "–", "those above it wait for a free environment")),
    ],
)
def test_more_tasks_at_once_than_an_account_has_wait(tasks: int, text: tuple[str, str, str]) -> None:
    made = sample()
    stage = msgspec.structs.replace(made.stages[0], tasks=tasks)
    row = rows(feasibility(msgspec.structs.replace(made, stages=[stage]), None, RATIO))["tasks at once"]
    assert (row.verdict, headroom_text(row.headroom), row.remedy) == text


def test_what_was_not_measured_is_called_so() -> None:
    found = rows(feasibility(sample(scratch_bytes=None, peak_mb=[]), None, RATIO))
    for what in ("files in /tmp", "peak memory"):
        row = found[what]
        assert (row.measured, row.limit, row.verdict, row.headroom) == ("not measured", "10,240 MB", "note", None)


@pytest.mark.parametrize(
    ("host", "inside"),
    [
        ("192.168.1.4:5432", True),
        ("nas.lan:445", True),
        ("printer.local:80", True),
        ("db.internal:5432", True),
        ("db:5432", True),
        ("8.8.8.8:53", False),
        ("pypi.example.com:443", False),
        ("notlan:1.example.org:80", False),
    ],
)
def test_only_private_networks_are_out_of_reach(host: str, inside: bool) -> None:
    row = rows(feasibility(sample(noticed=[Noticed("network", host)]), None, RATIO))["network"]
    assert (row.verdict, row.detail) == ("no" if inside else "note", host)


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
