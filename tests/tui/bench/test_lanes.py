import random
from types import ModuleType

import numpy as np
import pytest

from lbench.engine.journal.events import Dispatched, Returned, RunPlanned
from lbench.engine.session.view import RunView, SessionView, fold
from lbench.tui.bench.lanes import Lanes


def _run(backend: str = "emulated") -> RunView:
    planned = RunPlanned(
        run="r1",
        workload="probe",
        params={},
        seed=1,
        backend=backend,
        label=backend,
        origin="emulated",
        repeat=0,
        warmup=False,
        schedule="isolated",
    )
    return RunView(planned)


def _begin(run: RunView, n: int, at_s: float, environment: str | None = None) -> None:
    run.apply(
        Dispatched(run="r1", n=n, stage=0, task=n, attempt=0, queued_s=0.0, dispatched_s=at_s, environment=environment)
    )


def _end(run: RunView, n: int, at_s: float, environment: str | None, status: str = "ok") -> None:
    run.apply(Returned(run="r1", n=n, status=status, returned_s=at_s, environment=environment))  # type: ignore[arg-type]


def test_a_running_invocation_has_its_lane_before_it_ends() -> None:
    run = _run("processes")
    _begin(run, 0, 0.0, "w0")
    lanes = Lanes(run)
    lanes.update([0])
    assert lanes.running == {0: 0}


def test_on_lambda_an_invocation_is_shown_in_a_lane_by_inference_and_keeps_it_when_its_environment_is_new() -> None:
    run = _run()
    lanes = Lanes(run)
    _begin(run, 0, 0.0)
    _begin(run, 1, 0.0)
    lanes.update([0, 1])
    before = lanes.of_rows().tolist()
    _end(run, 1, 0.5, "b")
    lanes.update([1])
    assert lanes.of_rows().tolist() == before
    assert lanes.environments[before[1]] >= 0


def test_what_follows_goes_to_the_lane_that_became_free() -> None:
    run = _run()
    lanes = Lanes(run)
    _begin(run, 0, 0.0)
    _begin(run, 1, 0.0)
    lanes.update([0, 1])
    _end(run, 1, 0.5, "b")
    _begin(run, 2, 0.5)
    lanes.update([1, 2])
    assert lanes.of_rows()[2] == lanes.of_rows()[1]


def test_an_invocation_that_was_inferred_wrongly_moves_to_its_environments_lane() -> None:
    run = _run()
    lanes = Lanes(run)
    for n in (0, 1):
        _begin(run, n, 0.0)
    lanes.update([0, 1])
    _end(run, 0, 0.4, "a")
    _end(run, 1, 0.5, "b")
    lanes.update([0, 1])
    for n in (2, 3):
        _begin(run, n, 0.5)
    lanes.update([2, 3])
    inferred = lanes.of_rows()[2:].tolist()
    ends = ["a", "b"] if inferred == [1, 0] else ["b", "a"]
    _end(run, 2, 0.9, ends[0])
    _end(run, 3, 0.9, ends[1])
    lanes.update([2, 3])
    of = {run.columns.environments[code]: lane for lane, code in enumerate(lanes.environments)}
    assert lanes.of_rows()[2] == of[ends[0]]
    assert lanes.of_rows()[3] == of[ends[1]]
    assert len(lanes) == 2


def test_a_throttled_attempt_that_never_reached_an_environment_has_a_lane_too() -> None:
    run = _run()
    lanes = Lanes(run)
    _begin(run, 0, 0.0)
    _end(run, 0, 0.01, None, "throttled")
    lanes.update([0])
    assert lanes.of_rows()[0] == 0
    assert not lanes.running


def test_there_are_as_many_lanes_as_environments_however_the_journal_is_cut(making: ModuleType) -> None:
    events = [event for _, event in making.events((making.EMULATED,), repeats=1)]
    for step in (1, 7, 50, 1000):
        view = SessionView()
        lanes: Lanes | None = None
        for start in range(0, len(events), step):
            block = events[start : start + step]
            fold(block, view)
            rows = [event.n for event in block if isinstance(event, Dispatched | Returned)]
            if "r1" in view.runs:
                lanes = lanes or Lanes(view.runs["r1"])
                lanes.update(rows)
        assert lanes is not None
        assert len(lanes) == 8, step
        columns = view.runs["r1"].columns
        known = columns["environment"] >= 0
        assert (np.asarray(lanes.environments)[lanes.of_rows()[known]] == columns["environment"][known]).all()
        assert not lanes.running


@pytest.mark.parametrize("throttled", [0.0, 0.002, 0.3])
@pytest.mark.parametrize("step", [150, 10_000])
def test_many_rows_are_placed_at_once_as_they_are_one_by_one(
    step: int, throttled: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(1)
    placed = []
    for many in (64, 10**9):
        monkeypatch.setattr("lbench.tui.bench.lanes._MANY", many)
        rng.seed(7)
        run = _run()
        lanes = Lanes(run)
        n = 0
        for _ in range(2000 // step + 1):
            rows = []
            for _ in range(step):
                _begin(run, n, n * 0.1)
                rows.append(n)
                if rng.random() < throttled:
                    _end(run, n, n * 0.1 + 0.05, None, "throttled")
                elif n % 149:  # a few are still running when the next ones come
                    _end(run, n, n * 0.1 + 1, f"e{rng.randrange(12)}")
                n += 1
            for late in [row for row in lanes.running if rng.random() < 0.7]:
                _end(run, late, n * 0.1, f"e{rng.randrange(12)}")
                rows.append(late)
            lanes.update(rows)
        kept = {name: value for name, value in vars(lanes).items() if name not in ("run", "_of_row", "_odd")}
        placed.append((kept, list(lanes._free), lanes.of_rows().tolist(), lanes.odd().tolist()))
    assert placed[0] == placed[1]
