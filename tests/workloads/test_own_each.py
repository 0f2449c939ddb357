"""Values of a plain function's parameters: ranges, lists and files, typed by its annotations; a task for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lbench.errors import InputError
from lbench.workloads import functions, parameters, registry
from lbench.workloads.model import Description
from lbench.workloads.own import importer
from lbench.workloads.own.each import combinations, grid_of, pinned

MINE = '''
from pathlib import Path
from typing import Annotated, Literal, Optional
from lbench import Meta, Task

def simulate(
    seed: int, points: Annotated[int, Meta(ge=1)] = 100, alpha: float = 1.0, mode: Literal["a", "b"] = "a"
) -> float:
    """A simulation."""
    return seed * points * alpha

def loose(x, note=None, where: Path | None = None, flag: bool = False, sizes: tuple[int, ...] = (), table=object()):
    return [x, note, type(where).__name__, flag]

def needs(alpha: float, beta: "Unknown" = 3): return alpha
def job(n: int = 2): return (yield [Task(simulate, seed=1)])
class Thing: pass
async def later(x): pass
def positional(x, /): pass
def clash(each): pass
alias = simulate
'''


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    yield
    importer.leave()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the file above, and a cache: a function is described once for all tests."""
    folder = tmp_path_factory.mktemp("each")
    (folder / "mine.py").write_text(MINE)
    return folder


@pytest.fixture
def describe(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Description]:
    """`describe("simulate")`: that function of the file above."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    monkeypatch.chdir(tmp_path)
    return lambda name: registry.describe(f"{home}/mine.py:{name}")


def values(description: Description, *texts: str) -> list[dict[str, Any]]:
    specs = description.params.specs  # type: ignore[attr-defined]
    return list(combinations(grid_of(specs, pinned(specs, texts))))


@pytest.mark.parametrize(
    ("function", "text", "expected"),
    [
        ("simulate", "seed=0..3", [0, 1, 2, 3]),
        ("simulate", "seed=5..5", [5]),
        ("simulate", "seed=-2..0,7, 9..10", [-2, -1, 0, 7, 9, 10]),
        ("simulate", "seed=1..100x10", [1, 10, 100]),
        ("simulate", "seed=0..10+5", [0, 5, 10]),
        ("simulate", "alpha=0..0.3+0.1", [0.0, 0.1, 0.2, 0.3]),
        ("simulate", "alpha=1..2", [1.0, 2.0]),
        ("simulate", "alpha=1e-3..1x10", [0.001, 0.01, 0.1, 1.0]),
        ("simulate", "mode=b,a,b", ["b", "a", "b"]),
        ("loose", "x=1,2.5,abc,true,null", [1, 2.5, "abc", True, None]),
        ("loose", "x=1..2,x", [1, 2, "x"]),
        ("loose", "flag=yes,no", [True, False]),
        ("loose", "where=/tmp,none", ["/tmp", None]),
        ("loose", "x=ä b,日本", ["ä b", "日本"]),
    ],
)
def test_values_are_typed_by_the_annotation(
    describe: Callable[[str], Description], function: str, text: str, expected: list[Any]
) -> None:
    (name,) = {name for one in values(describe(function), text) for name in one}
    found = [one[name] for one in values(describe(function), text)]
    assert found == expected and list(map(type, found)) == list(map(type, expected))


def test_several_names_give_their_product_the_first_varying_slowest(describe: Callable[[str], Description]) -> None:
    found = values(describe("simulate"), "seed=1,2", "points=10,20")
    assert found == [
        {"seed": 1, "points": 10},
        {"seed": 1, "points": 20},
        {"seed": 2, "points": 10},
        {"seed": 2, "points": 20},
    ]


@pytest.mark.parametrize(
    ("name", "content", "text", "expected"),
    [
        ("c.csv", "name,pop\nA B,1\n\nC,22\n", "seed=@c.csv:pop", [1, 22]),
        ("c.csv", "name;pop\r\n'A;1\r\n", "x=@c.csv:name", ["'A"]),
        ("c.csv", "seed\n3\n4\n", "seed=@c.csv", [3, 4]),
        ("c.csv", "b,seed\n3,4\n", "seed=@c.csv", [4]),
        ("j.jsonl", '3\n\n"4"\n', "x=@j.jsonl", [3, "4"]),
        ("j.jsonl", '{"a": [1, {"b": 2}]}\n', "x=@j.jsonl:a", [[1, {"b": 2}]]),
        ("lines.txt", "one\ntwo words\n", "x=@lines.txt", ["one", "two words"]),
        ("with space ä.csv", "ü:x\n7\n", "seed=@with space ä.csv", [7]),
    ],
)
def test_values_come_from_a_column_or_from_lines(
    describe: Callable[[str], Description], tmp_path: Path, name: str, content: str, text: str, expected: list[Any]
) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    description = describe("loose" if text[0] == "x" else "simulate")
    assert [value for one in values(description, text) for value in one.values()] == expected


def test_values_of_a_file_stay_what_they_were_when_the_plan_was_made(
    describe: Callable[[str], Description], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "c.csv").write_text("seed\n3\n4\n")
    specs = describe("simulate").params.specs  # type: ignore[attr-defined]
    text = pinned(specs, [f"seed=@{tmp_path}/c.csv"])
    assert str(tmp_path) not in text
    (tmp_path / "c.csv").write_text("seed\n5\n")
    monkeypatch.chdir("/")
    assert list(grid_of(specs, text)["seed"]) == [3, 4]
    assert pinned(specs, [text]) == text  # as it stands in a recorded run


@pytest.mark.parametrize(
    ("function", "text", "message"),
    [
        ("simulate", "sed=1", "unknown parameter 'sed': did you mean 'seed'?"),
        ("simulate", "seed", "--each must be NAME=VALUES, as in seed=0..99, got seed"),
        ("simulate", "seed=", "--each seed: there are no values"),
        ("simulate", "seed=9..0", "--each seed=9..0: the range is empty"),
        ("simulate", "alpha=1..0+0.5", "--each alpha=1..0+0.5: the range is empty"),
        ("simulate", "seed=0..4+0", "the step must be above 0"),
        ("simulate", "seed=0..4x2", "must have a factor above 1 and begin above 0"),
        ("simulate", "seed=1..4x1", "must have a factor above 1 and begin above 0"),
        ("simulate", "seed=1,,2", "a value is empty"),
        ("simulate", "seed=1,x", "--each seed=1,x (x): must be a whole number"),
        ("simulate", "seed=0..1+0.5", "must be a whole number"),
        ("simulate", "points=0..2", "must be at least 1"),
        ("simulate", "mode=a,c", "must be one of a, b"),
        ("simulate", "seed=0..99999999999999", "must be at most 1,000,000 values"),
        ("simulate", "seed=0..9e999999999999999999", "the numbers are too large"),
        ("simulate", "alpha=0..1e9+0.0001", "must be at most 1,000,000 values"),
        ("simulate", "alpha=1e-30..1e30x1.0000001", "must be at most 1,000,000 values"),
        ("loose", "sizes=1,2", "each value is a list: put them into a file"),
        ("loose", "table=1", "unknown parameter 'table'"),
        ("simulate", "seed=@", "name a file after @"),
        ("simulate", "seed=@none.csv", "there is no such file"),
        ("simulate", "seed=@.", "that is a folder"),
        ("simulate", "seed=@c.csv:x", "there is no column 'x': name one after a colon (name, pop)"),
        ("simulate", "seed=@c.csv:name", "--each seed=@c.csv (A): must be a whole number"),
        ("simulate", "seed=@empty.csv", "there are no values in it"),
        ("simulate", "seed=@header.csv", "there are no values in it"),
        ("simulate", "seed=@j.jsonl", "--each seed=@j.jsonl, line 2: must be one JSON value a line"),
        ("simulate", "seed=@j.jsonl:a", "line 1: there is no key 'a'"),
        ("simulate", "seed=@text.txt:a", "a column is of a .csv or .jsonl file"),
        ("simulate", "seed=@c.csv%0123456789abcdef", "no longer kept"),
        ("simulate", "seed=@twice.csv", "2 columns are named 'seed': rename all but one"),
        ("simulate", "seed=@~nobody-of-that-name/c.csv", "there is no such home folder"),
        ("simulate", "seed=1,99999999999999999999", "--each seed=1,99999999999999999999: must be numbers of 64 bits"),
        ("loose", "x=-9223372036854775809", "must be numbers of 64 bits"),
    ],
)
def test_unusable_values_are_refused_in_one_line(
    describe: Callable[[str], Description], tmp_path: Path, function: str, text: str, message: str
) -> None:
    (tmp_path / "c.csv").write_text("name,pop\nA,1\n")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "text.txt").write_text("1")
    (tmp_path / "header.csv").write_text("seed\n")
    (tmp_path / "twice.csv").write_text("seed,seed\n1,2\n")
    (tmp_path / "j.jsonl").write_text("1\n[2\n")
    with pytest.raises(InputError) as error:
        values(describe(function), text)
    assert message in str(error.value) and "\n" not in str(error.value) and str(error.value).startswith("--each")


def test_the_remedy_of_a_file_in_another_encoding_is_one_that_there_is(
    describe: Callable[[str], Description], tmp_path: Path
) -> None:
    (tmp_path / "c.csv").write_bytes("seed\n1\nä\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"line 3, byte 1: 0xe4 is not UTF-8: save it as UTF-8$"):
        values(describe("simulate"), "seed=@c.csv")
    (tmp_path / "c.csv").write_bytes("seed\n1\n".encode("utf-16-le"))
    with pytest.raises(InputError, match=r"\(then save it as UTF-8\)\?$"):
        values(describe("simulate"), "seed=@c.csv")


def test_a_product_is_bounded_before_it_is_made(describe: Callable[[str], Description]) -> None:
    with pytest.raises(InputError, match="must be at most 1,000,000 tasks, got 10,000 x 1,000"):
        values(describe("simulate"), "seed=0..9999", "points=1..1000")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("nothing", "mine.py has no function 'nothing': there are: job; with --each, simulate, loose, needs"),
        ("Thing", "Thing must be a function, got type"),
        ("Path", "Path must be a function, got type"),
        ("alias", "alias must be defined with def at this file's top level"),
        ("later", "later must be a plain function, not async"),
        ("positional", "positional's parameter x: it must have a name"),
        ("clash", "clash's parameter each: rename it"),
    ],
)
def test_what_is_no_plain_function_is_refused(
    describe: Callable[[str], Description], function: str, message: str
) -> None:
    with pytest.raises(InputError) as error:
        describe(function)
    assert message in str(error.value)


def test_the_parameters_that_are_shown_include_the_functions_own_seed(describe: Callable[[str], Description]) -> None:
    shown = {field.name: field for field in parameters.fields(describe("simulate").shown_params)}
    assert list(shown) == ["seed", "points", "alpha", "mode", "each"]
    assert shown["seed"].required and not shown["points"].required and shown["mode"].choices == ("a", "b")
    assert [field.name for field in parameters.fields(describe("needs").params)] == ["alpha", "beta", "each"]


def test_each_parameter_has_a_value_from_somewhere(describe: Callable[[str], Description]) -> None:
    form = describe("loose").params
    with pytest.raises(InputError, match="parameter x: has no value: give -p x=VALUE, or --each x=VALUES"):
        parameters.parse(form, {"each": "note=1,2"})
    with pytest.raises(InputError, match="parameter each=zz=1: unknown parameter 'zz'"):
        parameters.parse(form, {"each": "zz=1"})
    params = parameters.parse(form, {"each": "note=1,2", "x": "[1]"})
    assert parameters.settable(params) == {"each": "note=1,2", "x": [1], "where": None, "flag": False, "sizes": ()}
    seeded = parameters.parse(describe("simulate").params, {"each": "points=1,2"}, seed=7)
    assert seeded.fixed()["seed"] == 7  # --seed


def test_its_job_is_one_stage_and_its_answer_the_list_of_results(describe: Callable[[str], Description]) -> None:
    description = describe("loose")
    workload = registry.load(description)
    params = parameters.parse(description.params, {"each": "x=1,2", "where": "/tmp"})
    job = workload.job(params, None)
    stage = next(job)
    results = [functions.call(task.function, task.arguments) for task in stage]
    assert results == [[1, None, "PosixPath", False], [2, None, "PosixPath", False]]
    with pytest.raises(StopIteration) as end:
        job.send(results)
    assert end.value.value == results == workload.loop(params, None)
    assert registry.limits(description, params).tasks == workload.limits(params).tasks == 2
    assert not workload.notes(params)
    params = parameters.parse(description.params, {"each": "x=1,2"}, tasks=5)
    assert workload.notes(params) == [
        "--tasks 5 is ignored: there is a task for each value (--batch hands several over together)"
    ]
