"""A user's own workload: its description, the files that are sent, and that its faults harm nothing else."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import math
import os
import sys
import time
import types
from collections.abc import Callable, Iterator
from decimal import Decimal
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
from lbench.workloads.own import importer, locate, snapshot, tracebacks
from lbench.workloads.own import workload as own_workload
from lbench.workloads.own.argument_types import adapted
from lbench.workloads.own.run_here import run_here
from lbench.workloads.recorded.values import Packer
from lbench.workloads.task_errors import error_texts

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
    importer.leave()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """`write("mine.py", text)`: the file, in a folder of the test's."""

    def make(name: str, text: str = PLAIN) -> Path:
        path = tmp_path / "theirs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return make


# -- its description


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
    found = {field.name: field for field in parameters.fields(description.params)}
    assert list(found) == ["n", "kind", "sizes", "rate", "fast", "name"]
    assert (found["n"].type, found["n"].minimum, found["n"].maximum, found["n"].meaning) == ("int", 1, 50, "how many")
    assert found["kind"].choices == ("a", "b") and found["sizes"].type == "numbers" and found["rate"].optional
    assert found["fast"].type == "yes or no" and found["fast"].default is True
    assert (description.name, description.summary) == ("mine.py:job", "About pi")
    params = parameters.parse(description.params, {"n": "3", "name": "x", "sizes": "4,5"}, seed=7)
    assert (params.n, params.sizes, params.seed) == (3, (4, 5), 7)  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="parameter n=51: must be at most 50"):
        parameters.parse(description.params, {"n": "51", "name": "x"})
    with pytest.raises(InputError, match="parameter name is required"):
        parameters.parse(description.params, {})


IMPORTED = [
    ("import nowhere_at_all", "No module named 'nowhere_at_all' (bad.py, line 1 in <module>): if nowhere_at_all is a"),
    ("import helpers", "it is not sent with it yet: name it, include = ['helpers.py']"),
    ("raise RuntimeError('early')", "cannot be imported: RuntimeError: early (bad.py, line 1 in <module>)"),
    (
        "from pathlib import Path\nPath(__file__).with_name('conf.json').read_text()",
        "(bad.py, line 2 in <module>): files that a script reads are not copied: pass what is in them as arguments, or name"
        " them in include = [...]",
    ),
    ("import sys; sys.exit(3)", "it ends the program: SystemExit: 3"),
    ("from .helpers import x", "with no known parent package (bad.py, line 1 in <module>): put an empty __init__.py"),
    ("import os; os._exit(3)", "it ended its process (exit code 3)"),
    ("", "has no function 'job': write a function of that name"),
    ("def jobb(): yield []", "has no function 'job': there are: jobb"),
    ("job = 3", "job must be a function, got int"),
    ("def job(x): yield []", "job's parameter x: give it an annotation, as in x: int = 10"),
    ("def job(x: dict = {}): yield []", "job's parameter x: its annotation must be int, float"),
    ("def job(*x): yield []", "job's parameter x: give each parameter a name of its own"),
    (
        "from __future__ import annotations\ndef job(x: Nowhere = 1): yield []",
        "job cannot be understood: NameError: name 'Nowhere'",
    ),
    ("def job(x: int = 'one'): yield []", "the default of parameter x is invalid"),
    ("trial = 3\ndef job(): yield []", "trial must be a dict"),
]


@pytest.mark.parametrize(("text", "message"), IMPORTED, ids=[text[:30] for text, _ in IMPORTED])
def test_an_unusable_module_is_refused_in_one_line(write: Write, text: str, message: str) -> None:
    path = write("bad.py", text)
    write("helpers.py", "")
    with pytest.raises(InputError) as caught:
        registry.describe(f"{path}:job")
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert "bad.py" in str(caught.value)


def test_a_module_sees_no_arguments_and_a_package_s_own_is_named_by_its_file(write: Write) -> None:
    path = write("reads.py", "import sys\nassert sys.argv == ['reads.py'], sys.argv\ndef job(): yield []")
    assert next(registry.load(registry.describe(f"{path}:job")).job(Params(), None)) == []
    package = write("kit/__init__.py", "")
    with pytest.raises(InputError, match=r"kit/__init__\.py has no function 'f'"):
        registry.describe(f"{package}:f")


PARSED = [
    ("bad.py", "def job(:", "bad.py, line 1: invalid Python"),
    ("bad.py", "\0", "invalid Python"),
    ("bad.py", "include = [1]", "line 1: include must be a plain list of texts"),
    ("bad.py", "x = 1\nrequirements: list[str] = [x]", "line 2: requirements must be a plain list"),
    ("bad.py", "include = ['nope.py']", "include 'nope.py': there is no such file or folder"),
    ("bad.py", "include = ['../x']", "include '../x': name files and folders beside or below it"),
    ("random.py", "", "Python would import its own module 'random' instead"),
    ("numpy.py", "", "lbench itself imports a module named 'numpy'"),
    ("my-job.py", "", "rename it, for example 'my_job'"),
    ("1st.py", "", "cannot import a module named '1st': rename it, for example 'my_1st'"),
    ("v1.2.py", "", "cannot import a module named 'v1.2': rename it, for example 'v1_2'"),
]


@pytest.mark.parametrize(("name", "text", "message"), PARSED, ids=[f"{name} {text[:20]!r}" for name, text, _ in PARSED])
def test_some_faults_are_found_without_running_the_module(write: Write, name: str, text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        snapshot.gather(locate.locate(f"{write(name, text)}:job"))
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["./nowhere.py:job", "./nowhere.py", "some/folder", "mine:job", ".py", "a\0.py:job"])
def test_an_invalid_workload_name_shows_the_right_form(name: str) -> None:
    with pytest.raises(InputError, match=r"\./mine\.py:job"):
        registry.describe(name)
    with pytest.raises(UnknownNameError, match="did you mean 'kmeans'"):
        registry.describe("kmean")


def test_prints_and_threads_of_a_module_do_no_harm(write: Write, capfd: pytest.CaptureFixture[str]) -> None:
    text = "import threading, time\nprint('x' * 100_000)\nthreading.Thread(target=time.sleep, args=(600,)).start()\n"
    assert registry.describe(str(write("mine.py", text + PLAIN))).summary == "Numbers"
    assert capfd.readouterr() == ("", "")


def test_an_entry_point_is_a_workload(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("pkg/__init__.py", "raise RuntimeError('nobody imports me')")
    write("pkg/__init__.py", "")
    write("pkg/sims.py")
    monkeypatch.syspath_prepend(str(write("x", "").parent))
    found = [
        importlib.metadata.EntryPoint("mysim", "pkg.sims:job", locate.GROUP),
        importlib.metadata.EntryPoint("gone", "pkg.nowhere:job", locate.GROUP),
    ]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: found)
    description = registry.describe("mysim")
    assert description.name == "mysim" and description.implementation == "pkg.sims:job"
    found = registry.installed()
    assert found["mysim"] == description and "install its package again" in str(found["gone"])
    assert "pkg" not in sys.modules


# -- what travels


def names(path: Path) -> set[str]:
    return set(snapshot.gather(locate.locate(f"{path}:job")).files) - {importer.MARKER}


def test_a_module_is_sent_alone_or_with_its_package_or_its_includes(write: Write) -> None:
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
    assert locate.locate(f"{inner}:job").module == "pkg.sub.deep"
    assert names(write("pkg/sub/deep.py", f"include = []\n{PLAIN}")) == {
        "pkg/__init__.py",
        "pkg/sub/__init__.py",
        "pkg/sub/deep.py",
    }


def test_too_many_or_too_large_files_are_refused(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "_BYTES_LIMIT", 2000)
    write("pkg/__init__.py", "")
    write("pkg/big.csv", "1" * 1990)
    with pytest.raises(InputError, match=r"must have at most.*include"):
        names(write("pkg/mine.py"))


def test_an_edit_makes_another_snapshot_and_keeps_the_first(write: Write) -> None:
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
    copy.chmod(0o644)  # only root writes to it as it is
    copy.write_text("def job(:")
    assert registry.describe(f"{path}:job").code == code
    assert copy.read_text() == PLAIN


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_snapshot_below_a_folder_of_another_user_is_not_run(write: Write) -> None:
    path = write("mine.py")
    code = registry.describe(f"{path}:job").code
    assert code is not None
    os.chown(Path(code.folder).parent, 12345, 12345)
    with pytest.raises(InputError, match="belongs to another user"):
        registry.describe(f"{path}:job")


def test_an_unwritable_cache_is_refused_in_one_line(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(write("a_file", "")))
    with pytest.raises(InputError, match="set XDG_CACHE_HOME"):
        registry.describe(f"{write('mine.py')}:job")


def test_only_functions_of_the_snapshots_modules_can_be_called(write: Write) -> None:
    text = "from os import system\nimport os\nclass C:\n    @staticmethod\n    def s(i): return i\n"
    functions.preload(registry.describe(f"{write('mine.py', text + PLAIN)}:job").pinned)
    assert functions.call("mine:f", {"i": 3}) == functions.call("mine:C.s", {"i": 3}) == 3
    for name in ("os:system", "mine:system", "mine:os.system", "mine:C", "mine:nothing", "subprocess:run", "mine:"):
        with pytest.raises(InputError):
            functions.find(name)
    importer.leave()
    with pytest.raises(InputError, match="is not sent with the workload"):
        functions.find("mine:f")


def test_a_users_module_comes_before_an_installed_one_of_its_name(
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
def test_functions_that_other_processes_cannot_find_are_refused(what: Any) -> None:
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
        monkeypatch.setattr(own_workload, "limits_of", lambda description, params: Limits(tasks=self.most))
        monkeypatch.setattr(own_workload, "find_own", lambda name: (None, False))
        self.most: int | None = None

    def __call__(self, **parts: Any) -> own_workload.OwnWorkload:
        code = OwnCode(folder="/", file="mine.py", module="mine", function="job", digest="0")
        description = Description(name="mine.py:job", summary="", params=Params, implementation="mine:job", code=code)
        return own_workload.OwnWorkload(description, types.SimpleNamespace(**parts))


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Own:
    return Own(monkeypatch)


def drive(workload: own_workload.OwnWorkload, params: Params | None = None) -> Any:
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
    (_late, "has yielded 2 tasks; limits\\(\\) allows at most 1"),
]


@pytest.mark.parametrize(("job", "message"), JOBS, ids=[message[:25] for _, message in JOBS])
def test_a_job_that_misbehaves_fails_its_run_in_one_line(own: Own, job: Any, message: str) -> None:
    own.most = 1
    with pytest.raises(WorkloadError, match=message):
        drive(own(job=job))


def test_a_job_gets_the_runs_tasks_and_seed_where_it_has_such_parameters(own: Own) -> None:
    def job(tasks: int = 4, seed: int = 9) -> Any:
        return _returning([tasks, seed], [Task("mine:f")])

    assert drive(own(job=job)) == [4, 1]
    assert drive(own(job=job), Params(tasks=2, seed=3)) == [2, 3]
    assert own(job=job).notes(Params(tasks=2)) == []
    assert own(job=_late).notes(Params(tasks=2)) == ["--tasks 2 is ignored: job() has no parameter named tasks"]


def test_answers_are_checked_by_its_own_check_or_by_equality(own: Own) -> None:
    params = Params()
    assert own(job=_late).check(params, [1, {"a": np.arange(3)}], [1, {"a": np.arange(3)}]).ok
    assert own(job=_late).check(params, math.nan, math.nan).ok
    assert not own(job=_late).check(params, [1.0], [1.0 + 1e-15]).ok
    assert not own(job=_late).check(params, np.zeros(2), np.zeros(3)).ok
    assert own(job=_late, check=lambda answer: np.bool_(answer > 2)).check(params, 3, None).ok
    assert not own(job=_late, check=lambda answer, reference, seed: answer == reference + seed).check(params, 3, 3).ok
    with pytest.raises(WorkloadError, match="check must return True or False, got a str"):
        own(job=_late, check=lambda answer: "yes").check(params, 3, None)
    assert own(job=_late).checks is False and own(job=_late, reference=lambda: 1).checks is True


def test_results_of_its_other_companions_are_checked(own: Own) -> None:
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


def test_a_failing_preview_is_called_once(own: Own) -> None:
    asked = []

    def preview(task: Task, result: Any) -> Any:
        asked.append(result)
        raise ValueError

    previewer = own(job=_late, preview=preview).previewer(Params(), None)
    assert previewer is not None
    assert [previewer.add(Task("mine:f"), 1), previewer.add(Task("mine:f"), 2), asked] == [None, None, [1]]


def test_limits_are_computed_in_another_process(write: Write) -> None:
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


def test_a_traceback_names_the_users_files_without_our_folders() -> None:
    digest = "0123456789abcdef" * 2
    text = (
        f'  File "/home/u/.cache/lbench/own/{digest}/mine.py", line 3, in f\n'
        f'  File "/tmp/code/{digest * 2}/pkg/deep.py", line 4, in g\n  File "/var/task/mine.py", line 5, in h\n'
    )
    assert tracebacks.trimmed(text) == (
        '  File "mine.py", line 3, in f\n  File "pkg/deep.py", line 4, in g\n  File "mine.py", line 5, in h\n'
    )
    assert tracebacks.place_in(tracebacks.trimmed(text)) == "mine.py, line 5 in h"


def test_a_traceback_has_no_frame_of_lbench_above_a_users_function() -> None:
    def typed(x: complex, /) -> None:
        raise ValueError(x)

    with pytest.raises(ValueError, match="1j") as raised:
        adapted(typed)(x="1j")
    frames = "".join(error_texts(raised.value).frames)
    assert "argument_types.py" in frames and "in typed" in frames
    shown = tracebacks.trimmed(frames)
    assert (
        "argument_types" not in shown and "return function" not in shown and "in typed\n    raise ValueError" in shown
    )


def test_the_place_of_a_crash_is_its_innermost_frame_in_a_users_file() -> None:
    crash = (
        f'File "late.py", line 1, in printed\nFatal Python error: Segmentation fault\n\n'
        f'Stack (most recent call first):\n  File "/lib/ctypes/__init__.py", line 519 in string_at\n'
        f'  File "/x/code-{"0" * 32}/mine.py", line 7 in inner\n  File "/x/code-{"0" * 32}/mine.py", line 9 in outer\n'
        f'  File "/a/lbench/engine/backends/local/worker.py", line 99 in _run\n'
        '  File "<frozen runpy>", line 88 in _run_code\n'
    )
    shown = tracebacks.trimmed(crash)
    assert shown.endswith('  File "mine.py", line 7 in inner\n  File "mine.py", line 9 in outer\n')
    assert tracebacks.place_in(shown) == "mine.py, line 7 in inner"
    assert tracebacks.place_in('  File "/usr/lib/python3/json.py", line 1, in loads') is None
    assert tracebacks.place_in(None) is None


def test_a_recorded_calls_text_is_the_call_that_the_script_made() -> None:
    given = [{"~": "name", "v": "mine:simulate"}, [3, "a"], {"n": 4}]
    assert tracebacks.call_text("recorded.call", {"given": given}) == "simulate(3, 'a', n=4)"


@dataclasses.dataclass
class Job:
    name: str
    place: tuple[int, int] = (1, 2)

    def run(self, *values: object) -> None: ...


def test_what_a_recorded_call_was_given_is_shown_as_the_script_had_it() -> None:
    def shown(function: object, *args: object) -> str:
        pack = Packer().pack
        return tracebacks.call_text("recorded.call", {"given": [pack(function), [pack(one) for one in args], {}]})

    assert shown(Job("a").run, {3}, {(1, 2): None}, 1 << 70, np.float32(1.5), len) == (
        "Job(name='a', place=(1, 2)).run({3}, {(1, 2): None}, 1180591620717411303424, <float32 array of one>, len)"
    )
    assert shown(functools.partial(Job, "b"), Decimal("1.5"), Path, [[1] * 9]).startswith(
        "partial(Job)(Decimal('1.5'), Path, [[1, 1, 1, 1, ...]])"
    )
    assert len(shown(len, Job("a" * 500, (1 << 60, 2)), {(i, "x"): i for i in range(500)})) < 200


def test_a_calls_text_is_bounded() -> None:
    text = tracebacks.call_text("mine:fit", {"x": np.zeros((3, 4)), "b": bytes(5000), "s": "y" * 5000, "n": 3})
    assert text.startswith("fit(x=<float64 array 3x4>, b=<5,000 bytes>, s='yyy") and text.endswith("n=3)")
    assert len(tracebacks.call_text("mine:fit", {f"a{i}": "z" * 30 for i in range(50)})) < 200

    class Rude:
        def __repr__(self) -> str:
            raise ValueError

    assert "Rude" in tracebacks.call_text("mine:fit", {"x": Rude()})


def test_an_error_whose_str_raises_is_reported() -> None:
    class Rude(Exception):
        def __str__(self) -> str:
            raise ValueError

    assert tracebacks.one_line(Rude()) == "Rude: (its message cannot be read: __str__ raised ValueError)"


def test_the_handler_finds_marker_and_pinned_names(write: Write) -> None:
    code = registry.describe(f"{write('mine.py')}:job").code
    assert code is not None
    marker = msgspec.json.decode((Path(code.folder) / importer.MARKER).read_bytes(), type=importer.Marker)
    assert marker == importer.Marker(modules=["mine"])
    assert snapshot.pinned_name(code.digest, code.file, code.function) == code.pinned
    with pytest.raises(InputError, match="run it again from its file"):
        importer.pinned_parts("/nowhere/mine.py:job")
    assert encode(["mine:f", {}])


POOLS = {
    "spawn": "import multiprocessing\nmultiprocessing.get_context('spawn').Pool(2).map(f, range(4))",
    "fork": "from concurrent.futures import ProcessPoolExecutor\nlist(ProcessPoolExecutor(2).map(f, range(4)))",
}


@pytest.mark.skipif(sys.platform != "linux", reason="children are found in /proc")
@pytest.mark.parametrize("kind", POOLS)
def test_an_import_that_waits_for_processes_is_reported_within_seconds(
    write: Write, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("pools.py", PLAIN + POOLS[kind])
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    began = time.monotonic()
    with pytest.raises(InputError, match="starts processes while it is imported, and waits for them"):
        registry.describe(f"{path}:job")
    assert time.monotonic() - began < 60  # and not the 120 s after which any import is given up


def test_a_process_that_the_import_leaves_running_does_not_hold_the_answer(write: Write) -> None:
    path = write("leaves.py", PLAIN + "import os, time\nif os.fork() == 0:\n    time.sleep(100)\n    os._exit(0)\n")
    began = time.monotonic()
    assert registry.describe(f"{path}:job").name == "leaves.py:job"
    assert time.monotonic() - began < 60


def test_compiled_files_that_a_task_put_beside_its_code_are_removed(write: Write) -> None:
    description = registry.describe(f"{write('mine.py')}:job")
    assert description.code is not None
    folder = Path(description.code.folder)
    folder.chmod(0o755)
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / f"mine.{sys.implementation.cache_tag}.pyc").write_bytes(b"what a task likes")
    assert snapshot.restore(folder) == []  # Python itself writes such files, in the processes of root's pools
    assert not (folder / "__pycache__").exists() and (folder / "mine.py").exists()


@pytest.mark.parametrize("change", ["edit", "add", "remove", "hide"])
def test_a_snapshot_is_restored_by_its_digest(write: Write, change: str) -> None:
    description = registry.describe(f"{write('mine.py')}:job")
    assert description.code is not None
    folder = Path(description.code.folder)
    assert folder.stat().st_mode & 0o222 == 0 and (folder / "mine.py").stat().st_mode & 0o222 == 0
    folder.chmod(0o755)
    match change:
        case "edit":
            (folder / "mine.py").chmod(0o644)
            (folder / "mine.py").write_text("broken")
        case "add":
            (folder / "cache.json").write_text("{}")
        case "remove":
            (folder / "mine.py").unlink()
        case "hide":
            (folder / ".cache").write_text("{}")
    assert len(snapshot.restore(folder)) == 1 and snapshot.restore(folder) == []
    assert (folder / "mine.py").read_text() == PLAIN and len(list(folder.iterdir())) == 2
