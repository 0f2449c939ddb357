"""Values of a plain function's parameters: ranges, lists and files, typed by its annotations; a task for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from lbench.errors import InputError
from lbench.workloads import functions, parameters, registry
from lbench.workloads.encoding import decode, encode
from lbench.workloads.model import Description
from lbench.workloads.own import importer
from lbench.workloads.own.each import EachParams, combinations, fixed_of, grid_of, pinned, specs_of

MINE = '''
import datetime
import enum
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, Optional
from uuid import UUID
from fractions import Fraction
import numpy as np
from numpy.typing import NDArray
if TYPE_CHECKING: from pandas import DataFrame
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
class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"

class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2

@dataclass
class Point:
    x: int
    on: datetime.date | None = None

class Pair(NamedTuple):
    a: int
    b: str

def shown(*values): return [repr(one) for one in values]
def kinds(
    colour: Colour = Colour.RED, size: Optional[Size] = None, day: datetime.date = datetime.date(2026, 1, 31),
    at: "datetime.datetime | None" = None, price: Decimal = Decimal("0.5"), path=Path("a"),
    flag: Literal[True, False] = True, end: Literal["x", None] = "x",
    after: datetime.timedelta = datetime.timedelta(0), which: UUID | None = None,
):
    return shown(colour, size, day, at, price, path, flag, end, after, which)
def whole(
    point: Point = Point(7), pair: Pair = Pair(1, "b"), ids: set[int] = {3}, places: list[Path] = [],
    by: dict[int, float] = {1: 2.0},
):
    return shown(point, pair, ids, places, by)
def untyped(raw=b"x", several=(1, 2), listed=[1, [2]], marks={"a": (1,)}, frame: "DataFrame" = None, x: np.ndarray = 1):
    return shown(raw, several, listed, marks, frame, x)
def placed(a, b=datetime.date(2026, 1, 1), c=3, /, d=4, *rest, e: Path = Path("e"), **others):
    return shown(a, b, c, d, rest, e, others)
def arrays(
    x: np.ndarray, typed: "NDArray[np.float32] | None", some: np.floating, one: np.float32, small: np.uint8,
    listed: list[np.int64], yes: np.bool_, raw: bytes, root: complex, part: Fraction, own: np.float64 = np.float64(0.5),
):
    return [x.dtype.str, (typed * 2).tolist(), *shown(some, one, small, listed, yes, raw, root, part, own)]
def clash(each): pass
def named(specs, fixed=0, shown=0, limits=0, self=0, __hidden=1, large=2**70):
    return [specs, fixed, shown, limits, self, __hidden, large == 2**70]
def hidden(__x): return __x
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
    specs = specs_of(description.params)  # type: ignore[arg-type]
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
        ("loose", "x=[1,2],[3, 4]", [[1, 2], [3, 4]]),
        ("loose", 'x={"a": 1, "b": [2, 3]}, 5', [{"a": 1, "b": [2, 3]}, 5]),
        ("loose", 'x="a,b","1",c', ["a,b", "1", "c"]),
        ("kinds", "colour=blue,red", ["blue", "red"]),
        ("kinds", "size=LARGE,none", ["LARGE", None]),
        ("kinds", "day=2026-02-27..2026-03-01", [date(2026, 2, 27), date(2026, 2, 28), date(2026, 3, 1)]),
        ("kinds", "day=2026-01-01..2026-01-20+7", [date(2026, 1, 1), date(2026, 1, 8), date(2026, 1, 15)]),
        ("kinds", "at=2026-01-01 10:00:00,none", [datetime(2026, 1, 1, 10), None]),
        ("kinds", "price=0..0.2+0.1,1.10", [Decimal("0"), Decimal("0.1"), Decimal("0.2"), Decimal("1.10")]),
        ("kinds", "flag=no,true", [False, True]),
        ("kinds", "end=none,x", [None, "x"]),
        ("loose", "flag=yes,no", [True, False]),
        ("loose", "where=/tmp,none", ["/tmp", None]),
        ("loose", "x=ä b,日本", ["ä b", "日本"]),
        ("loose", 'where="a,b",none,"none", c', ["a,b", None, "none", "c"]),
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
    specs = specs_of(describe("simulate").params)  # type: ignore[arg-type]
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
        ("simulate", "seed=1..", "--each seed=1..: a range must be A..B, A..B+STEP or A..BxFACTOR"),
        ("loose", "x=0...5", "--each x=0...5: a range must be A..B, A..B+STEP or A..BxFACTOR"),
        ("loose", "x=2,..3", "--each x=..3: a range must be A..B, A..B+STEP or A..BxFACTOR"),
        ("kinds", "colour=RED", "--each colour=RED: must be one of blue, red"),
        ("kinds", "size=1", "must be one of LARGE, SMALL"),
        ("kinds", "day=2026-02-30", "must be a date, as in 2026-01-31"),
        ("kinds", "day=2026-02-01..2026-01-01", "the range is empty: write the earlier date first"),
        ("kinds", "day=2026-02-01..2026-02-30", "must be dates, as in 2026-01-01..2026-12-31"),
        ("kinds", "day=2026-02-01..2026-02-03+0", "the step must be above 0"),
        ("kinds", "at=noon", "must be a date and a time, as in 2026-01-31T12:00:00"),
        ("kinds", "price=1,5x", "--each price=1,5x (5x): must be a number"),
        ("kinds", "which=7", "must be a UUID"),
        ("placed", "rest=1", "unknown parameter 'rest'"),
        ("kinds", "day=@days.csv", "--each day=@days.csv, line 3: must be a date, as in 2026-01-31, got 2026-13-01"),
        ("simulate", "seed=@days.csv:n", "--each seed=@days.csv, line 3: must be a whole number, got nothing"),
        ("simulate", "seed=@null.jsonl", "--each seed=@null.jsonl, line 2: must be a whole number, got null"),
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
        ("loose", "sizes=1,2", "each value is a list: write sizes=[1,2],[3], or one a line of a file"),
        ("loose", 'sizes=[1],["a"]', "must be numbers separated by commas"),
        ("arrays", "small=1,256", "--each small=1,256 (256): must be at most 255"),
        ("loose", "x=1,[2,3", "--each x=[2,3: must be JSON, as in x=[1,2],[3,4]"),
        ("loose", 'x={"a": 1} 2', "must be JSON"),
        ("kinds", 'path="a,b', 'must be JSON, as in path="a, b",c'),
        ("loose", "table=1", "unknown parameter 'table'"),
        ("simulate", "seed=@", "name a file after @"),
        ("simulate", "seed=@none.csv", "there is no such file"),
        ("simulate", "seed=@.", "that is a folder"),
        ("simulate", "seed=@c.csv:x", "there is no column 'x': name one after a colon (name, pop)"),
        ("simulate", "seed=@notes.csv:seed", "the first line begins with #: where it is a comment, remove it"),
        ("simulate", "seed=@seeds.json", "must be one JSON value a line, in a file that ends in .jsonl"),
        ("simulate", "seed=@c.csv:name", "--each seed=@c.csv, line 2: must be a whole number, got A"),
        ("simulate", "seed=@empty.csv", "there are no values in it"),
        ("simulate", "seed=@header.csv", "there are no values in it"),
        ("simulate", "seed=@j.jsonl", "--each seed=@j.jsonl, line 2: must be one JSON value a line"),
        ("simulate", "seed=@j.jsonl:a", "line 1: there is no key 'a'"),
        ("simulate", "seed=@text.txt:a", "a column is of a .csv or .jsonl file"),
        ("simulate", "seed=@c.csv%0123456789abcdef", "no longer kept"),
        ("simulate", "seed=@twice.csv", "2 columns are named 'seed': rename all but one"),
        ("simulate", "seed=@ragged.csv", "--each seed=@ragged.csv, line 3: 3 fields in place of 2"),
        ("simulate", "seed=@short.csv", "--each seed=@short.csv, line 2: 1 fields in place of 2"),
        ("simulate", "seed=@headless.csv", "its first line must name the column, got 7: add a header line"),
        ("simulate", "seed=@~nobody-of-that-name/c.csv", "there is no such home folder"),
        ("simulate", "seed=1,99999999999999999999", "--each seed=1,99999999999999999999: must be numbers of 64 bits"),
        ("loose", "x=-9223372036854775809", "must be numbers of 64 bits"),
    ],
)
def test_unusable_values_are_refused_in_one_line(
    describe: Callable[[str], Description], tmp_path: Path, function: str, text: str, message: str
) -> None:
    (tmp_path / "c.csv").write_text("name,pop\nA,1\n")
    (tmp_path / "days.csv").write_bytes(b"\xef\xbb\xbfday;n\r\n2026-01-01;1\r\n2026-13-01;\r\n")
    (tmp_path / "null.jsonl").write_text("1\nnull\n")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "text.txt").write_text("1")
    (tmp_path / "header.csv").write_text("seed\n")
    (tmp_path / "twice.csv").write_text("seed,seed\n1,2\n")
    (tmp_path / "ragged.csv").write_text("city,seed\nRome,1\nBerlin, DE,2\n")
    (tmp_path / "short.csv").write_text("seed,city\n1\n")
    (tmp_path / "headless.csv").write_text("7\n8\n9\n")
    (tmp_path / "j.jsonl").write_text("1\n[2\n")
    (tmp_path / "notes.csv").write_text("# by hand\nseed\n1\n")
    (tmp_path / "seeds.json").write_text("[1, 2]")
    with pytest.raises(InputError) as error:
        values(describe(function), text)
    assert message in str(error.value) and "\n" not in str(error.value) and str(error.value).startswith("--each")


def test_a_cell_that_says_that_nothing_is_there_is_none_where_texts_are_no_values(
    describe: Callable[[str], Description], tmp_path: Path
) -> None:
    (tmp_path / "c.csv").write_text("at,where\nNA,NA\nn/a,-\n2026-01-01 10:00:00,x\n,\n")
    found = [one["at"] for one in values(describe("kinds"), "at=@c.csv")]
    assert found == [None, None, datetime(2026, 1, 1, 10), None]
    assert [str(one["where"]) for one in values(describe("loose"), "where=@c.csv")][:2] == ["NA", "-"]


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
        ("Thing.go", "Thing.go: must be a function at the file's top level"),
        ("clash", "clash's parameter each: rename it"),
        ("hidden", "hidden's parameter __x: rename it"),
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
    untyped = {field.name: field for field in parameters.fields(describe("untyped").shown_params)}
    assert untyped["several"].default == "(1, 2)" and untyped["raw"].default == "b'x'"


def test_each_parameter_has_a_value_from_somewhere(describe: Callable[[str], Description]) -> None:
    form = describe("loose").params
    with pytest.raises(InputError, match="parameter x: has no value: give -p x=VALUE, or --each x=VALUES"):
        parameters.parse(form, {"each": "note=1,2"})
    with pytest.raises(InputError, match="parameter each=zz=1: unknown parameter 'zz'"):
        parameters.parse(form, {"each": "zz=1"})
    params = parameters.parse(form, {"each": "note=1,2", "x": "[1]"})
    assert parameters.settable(params) == {"each": "note=1,2", "x": [1], "where": None, "flag": False, "sizes": ()}
    seeded = parameters.parse(describe("simulate").params, {"each": "points=1,2"}, seed=7)
    assert isinstance(seeded, EachParams) and fixed_of(seeded)["seed"] == 7  # --seed


def results(description: Description, *texts: str, **given: str) -> list[list[str]]:
    """What the function returns for each task, after its arguments have travelled."""
    each = pinned(specs_of(description.params), texts)  # type: ignore[arg-type]
    params = parameters.parse(description.params, {"each": each, **given})
    stage = next(registry.load(description).job(params, None))
    return [functions.call(task.function, decode(encode(task.arguments))) for task in stage]


def test_a_function_gets_what_its_annotations_and_defaults_name(
    describe: Callable[[str], Description], tmp_path: Path
) -> None:
    kinds = describe("kinds")
    usual = ["datetime.date(2026, 1, 31)", "None", "Decimal('0.5')", "PosixPath('a')", "True", "'x'"]
    usual += ["datetime.timedelta(0)", "None"]
    both = [[f"<Colour.{one}>", "None", *usual] for one in ("BLUE: 'blue'", "RED: 'red'")]
    assert results(kinds, "colour=blue,red") == both
    (one,) = results(kinds, "at=2026-01-01T10:00:00", size="LARGE", after="90", which="0" * 32, path="b c", flag="no")
    assert one[1] == "<Size.LARGE: 2>" and one[3] == "datetime.datetime(2026, 1, 1, 10, 0)"
    assert one[5:] == ["PosixPath('b c')", "False", "'x'", "datetime.timedelta(seconds=90)", f"UUID('{UUID(int=0)}')"]
    (tmp_path / "points.jsonl").write_text('{"x": 1}\n{"x": 2, "on": "2026-01-31"}\n')
    found = results(describe("whole"), "point=@points.jsonl", pair='[2, "c"]', places='["/a"]', ids="[1, 1]")
    assert found == [
        [f"Point(x={x}, on={on})", "Pair(a=2, b='c')", "{1}", "[PosixPath('/a')]", "{1: 2.0}"]
        for x, on in ((1, "None"), (2, "datetime.date(2026, 1, 31)"))
    ]
    (one,) = results(describe("whole"), "places=[]")
    assert one == ["Point(x=7, on=None)", "Pair(a=1, b='b')", "{3}", "[]", "{1: 2.0}"]
    rest = ["[1, [2]]", "{'a': (1,)}", "None", "array(1)"]
    assert results(describe("untyped"), "x=1") == [["b'x'", "(1, 2)", *rest]]
    assert results(describe("untyped"), "x=1", several="[3]", raw="7") == [["7", "[3]", *rest]]
    assert results(describe("placed"), "a=1,2", d="5") == [
        [one, "datetime.date(2026, 1, 1)", "3", "5", "()", "PosixPath('e')", "{}"] for one in ("1", "2")
    ]
    assert results(describe("placed"), "c=1", a="x")[0][:3] == ["'x'", "datetime.date(2026, 1, 1)", "1"]


def test_the_function_gets_the_numbers_and_arrays_of_numpy_that_its_annotations_name(
    describe: Callable[[str], Description],
) -> None:
    given = {"typed": "[1, 2.5]", "some": "1.5", "one": "0.1", "small": "1", "listed": "[1]", "yes": "yes"}
    given |= {"raw": "a", "root": "1+2j", "part": "1/3"}
    assert results(describe("arrays"), "x=[1,2]", **given) == [
        [
            "<i8",
            [2.0, 5.0],
            *("1.5", "np.float32(0.1)", "np.uint8(1)", "[np.int64(1)]", "np.True_"),
            *("b'a'", "(1+2j)", "Fraction(1, 3)", "np.float64(0.5)"),
        ]
    ]
    for name, wrong in (("typed", "[1,[2]]"), ("part", "1/0")):
        with pytest.raises(TypeError, match=f"its argument {name} must be as annotated"):
            results(describe("arrays"), "x=[1]", **given | {name: wrong})


def test_lists_may_be_written_where_each_value_is_one(describe: Callable[[str], Description]) -> None:
    found = values(describe("loose"), "sizes=[1,2],[3], []")
    assert [list(one["sizes"]) for one in found] == [[1, 2], [3], []]


def test_a_parameter_may_have_any_name(describe: Callable[[str], Description]) -> None:
    assert results(describe("named"), "specs=1,2", shown="3") == [[one, 0, 3, 0, 0, 1, True] for one in (1, 2)]


def test_an_argument_that_is_not_as_annotated_is_named(describe: Callable[[str], Description]) -> None:
    with pytest.raises(TypeError, match=r"its argument point must be as annotated: Expected `int`, got `str`"):
        results(describe("whole"), 'point={"x":"many"}')


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
