"""The mandelbrot workload: rows dealt to tasks, put together, checked, coloured."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbench.errors import InputError
from lbench.workloads import functions
from lbench.workloads.encoding import decode, encode
from lbench.workloads.mandelbrot import DESCRIPTION, MandelbrotParams, plane
from lbench.workloads.mandelbrot.colour import Scale, colour, fit
from lbench.workloads.mandelbrot.job import WORKLOAD, rows_of
from lbench.workloads.model import Task
from lbench.workloads.parameters import parse
from lbench.workloads.registry import describe, load

UNHURRIED = settings(deadline=None)  # the machine may be busy

ASSIGNMENTS = ("interleaved", "blocked", "dynamic")


def run(params: MandelbrotParams) -> tuple[list[Task], Any]:
    """The job as a backend would run it: arguments and results through the encoding."""
    job = WORKLOAD.job(params, None)
    tasks = next(job)
    results = []
    for task in tasks:
        name, arguments = decode(encode([task.function, task.arguments]))
        results.append(decode(encode(functions.call(name, arguments))))
    with pytest.raises(StopIteration) as end:
        job.send(results)
    return tasks, end.value.value


@UNHURRIED
@given(st.integers(1, 400), st.integers(1, 400), st.sampled_from(ASSIGNMENTS))
def test_every_row_is_dealt_once_and_no_task_is_empty(height: int, tasks: int, assignment: str) -> None:
    tasks = min(tasks, height)
    shares = plane.deal(height, tasks, assignment)
    assert len(shares) == tasks
    assert all(shares)
    assert sorted(row for share in shares for row in share) == list(range(height))


@UNHURRIED
@given(st.integers(1, 2000), st.integers(1, 300))
def test_dynamic_runs_shrink_to_one_row(height: int, tasks: int) -> None:
    tasks = min(tasks, height)
    sizes = [len(share) for share in plane.deal(height, tasks, "dynamic")]
    assert sizes == sorted(sizes, reverse=True)
    if tasks > 1:
        assert sizes[-1] == 1
        assert sizes[0] <= 2 * height / tasks + 1


@UNHURRIED
@given(st.integers(1, 2000), st.integers(1, 300), st.sampled_from(["interleaved", "blocked"]))
def test_the_other_assignments_deal_evenly(height: int, tasks: int, assignment: str) -> None:
    sizes = [len(share) for share in plane.deal(height, min(tasks, height), assignment)]
    assert max(sizes) - min(sizes) <= 1


@given(
    st.integers(1, 25),
    st.integers(1, 25),
    st.none() | st.integers(1, 40),
    st.sampled_from(ASSIGNMENTS),
    st.sampled_from(["numpy", "python"]),
)
@settings(UNHURRIED, max_examples=40)
def test_any_division_and_kernel_gives_the_reference(
    width: int, height: int, tasks: int | None, assignment: Any, kernel: Any
) -> None:
    params = MandelbrotParams(
        width=width, height=height, tasks=tasks, assignment=assignment, kernel=kernel, max_iterations=60
    )
    dealt, answer = run(params)
    check = WORKLOAD.check(params, decode(encode(answer)), WORKLOAD.reference(params, None))
    assert check.ok, check.how
    assert answer.shape == (height, width)
    assert len(dealt) == WORKLOAD.limits(params).tasks


def test_a_wrong_count_is_found() -> None:
    params = MandelbrotParams(size=20)
    _, answer = run(params)
    reference = WORKLOAD.reference(params, None)
    answer[3, 4] += 1
    assert not WORKLOAD.check(params, answer, reference).ok


def test_results_are_compact() -> None:
    params = MandelbrotParams(width=100, height=10, tasks=2, max_iterations=50)
    task = next(WORKLOAD.job(params, None))[0]
    counts = functions.call(task.function, task.arguments)
    assert counts.dtype == np.uint16
    assert len(encode(counts)) < 2 * 100 * 5 + 32


def test_a_tasks_rows_can_be_drawn_when_they_arrive() -> None:
    params = MandelbrotParams(size=30, tasks=7, max_iterations=40)
    whole = WORKLOAD.reference(params, None)
    for task in next(WORKLOAD.job(params, None)):
        counts = functions.call(task.function, task.arguments)
        assert np.array_equal(whole[rows_of(task.arguments)], counts)
        rows = colour(counts, 40, Scale())
        assert np.array_equal(rows, colour(whole, 40, Scale())[rows_of(task.arguments)])


def test_tasks_are_capped_at_the_rows_and_the_notes_say_so() -> None:
    assert WORKLOAD.limits(MandelbrotParams()).tasks == 100
    assert WORKLOAD.notes(MandelbrotParams()) == []
    small = MandelbrotParams(width=500, height=40)
    assert WORKLOAD.limits(small).tasks == 40
    assert "40 tasks instead of 100" in WORKLOAD.notes(small)[0]
    assert "30 tasks instead of 31" in WORKLOAD.notes(MandelbrotParams(size=30, tasks=31))[0]
    assert WORKLOAD.notes(MandelbrotParams(size=30, tasks=30)) == []


def test_width_and_height_override_size() -> None:
    assert MandelbrotParams(size=7).shape == (7, 7)
    assert MandelbrotParams(size=7, width=3).shape == (7, 3)
    assert MandelbrotParams(size=7, height=2).shape == (2, 7)


def test_one_reference_serves_all_kernels_assignments_and_seeds() -> None:
    key = WORKLOAD.reference_key(MandelbrotParams())
    same = MandelbrotParams(kernel="python", assignment="dynamic", tasks=3, seed=9, width=1000)
    assert WORKLOAD.reference_key(same) == key
    assert WORKLOAD.reference_key(MandelbrotParams(max_iterations=501)) != key
    assert WORKLOAD.reference_key(MandelbrotParams(height=999)) != key


def test_the_summary_counts_points_and_iterations() -> None:
    params = MandelbrotParams(max_iterations=9)
    answer = np.array([[1, 9], [9, 4]], np.uint16)
    assert WORKLOAD.summary(params, answer) == {"points_inside": 2, "iterations": 23}
    assert msgspec.json.encode(WORKLOAD.summary(params, answer))


def test_the_picture_is_black_inside_dark_outside_and_amber_at_the_border() -> None:
    params = MandelbrotParams(size=120)
    answer = WORKLOAD.reference(params, None)
    picture = WORKLOAD.picture(params, answer)
    assert picture.shape == (120, 120, 3)
    assert picture.dtype == np.uint8
    shown = answer[:, ::-1]  # in a picture x grows to the right
    inside = shown == 500
    assert not picture[inside].any()
    assert picture[~inside].any(axis=1).all()
    corner, border = picture[0, 0].astype(int), picture[np.where(inside, 0, shown) > 60].astype(int)
    assert corner.sum() < 120
    assert (border[:, 0] > border[:, 2] + 60).all()  # red far above blue: warm


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
def test_colours_do_not_depend_on_the_counts_type(dtype: type[np.generic]) -> None:
    counts = np.array([[0, 1, 5], [60000, 65534, 65535]]).astype(dtype)
    expected = colour(counts.astype(np.int64), 65535, Scale())
    assert np.array_equal(colour(counts, 65535, Scale()), expected)


def test_counts_far_above_the_colour_table_still_have_a_colour() -> None:
    counts = np.array([[3, 70_000, 5_000_000]], np.uint32)
    rgb = colour(counts, 5_000_000, fit(counts, 5_000_000))
    assert rgb[0, 1].any()
    assert not rgb[0, 2].any()


def test_previews_and_pictures_have_the_real_axis_to_the_right() -> None:
    params = MandelbrotParams(size=60)
    answer = WORKLOAD.reference(params, None)
    black = ~WORKLOAD.picture(params, answer).any(axis=2)
    (task,) = next(WORKLOAD.job(msgspec.structs.replace(params, tasks=1), None))
    drawn = WORKLOAD.previewer(params, None).add(task, answer)["values"]
    for inside in (black, drawn == 255):
        middle = inside[30]  # the real axis: the period-2 bulb is left of the cardioid
        assert middle[:30].any() and not middle[45:].any()


def test_a_picture_that_is_all_inside_is_black() -> None:
    assert not WORKLOAD.picture(MandelbrotParams(size=3), np.full((3, 3), 500, np.uint16)).any()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("size", "0", "parameter size=0: must be at least 1"),
        ("height", "40000", "parameter height=40000: must be at most 32768"),
        ("max_iterations", "0", "parameter max_iterations=0: must be at least 1"),
        ("kernel", "cuda", "parameter kernel=cuda: must be one of numpy, python"),
        ("window", "1,2,3", "parameter window=1,2,3: must be 4 numbers separated by commas, got 3"),
        ("window", "1,-1,0,1", "parameter window=1,-1,0,1: must be x_min,x_max,y_min,y_max with x_min < x_max"),
        ("window", "-1e308,1e308,0,1", "parameter window=-1e308,1e308,0,1: the four numbers must be finite"),
    ],
)
def test_values_out_of_range_get_one_plain_line(name: str, text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(MandelbrotParams, {name: text})
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_data_are_refused(tmp_path: Any) -> None:
    with pytest.raises(InputError, match="reads no data"):
        WORKLOAD.load(MandelbrotParams(), tmp_path)


def test_the_registry_knows_it() -> None:
    assert describe("mandelbrot") is DESCRIPTION
    assert load(DESCRIPTION) is WORKLOAD


def test_describing_it_loads_no_numpy() -> None:
    code = "import sys, lbench.workloads.mandelbrot; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
