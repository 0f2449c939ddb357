"""Why a backend is as fast as it is: each cause alone is the one that is named, and shares add up."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from lbench.analysis.causes import Explanation, explanations, waits_before_retries
from lbench.analysis.comparison import by_label, places_used
from lbench.config.prices import rates
from lbench.engine.journal.events import Dispatched, Event, Returned
from lbench.engine.machine.fingerprint import Environment
from lbench.engine.machine.processor_time import Usage
from lbench.engine.model import EXCHANGES, Pricing
from lbench.engine.session.view import fold
from tests.analysis.runs import session_of
from tests.session_events import run_planned, run_started, session_started

FOUR = Environment(usable_cores=4.0, physical_cores=4)


def row(begin: float, end: float, lane: int = 0, compute: float | None = None, **more: Any) -> dict[str, Any]:
    own = (end - begin) * 1000 if compute is None else compute
    return {"dispatched_s": begin, "returned_s": end, "lane": lane, "compute_ms": own, **more}


def explained(*runs: dict[str, Any], environment: Environment = FOUR) -> dict[str, Explanation]:
    view = session_of(runs, environment)
    found = explanations(by_label(view.runs.values()), environment)
    for one in found:
        assert sum(one.shares.values()) == pytest.approx(1.0)
        assert min(one.shares.values()) >= 0
        assert one.text.startswith(f"{one.label} spends ")
    return {one.label: one for one in found}


ALONE = {"rows": [row(n, n + 1.0) for n in range(4)], "lanes": 1, "makespan_s": 4.0, "backend": "sequential"}
FULL = [row(0.0, 1.0, 0), row(0.0, 1.0, 1), row(1.0, 2.0, 0), row(1.0, 2.0, 1)]


@pytest.mark.parametrize(
    ("cause", "run", "text"),
    [
        ("computing", {"rows": FULL, "lanes": 2, "makespan_s": 2.0}, "time in tasks; no other part takes 5 %"),
        (
            "computing",
            {"rows": FULL, "lanes": 2, "makespan_s": 2.0, "usage": Usage(wait=0.0)},
            "time computing; no other part takes 5 %",
        ),
        (
            "computing",
            {"rows": FULL, "lanes": 2, "makespan_s": 2.0, "usage": Usage(wait=0.9)},
            "spends 100 % of its 2 workers' time in tasks, which wait 90 % of theirs; no other part takes 5 %",
        ),
        (
            "handing over",
            {"rows": [row(n, n + 1.0, 0, 400.0) for n in range(4)], "lanes": 1, "makespan_s": 4.0},
            "600 ms for each of 4 tasks",
        ),
        (
            "imbalance",
            {"rows": [row(0, 1, 0), row(0, 1.6, 1), row(1, 2.4, 0)], "lanes": 2, "makespan_s": 2.4},
            "the longest lane worked 1.20× the mean",
        ),
        (
            "stragglers",
            {"rows": [row(0, 1, 0), row(0, 1, 1), row(0, 1, 2), row(0, 5, 3)], "lanes": 4, "makespan_s": 5.0},
            "the last task took 5.00× the median",
        ),
        (
            "too few tasks",
            {"rows": [row(0, 1, 0), row(0, 1, 1)], "lanes": 1000, "makespan_s": 1.0},
            "2 tasks for 1,000)",
        ),
        (
            "cold starts",
            {
                "rows": [row(0, 3, lane, 1000.0, cold=True, init_ms=2000.0) for lane in range(2)],
                "lanes": 2,
                "makespan_s": 3.0,
                "backend": "emulated",
            },
            "new environments start before they compute",
        ),
        (
            "cold starts",  # both began to start before their first call came
            {
                "rows": [row(0, 3, lane, 1000.0, cold=True, init_ms=9000.0) for lane in range(2)],
                "lanes": 2,
                "makespan_s": 3.0,
            },
            "spends 33 % of its 2 workers' time in tasks; the largest loss is cold starts (67 %",
        ),
        (
            "fetch",
            {"rows": [row(0, 3, lane, 1000.0, fetch_ms=2000.0) for lane in range(2)], "lanes": 2, "makespan_s": 3.0},
            "environments load their data",
        ),
        (
            "driver",
            {"rows": FULL, "lanes": 2, "makespan_s": 5.0, "stage_s": (0.0, 2.0)},
            "the largest loss is the driver (60 %: the job's own code outside its stages, one step after the other)",
        ),
        (
            "encoding",
            {"rows": FULL, "lanes": 2, "makespan_s": 5.0, "stage_s": (0.0, 2.0), "driver": (1.0, 1.8)},
            "encoded and decoded by the driver",
        ),
    ],
)
def test_each_cause_alone_is_named(cause: str, run: dict[str, Any], text: str) -> None:
    (found,) = explained(run).values()
    assert (found.cause, text in found.text) == (cause, True), found


@pytest.mark.parametrize(
    ("cause", "more", "environment", "text"),
    [
        ("memory bandwidth", {}, FOUR, "the largest loss is tasks that take longer than alone (50 %: a task"),
        ("memory bandwidth", {}, FOUR, "though each has a core: probably for the memory and caches that they share)"),
        ("memory bandwidth", {}, Environment(usable_cores=4.0, load_1m=2.0), "though each has a core"),
        (
            "slower tasks",
            {},
            Environment(usable_cores=4.0, load_1m=2.1),
            "; the load average was 2.1 before: perhaps for other processes)",
        ),
        ("BLAS threads", {"settings": {"blas_threads": 4}}, FOUR, "2 x 4 threads on 4 cores"),
        ("slower tasks", {}, Environment(usable_cores=1.0), "2 on 1 core;"),
        ("slower tasks", {}, Environment(usable_cores=4.0, physical_cores=1), "2 on 1 physical core;"),
        ("slower tasks", {"settings": {"memory": 885}, "backend": "emulated"}, FOUR, "885 MB buy 0.50 of a vCPU"),
    ],
)
def test_tasks_that_take_longer_than_alone_have_a_reason(
    cause: str, more: dict[str, Any], environment: Environment, text: str
) -> None:
    slow = [row(0, 2, 0), row(0, 2, 1), row(2, 4, 0), row(2, 4, 1)]
    found = explained(
        ALONE, {"rows": slow, "lanes": 2, "makespan_s": 4.0, "backend": "processes", **more}, environment=environment
    )
    one = found[str(more.get("backend", "processes"))]
    assert one.cause == cause and text in one.text and "a task takes 2.00× as long as alone" in one.text


def test_objects_that_are_exchanged_through_s3_are_named_where_tasks_alone_use_a_folder() -> None:
    slow = {"rows": [row(2 * n, 2 * n + 2.0) for n in range(4)], "lanes": 1, "makespan_s": 8.0}
    s3 = "a task takes 2.00× as long as alone, exchanging objects through S3 rather than through a folder"
    alone = {**ALONE, "notes": [EXCHANGES]}
    emulated = {**slow, "backend": "emulated", "s3": (4, 8)}
    assert s3 in explained(alone, emulated)["emulated"].text
    small = explained(alone, {**emulated, "settings": {"memory": 885}})["emulated"]
    assert f"885 MB buy 0.50 of a vCPU; {s3}" in small.text
    assert "S3" not in explained(ALONE, emulated)["emulated"].text  # the data set's own requests
    assert "S3" not in explained(alone, {**slow, "notes": [EXCHANGES]})["processes"].text


def test_a_task_alone_is_the_median_of_all_repeats_of_sequential() -> None:
    slow = {**ALONE, "rows": [row(2 * n, 2 * n + 2.0) for n in range(4)], "makespan_s": 8.0}
    rows = [row(0, 2, 0), row(0, 2, 1), row(2, 4, 0), row(2, 4, 1)]
    found = explained(ALONE, slow, slow, {"rows": rows, "lanes": 2, "makespan_s": 4.0})
    assert found["processes"].cause == "computing"


def test_a_task_of_sequential_is_alone_and_the_one_of_loop_is_the_whole_job() -> None:
    fast = {**ALONE, "rows": [row(n / 2, n / 2 + 0.5) for n in range(4)], "makespan_s": 2.0}
    whole = {"rows": [row(0.0, 4.0)], "lanes": 1, "makespan_s": 4.0, "backend": "loop"}
    found = explained(fast, ALONE, fast, ALONE, ALONE, whole)
    assert [found[name].cause for name in ("sequential", "loop")] == ["computing", "computing"]


def test_tasks_that_are_handed_over_together_are_counted_as_batches() -> None:
    rows = [row(n, n + 1.0, 0, 400.0, batch=10) for n in range(4)]
    (found,) = explained({"rows": rows, "lanes": 1, "makespan_s": 4.0}).values()
    assert "600 ms for each of 4 batches" in found.text


def test_a_single_task_is_called_so() -> None:
    (found,) = explained({"rows": [row(0, 1, 0, 400.0)], "lanes": 1, "makespan_s": 1.0}).values()
    assert "(60 %: 600 ms for its task)" in found.text


def test_a_lane_that_is_empty_before_a_retry_lacks_no_balance() -> None:
    rows = [row(0, 1), row(0, 1, 1, status="throttled", task=1), row(1, 4), row(3, 4, 1, task=1, queued_s=3.0)]
    (found,) = explained({"rows": rows, "lanes": 2, "makespan_s": 4.0}).values()
    assert {name: share for name, share in found.shares.items() if share} == {"computing": 0.75, "retries": 0.25}
    assert found.cause == "retries"
    assert "is waiting before retries (25 %" in found.text


def test_attempts_that_are_handed_over_are_not_called_tasks() -> None:
    rows = [row(0, 1, 0, 400.0), row(1, 2, 0, 400.0, status="error", task=1), row(2, 3, 0, 400.0, task=1, queued_s=2.0)]
    (found,) = explained({"rows": rows, "lanes": 1, "makespan_s": 3.0}).values()
    assert "600 ms for each of 3 attempts" in found.text


@pytest.mark.parametrize(("backend", "lanes"), [("emulated", 2), ("processes", 1000)])
def test_environments_that_no_call_started_have_no_time_to_lose(backend: str, lanes: int) -> None:
    view = session_of([{"rows": [row(0, 1, 0), row(0, 1, 1)], "lanes": 1000, "makespan_s": 1.0, "backend": backend}])
    for run in view.runs.values():
        assert run.started is not None
        if backend == "emulated":
            pricing = Pricing(rates=rates("us-east-1", "x86_64"), memory_mb=1769)
            run.started = msgspec.structs.replace(run.started, pricing=pricing)
        assert places_used(run) == lanes
    (found,) = explanations(by_label(view.runs.values()), FOUR)
    assert (found.cause == "computing") is (backend == "emulated")


def test_without_a_run_that_ended_well_there_is_no_reason() -> None:
    assert explanations({}, None) == []


def test_what_the_driver_spent_on_encoding_is_no_part_where_it_is_not_known() -> None:
    view = session_of([{"rows": [row(n, n + 1.0, 0, 400.0) for n in range(4)], "lanes": 1, "makespan_s": 4.0}])
    (run,) = view.runs.values()
    assert run.ended is not None
    run.ended = msgspec.structs.replace(run.ended, driver=None)
    (found,) = explanations(by_label([run]), FOUR)
    assert found.shares["encoding"] == 0 and found.shares["handing over"] == pytest.approx(0.6)


def test_a_single_lane_is_out_of_balance_with_no_other() -> None:
    """What it is empty for within a stage, while no task waits, the driver took."""
    rows = [row(0, 1, 0), row(1, 4, 0)]
    (found,) = explained({"rows": rows, "lanes": 1, "makespan_s": 5.0, "stage_s": (0.0, 4.5)}).values()
    assert found.cause == "driver" and found.shares["driver"] == pytest.approx(0.2)
    assert not {"imbalance", "stragglers"} & found.shares.keys()


@pytest.mark.parametrize(("last_s", "cause"), [(2.1, "stragglers"), (1.9, "imbalance")])
def test_a_last_task_of_twice_the_median_is_a_straggler(last_s: float, cause: str) -> None:
    rows = [row(0, 1, 0), row(0, 1, 1), row(0, 1, 2), row(0, last_s, 3)]
    (found,) = explained({"rows": rows, "lanes": 4, "makespan_s": last_s}).values()
    assert found.cause == cause


def test_a_straggler_may_have_begun_first() -> None:
    rows = [row(0, 2.1, 3), row(0, 1, 0), row(0, 1, 1), row(0, 1, 2)]
    (found,) = explained({"rows": rows, "lanes": 4, "makespan_s": 2.1}).values()
    assert found.cause == "stragglers"


def test_only_another_attempt_of_the_same_task_of_the_same_stage_has_waited_for_it() -> None:
    calls = [  # stage, task, attempt, queued, returned, status
        (0, 0, 0, 0.0, 1.0, "error"),
        (0, 0, 1, 1.5, 2.0, "ok"),
        (0, 1, 0, 3.0, 3.5, "ok"),
        (1, 0, 0, 4.0, 5.0, "ok"),
        (1, 1, 0, 4.0, 5.0, "ok"),
    ]
    events: list[Event] = [session_started(FOUR), run_planned("r1", "processes", 0), run_started("r1")]
    for n, (stage, task, attempt, queued, returned, status) in enumerate(calls):
        events.append(Dispatched("r1", n, stage, task, attempt, queued, queued))
        events.append(Returned("r1", n, "ok" if status == "ok" else "error", returned))
    begin, end = waits_before_retries(fold(events).runs["r1"])
    assert (begin.tolist(), end.tolist()) == ([1.0], [1.5])


@pytest.mark.parametrize(("task_s", "cause"), [(0.97, "computing"), (1.04, "computing"), (1.06, "memory bandwidth")])
def test_tasks_that_take_5_percent_longer_than_alone_have_a_reason(task_s: float, cause: str) -> None:
    rows = [row(0, task_s, 0), row(0, task_s, 1), row(task_s, 2 * task_s, 0), row(task_s, 2 * task_s, 1)]
    run = {"rows": rows, "lanes": 2, "makespan_s": 2 * task_s, "backend": "processes"}
    assert explained(ALONE, run)["processes"].cause == cause
