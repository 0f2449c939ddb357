"""A user's own workload: what is told of it, what travels, and what its code may do without harm to anything else."""

from __future__ import annotations

import functools
import importlib.metadata
import math
import os
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import lbench
from lbench.errors import EncodingError, InputError, UnknownNameError, WorkloadError
from lbench.workloads import functions, parameters, registry
from lbench.workloads.encoding import encode
from lbench.workloads.model import Description, Limits, OwnCode, Params, Task
from lbench.workloads.own import importer as entering
from lbench.workloads.own import locate as naming
from lbench.workloads.own import snapshot as gathering
from lbench.workloads.own import tracebacks as traces
from lbench.workloads.own import workload as wrapping
from lbench.workloads.own.run_here import run_here

Write = Callable[..., Path]

PLAIN = """
from lbench import Task
def f(i): return i
def job(n: int = 2):
    "Numbers."
    return sum((yield [Task(f, i=i) for i in range(n)]))
"""


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    """What a test enters, the next one does not find."""
    yield
    entering.leave()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """`write("mine.py", text)`: the file, in a folder of the test's."""

    def make(name: str, text: str = PLAIN) -> Path:
        path = tmp_path / "theirs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return make


# -- what is told of it


def test_its_parameters_have_types_ranges_defaults_and_meanings(write: Write) -> None:
    path = write(
        "mine.py",
        '''"""About pi."""
from __future__ import annotations
from typing import Annotated, Literal
from lbench import Meta, Task
def job(
    n: Annotated[int, Meta(ge=1, le=50, description="how many")] = 10,
    kind: Literal["a", "b"] = "a",
    sizes: tuple[int, ...] = (1, 2),
    rate: Annotated[float | None, Meta(gt=0)] = None,
    fast=True,
    *,
    name: str,
    tasks: int = 4,
    seed: int = 1,
):
    yield []
''',
    )
    description = registry.describe(f"{path}:job")
    told = {field.name: field for field in parameters.fields(description.params)}
    assert list(told) == ["n", "kind", "sizes", "rate", "fast", "name"]
    assert (told["n"].type, told["n"].minimum, told["n"].maximum, told["n"].meaning) == ("int", 1, 50, "how many")
    assert told["kind"].choices == ("a", "b") and told["sizes"].type == "numbers" and told["rate"].optional
    assert told["fast"].type == "yes or no" and told["fast"].default is True
    assert (description.name, description.summary) == ("mine.py:job", "About pi")
    params = parameters.parse(description.params, {"n": "3", "name": "x", "sizes": "4,5"}, seed=7)
    assert (params.n, params.sizes, params.seed) == (3, (4, 5), 7)  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="parameter n=51: must be at most 50"):
        parameters.parse(description.params, {"n": "51", "name": "x"})
    with pytest.raises(InputError, match="parameter name: give a value"):
        parameters.parse(description.params, {})


IMPORTED = [
    ("import nowhere_at_all", "No module named 'nowhere_at_all' (bad.py, line 1 in <module>): if nowhere_at_all is a"),
    ("import helpers", "it does not travel yet: state it, include = ['helpers.py']"),
    ("raise RuntimeError('early')", "cannot be imported: RuntimeError: early (bad.py, line 1 in <module>)"),
    ("import sys; sys.exit(3)", "it ends the program: SystemExit: 3"),
    ("import os; os._exit(3)", "it ended its process (exit code 3)"),
    ("", "has no job 'job': write a generator function"),
    ("def jobb(): yield []", "has no job 'job': there are: jobb"),
    ("job = 3", "job is no generator function"),
    ("def job(): return 1", "job is no generator function: a job yields lists of tasks"),
    ("def job(x): yield []", "job's parameter x: give it an annotation, as in x: int = 10"),
    ("def job(x: dict = {}): yield []", "job's parameter x: its annotation is nothing that can be typed"),
    ("def job(*x): yield []", "job's parameter x: give each parameter a name of its own"),
    (
        "from __future__ import annotations\ndef job(x: Nowhere = 1): yield []",
        "job cannot be understood: NameError: name 'Nowhere'",
    ),
    ("def job(x: int = 'one'): yield []", "the default of x is none that it may have"),
    ("trial = 3\ndef job(): yield []", "trial must be a dict"),
]


@pytest.mark.parametrize(("text", "told"), IMPORTED, ids=[text[:30] for text, _ in IMPORTED])
def test_a_module_that_cannot_be_used_is_told_in_one_line(write: Write, text: str, told: str) -> None:
    path = write("bad.py", text)
    write("helpers.py", "")
    with pytest.raises(InputError) as caught:
        registry.describe(f"{path}:job")
    assert told in str(caught.value) and "\n" not in str(caught.value)
    assert "bad.py" in str(caught.value)


PARSED = [
    ("bad.py", "def job(:", "bad.py, line 1: it is no valid Python"),
    ("bad.py", "\0", "it is no valid Python"),
    ("bad.py", "include = [1]", "line 1: include must be a plain list of texts"),
    ("bad.py", "x = 1\nrequirements: list[str] = [x]", "line 2: requirements must be a plain list"),
    ("bad.py", "include = ['nope.py']", "include 'nope.py': there is no such file or folder"),
    ("bad.py", "include = ['../x']", "include '../x': name files and folders beside or below it"),
    ("random.py", "", "Python has a module 'random' of its own"),
    ("numpy.py", "", "lbench needs another module of the name 'numpy'"),
    ("my-job.py", "", "call it 'my_job', say"),
]


@pytest.mark.parametrize(("name", "text", "told"), PARSED, ids=[f"{name} {text[:20]!r}" for name, text, _ in PARSED])
def test_some_of_it_is_found_without_running_anything(write: Write, name: str, text: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        gathering.gather(naming.locate(f"{write(name, text)}:job"))
    assert told in str(caught.value)


@pytest.mark.parametrize("name", ["./nowhere.py:job", "./nowhere.py", "some/folder", "mine:job", ".py", "a\0.py:job"])
def test_a_name_that_is_no_workload_says_how_one_is_written(name: str) -> None:
    with pytest.raises(InputError, match=r"\./mine\.py:job"):
        registry.describe(name)
    with pytest.raises(UnknownNameError, match="did you mean 'kmeans'"):
        registry.describe("kmean")


def test_what_the_module_prints_and_starts_harms_nobody(write: Write, capfd: pytest.CaptureFixture[str]) -> None:
    text = "import threading, time\nprint('x' * 100_000)\nthreading.Thread(target=time.sleep, args=(600,)).start()\n"
    assert registry.describe(str(write("mine.py", text + PLAIN))).summary == "Numbers"
    assert capfd.readouterr() == ("", "")


def test_an_entry_point_is_a_workload(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("pkg/__init__.py", "raise RuntimeError('nobody imports me')")
    write("pkg/__init__.py", "")
    write("pkg/sims.py")
    monkeypatch.syspath_prepend(str(write("x", "").parent))
    found = [
        importlib.metadata.EntryPoint("mysim", "pkg.sims:job", naming.GROUP),
        importlib.metadata.EntryPoint("gone", "pkg.nowhere:job", naming.GROUP),
    ]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: found)
    description = registry.describe("mysim")
    assert description.name == "mysim" and description.implementation == "pkg.sims:job"
    told = registry.installed()
    assert told["mysim"] == description and "install its package again" in str(told["gone"])
    assert "pkg" not in sys.modules


# -- what travels


def names(path: Path) -> set[str]:
    return set(gathering.gather(naming.locate(f"{path}:job")).files) - {entering.MARKER}


def test_a_module_travels_alone_or_with_its_package_or_with_what_it_includes(write: Write) -> None:
    alone = write("mine.py")
    write("helpers.py", "")
    assert names(alone) == {"mine.py"}
    write("tables/a.csv", "1")
    write("tables/.hidden", "1")
    write("tables/__pycache__/x.pyc", "1")
    assert names(write("mine.py", f"include = ['helpers.py', 'tables/']\n{PLAIN}")) == {
        "mine.py",
        "helpers.py",
        "tables/a.csv",
    }
    write("pkg/__init__.py", "")
    write("pkg/sub/__init__.py", "")
    write("pkg/data.txt", "1")
    inner = write("pkg/sub/deep.py")
    assert names(inner) == {"pkg/__init__.py", "pkg/data.txt", "pkg/sub/__init__.py", "pkg/sub/deep.py"}
    assert naming.locate(f"{inner}:job").module == "pkg.sub.deep"
    assert names(write("pkg/sub/deep.py", f"include = []\n{PLAIN}")) == {
        "pkg/__init__.py",
        "pkg/sub/__init__.py",
        "pkg/sub/deep.py",
    }


def test_too_much_to_travel_is_refused(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "_BYTES_LIMIT", 2000)
    write("pkg/__init__.py", "")
    write("pkg/big.csv", "1" * 1990)
    with pytest.raises(InputError, match=r"too large to travel.*include"):
        names(write("pkg/mine.py"))


def test_an_edit_makes_another_snapshot_and_leaves_the_first_as_it_was(write: Write) -> None:
    path = write("mine.py")
    before = registry.describe(f"{path}:job")
    write("mine.py", PLAIN.replace("return i", "return -i"))
    after = registry.describe(f"{path}:job")
    path.unlink()
    assert before.code is not None and after.code is not None and before.code.digest != after.code.digest
    assert registry.describe(before.pinned) == before
    for description, result in ((before, 1), (after, -1), (before, 1)):
        functions.preload(description.pinned)
        assert functions.call("mine:f", {"i": 1}) == result


def test_a_damaged_snapshot_is_made_again(write: Write) -> None:
    path = write("mine.py")
    code = registry.describe(f"{path}:job").code
    assert code is not None
    copy = Path(code.folder) / "mine.py"
    copy.write_text("def job(:")
    assert registry.describe(f"{path}:job").code == code
    assert copy.read_text() == PLAIN


def test_a_cache_that_cannot_be_written_is_said(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(write("a_file", "")))
    with pytest.raises(InputError, match="set XDG_CACHE_HOME"):
        registry.describe(f"{write('mine.py')}:job")


def test_only_functions_of_modules_that_travelled_can_be_called(write: Write) -> None:
    text = "from os import system\nimport os\nclass C:\n    @staticmethod\n    def s(i): return i\n"
    functions.preload(registry.describe(f"{write('mine.py', text + PLAIN)}:job").pinned)
    assert functions.call("mine:f", {"i": 3}) == functions.call("mine:C.s", {"i": 3}) == 3
    for name in ("os:system", "mine:system", "mine:os.system", "mine:C", "mine:nothing", "subprocess:run", "mine:"):
        with pytest.raises(InputError):
            functions.find(name)
    entering.leave()
    with pytest.raises(InputError, match="does not travel"):
        functions.find("mine:f")


def test_a_module_of_theirs_stands_before_an_installed_one_of_its_name(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(write("other/mine.py", "raise RuntimeError('the wrong one')").parent))
    functions.preload(registry.describe(f"{write('mine.py')}:job").pinned)
    assert functions.call("mine:f", {"i": 3}) == 3


# -- tasks


def _plain(x: int) -> int:
    return x


def test_a_task_takes_a_plain_function_by_its_name() -> None:
    assert Task(_plain, x=1).function == f"{__name__}:_plain"
    assert repr(Task("probe.noop", number=1)) == "Task('probe.noop', number)"


@pytest.mark.parametrize(
    "what", [lambda: 1, functools.partial(_plain, 1), math.sqrt, "".join, Path, 3, Task("a").__repr__, os.system]
)
def test_what_others_cannot_find_is_refused(what: Any) -> None:
    with pytest.raises(EncodingError):
        Task(what)


def test_a_function_inside_a_function_is_refused() -> None:
    def inner() -> None: ...

    with pytest.raises(EncodingError, match="inner, which is defined inside a function"):
        Task(inner)


def test_run_here_runs_a_job_through_the_encoding() -> None:
    def job() -> Any:
        first = yield [Task(_plain, x=(i, 1)) for i in range(2)]
        second = yield (Task(_plain, x=first),)
        return second

    assert run_here(job()) == [[[0, 1], [1, 1]]]
    with pytest.raises(EncodingError):
        run_here(iter_of([Task(_plain, x=object())]))
    with pytest.raises(WorkloadError, match="lists of tasks"):
        run_here(iter_of(3))


def iter_of(stage: Any) -> Any:
    return (yield stage)


def test_the_public_face_is_lazy_and_whole() -> None:
    assert lbench.Task is Task and lbench.run_here is run_here
    assert set(lbench.__all__) <= set(dir(lbench))
    with pytest.raises(AttributeError, match="no attribute 'Tusk'"):
        lbench.Tusk  # noqa: B018


# -- what a job may do


class Own:
    """A workload out of functions, without a file."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(wrapping, "limits_of", lambda description, params: Limits(tasks=self.most))
        monkeypatch.setattr(wrapping, "find_own", lambda name: (None, False))
        self.most: int | None = None

    def __call__(self, **parts: Any) -> wrapping.OwnWorkload:
        code = OwnCode(folder="/", file="mine.py", module="mine", function="job", digest="0")
        description = Description(name="mine.py:job", summary="", params=Params, implementation="mine:job", code=code)
        return wrapping.OwnWorkload(description, types.SimpleNamespace(**parts))


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Own:
    return Own(monkeypatch)


def drive(workload: wrapping.OwnWorkload, params: Params | None = None) -> Any:
    steps = workload.job(params or Params(), None)
    results = None
    while True:
        try:
            stage = steps.send(results)  # type: ignore[arg-type]
        except StopIteration as end:
            return end.value
        results = [0 for _ in stage]


def _raising(error: BaseException) -> Any:
    yield [Task("mine:f")]
    raise error


def _endless() -> Any:
    while True:
        yield []


def _late() -> Any:
    yield [Task("mine:f")]
    yield [Task("mine:f")]
    return 1


def _returning(value: Any, *stages: Any) -> Any:
    left = list(stages)
    while left:
        yield left.pop(0)
    return value


JOBS: list[tuple[Callable[[], Any], str]] = [
    (lambda: _returning(5), "never yielded a task"),
    (lambda: _returning(None, [Task("mine:f")]), "returned nothing: return its answer"),
    (lambda: _returning(1, None), "yielded None: yield a list of tasks"),
    (lambda: _returning(1, 3), "yielded an int: yield a list of tasks"),
    (lambda: _returning(1, (x for x in "ab")), "yielded a generator"),
    (lambda: _returning(1, [1]), "yielded a list with an int"),
    (lambda: _returning(1, [Task("probe.noop")]), "give it the function itself"),
    (_endless, "1,000 stages without a task and no answer"),
    (lambda: _raising(ZeroDivisionError("by zero")), r"job\(\) failed: ZeroDivisionError: by zero"),
    (lambda: _raising(SystemExit(3)), "SystemExit: 3"),
    (lambda: _raising(KeyboardInterrupt()), "KeyboardInterrupt"),
    (_late, "has yielded 2 tasks, and limits\\(\\) says at most 1"),
]


@pytest.mark.parametrize(("job", "told"), JOBS, ids=[told[:25] for _, told in JOBS])
def test_a_job_that_misbehaves_fails_its_run_in_one_line(own: Own, job: Any, told: str) -> None:
    own.most = 1
    with pytest.raises(WorkloadError, match=told):
        drive(own(job=job))


def test_a_job_gets_the_runs_tasks_and_seed_where_it_has_such_parameters(own: Own) -> None:
    def job(tasks: int = 4, seed: int = 9) -> Any:
        return _returning([tasks, seed], [Task("mine:f")])

    assert drive(own(job=job)) == [4, 1]
    assert drive(own(job=job), Params(tasks=2, seed=3)) == [2, 3]
    assert own(job=job).notes(Params(tasks=2)) == []
    assert own(job=_late).notes(Params(tasks=2)) == ["--tasks 2 is not heeded: job() has no parameter tasks"]


def test_its_checks_are_its_own_or_equality(own: Own) -> None:
    params = Params()
    assert own(job=_late).check(params, [1, {"a": np.arange(3)}], [1, {"a": np.arange(3)}]).ok
    assert own(job=_late).check(params, math.nan, math.nan).ok
    assert not own(job=_late).check(params, [1.0], [1.0 + 1e-15]).ok
    assert not own(job=_late).check(params, np.zeros(2), np.zeros(3)).ok
    assert own(job=_late, check=lambda answer: np.bool_(answer > 2)).check(params, 3, None).ok
    assert not own(job=_late, check=lambda answer, reference, seed: answer == reference + seed).check(params, 3, 3).ok
    with pytest.raises(WorkloadError, match="check must return True or False, and not a str"):
        own(job=_late, check=lambda answer: "yes").check(params, 3, None)
    assert own(job=_late).checks is False and own(job=_late, reference=lambda: 1).checks is True


def test_its_other_companions_are_taken_at_their_word_only_when_it_fits(own: Own) -> None:
    params = Params()
    assert own(job=_late).summary(params, 3) == {}
    assert own(job=_late, summary=lambda answer: {"x": np.float64(answer)}).summary(params, 3) == {"x": 3.0}
    for wrong in (lambda answer: 3, lambda answer: {"x": object()}, lambda answer: 1 / 0):
        with pytest.raises(WorkloadError):
            own(job=_late, summary=wrong).summary(params, 3)
    with pytest.raises(WorkloadError, match="uint8"):
        own(job=_late, picture=lambda answer: [1]).picture(params, 3)
    data = own(job=_late, load=lambda path: {"x": [1, 2]}).load(params, None)
    assert (data.rows, data.columns, list(data["x"])) == (2, 1, [1, 2])
    with pytest.raises(WorkloadError, match=r"load\(\) failed: FileNotFoundError"):
        own(job=_late, load=lambda path: open("/nowhere")).load(params, None)  # noqa: PTH123, SIM115
    with pytest.raises(InputError, match="reads no data"):
        own(job=_late).load(params, Path("x"))


def test_a_preview_that_fails_is_not_asked_again(own: Own) -> None:
    asked = []

    def preview(task: Task, result: Any) -> Any:
        asked.append(result)
        raise ValueError

    previewer = own(job=_late, preview=preview).previewer(Params(), None)
    assert previewer is not None
    assert [previewer.add(Task("mine:f"), 1), previewer.add(Task("mine:f"), 2), asked] == [None, None, [1]]


def test_limits_are_asked_of_another_process(write: Write) -> None:
    text = f"{PLAIN}\ndef limits(n):\n    print(1)\n    return n if n < 9 else 1 / 0\n"
    description = registry.describe(f"{write('mine.py', text)}:job")
    assert registry.limits(description, parameters.parse(description.params, {"n": 3})).tasks == 3
    with pytest.raises(InputError, match=r"limits cannot be understood: ZeroDivisionError.*mine.py, line"):
        registry.limits(description, parameters.parse(description.params, {"n": 9}))
    assert "mine" not in sys.modules


def test_a_task_gets_the_data_set_only_where_the_workload_loads_one(write: Write) -> None:
    text = f"{PLAIN}\ndef g(data): return data['x']\n"
    functions.preload(registry.describe(f"{write('mine.py', text)}:job").pinned)
    assert functions.call("mine:g", {"data": {"x": 1}}, None) == 1  # an argument like any other
    functions.preload(registry.describe(f"{write('mine.py', text + 'def load(path): return {}')}:job").pinned)
    assert functions.call("mine:g", {}, {"x": 2}) == 2


# -- what it raises


def test_a_traceback_names_their_files_and_not_our_folders() -> None:
    digest = "0123456789abcdef" * 2
    text = (
        f'  File "/home/u/.cache/lbench/own/{digest}/mine.py", line 3, in f\n'
        f'  File "/tmp/code/{digest * 2}/pkg/deep.py", line 4, in g\n  File "/var/task/mine.py", line 5, in h\n'
    )
    assert traces.trimmed(text) == (
        '  File "mine.py", line 3, in f\n  File "pkg/deep.py", line 4, in g\n  File "mine.py", line 5, in h\n'
    )
    assert traces.place_in(traces.trimmed(text)) == "mine.py, line 5 in h"
    assert traces.place_in('  File "/usr/lib/python3/json.py", line 1, in loads') is None
    assert traces.place_in(None) is None


def test_a_call_is_told_within_bounds() -> None:
    told = traces.call_text("mine:fit", {"x": np.zeros((3, 4)), "b": bytes(5000), "s": "y" * 5000, "n": 3})
    assert told.startswith("fit(x=<float64 array 3x4>, b=<5,000 bytes>, s='yyy") and told.endswith("n=3)")
    assert len(traces.call_text("mine:fit", {f"a{i}": "z" * 30 for i in range(50)})) < 200

    class Rude:
        def __repr__(self) -> str:
            raise ValueError

    assert "Rude" in traces.call_text("mine:fit", {"x": Rude()})


def test_an_error_whose_text_cannot_be_had_is_told_all_the_same() -> None:
    class Rude(Exception):
        def __str__(self) -> str:
            raise ValueError

    assert traces.one_line(Rude()) == "Rude: (its message cannot be read)"


def test_marker_and_pinned_names_are_what_the_handler_finds(write: Write) -> None:
    code = registry.describe(f"{write('mine.py')}:job").code
    assert code is not None
    marker = msgspec.json.decode((Path(code.folder) / entering.MARKER).read_bytes(), type=entering.Marker)
    assert marker == entering.Marker(modules=["mine"])
    assert gathering.pinned_name(code.digest, code.file, code.function) == code.pinned
    with pytest.raises(InputError, match="run it again from its file"):
        entering.pinned_parts("/nowhere/mine.py:job")
    assert encode(["mine:f", {}])
