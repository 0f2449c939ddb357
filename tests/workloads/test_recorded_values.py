"""Values of recorded calls: a function gets what it got in the script; what cannot travel is named with a way out."""

from __future__ import annotations

import collections
import copyreg
import dataclasses
import datetime
import decimal
import enum
import functools
import importlib
import math
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import managers, shared_memory
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from lbench.workloads.encoding import decode, encode
from lbench.workloads.recorded import tasks, values
from lbench.workloads.recorded.values import CannotTravel, Packer, unpack


@dataclasses.dataclass
class Point:
    x: int
    y: tuple[int, ...] = ()


class Pair(NamedTuple):
    a: int
    b: str


class Colour(enum.Enum):
    RED = 1


class Plain:
    def __init__(self, x: int) -> None:
        self.x = x

    def method(self) -> int:
        return self.x


class Sized(Plain):
    def __getstate__(self) -> dict[str, Any]:
        return {"x": self.x}


class Node:
    def __init__(self) -> None:
        self.parent: Node | None = None
        self.children: list[Node] = []

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__


@pytest.fixture(autouse=True)
def _here_is_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """This module's classes are a user's own."""
    known = values.is_library
    monkeypatch.setattr(values, "is_library", lambda module: module != __name__ and known(module))


def resolve(name: str) -> Any:
    module, _, qualified = name.partition(":")
    return functools.reduce(getattr, qualified.split("."), importlib.import_module(module))


def through(value: Any) -> Any:
    return unpack(decode(encode(Packer().pack(value))), resolve)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        2**80,
        -(2**63),
        1.5,
        "ü\x00",
        b"\xff",
        (1, (2, [3])),
        {"a": {"~": 1}, "b": (1,)},
        {1: "a", (2, 3): None},
        {3, 1, 2},
        frozenset({"x"}),
        1 + 2j,
        slice(1, None, 2),
        range(3),
        Path("/tmp/x"),
        decimal.Decimal("0.10"),
        datetime.datetime(2026, 11, 28, tzinfo=datetime.UTC),
        collections.OrderedDict(b=1, a=2),
        collections.Counter("aab"),
        collections.deque([1, 2], maxlen=3),
        Point(1, (2, 3)),
        Pair(1, "b"),
        Colour.RED,
        ValueError("no", 3),
        math.sqrt,
        len,
        Point,
        np.float64(0.1),
        np.dtype("<f4"),
        np.int16,
        type(None),
        type(...),
    ],
    ids=repr,
)
def test_a_value_arrives_as_it_was(value: Any) -> None:
    found = through(value)
    assert type(found) is type(value) and (found == value or str(found) == str(value))


def test_arrays_arrive_writable_with_their_order_and_dtype() -> None:
    for array in (
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.array(["a", None], dtype=object),
        np.zeros(2, dtype=[("a", "<i4"), ("b", "<f8")]),
        np.array(3),
        np.ma.masked_array([1, 2], mask=[True, False]),
    ):
        found = through(array)
        assert found.dtype == array.dtype and found.shape == array.shape and found.tolist() == array.tolist()
        assert found.flags.f_contiguous == array.flags.f_contiguous and found.flags.writeable


def test_partials_methods_and_random_states_arrive() -> None:
    assert through(functools.partial(pow, 2))(5) == 32
    assert through("a,b".split)(",") == ["a", "b"]
    assert through(Sized(3).method)() == 3
    state = np.random.RandomState(3)
    assert through(state).rand() == state.rand()
    generator = np.random.default_rng(3)
    assert through(generator).random() == generator.random()


def test_objects_that_refer_to_each_other_arrive_so() -> None:
    root, child = Node(), Node()
    child.parent = root
    root.children = [child, child]
    found = through([root, child])
    assert found[0].children[0].parent is found[0] and found[0].children[1] is found[1]


def generate() -> Any:
    yield 1


def test_what_cannot_travel_is_named_with_its_place_and_a_way_out() -> None:
    def inner() -> None: ...

    itself: list[Any] = []
    itself.append(itself)
    here = Path(__file__).name
    shared = shared_memory.SharedMemory.__new__(shared_memory.SharedMemory)
    for value, expected in {
        "lambda": (lambda: 1, f"a lambda ({here}, line"),
        "closure": (inner, "which is defined inside test_what_cannot"),
        "generator": (generate(), "pass a list, as in list(...)"),
        "class": (Plain(1), f"an object of class Plain ({here}, line"),
        "method": (Plain(1).method, "make the class a dataclass"),
        "lock": (threading.Lock(), "make it inside the function"),
        "module": (math, "the module math: import it inside the function"),
        "itself": (itself, "that contains itself"),
        "text": ("\ud800", "not valid Unicode"),
        "file": (sys.stderr.buffer, "make it inside the function"),
        "shared memory": (shared, "a SharedMemory, which ends with the script"),
        "a manager's": (managers.BaseProxy.__new__(managers.DictProxy), "a DictProxy, which ends with the script"),
    }.values():
        with pytest.raises(CannotTravel) as error:
            Packer().pack({"deep": [value]})
        assert expected in str(error.value) and "\n" not in str(error.value)


def test_names_of_what_is_needed_are_collected_and_no_other_is_resolved() -> None:
    packer = Packer(main="script")
    packer.pack([math.sqrt, Point(1), Colour.RED])
    by_getattr = {"builtins:getattr"} & packer.names  # of an enum's member: so in Python 3.11.0 to 3.11.3
    assert packer.names - by_getattr == {"math:sqrt", "copyreg:__newobj__", f"{__name__}:Point", f"{__name__}:Colour"}

    def refuse(name: str) -> Any:
        raise LookupError(name)

    with pytest.raises(LookupError, match="os:system"):
        unpack({"~": "object", "f": {"~": "name", "v": "os:system"}, "a": ["true"]}, refuse)


def test_an_initializer_runs_in_each_thread_and_again_after_anothers(monkeypatch: pytest.MonkeyPatch) -> None:
    own = threading.local()
    ran: list[str] = []

    def begin(name: str) -> None:
        own.name = name
        ran.append(name)

    monkeypatch.setattr(tasks, "_set_up", None)
    monkeypatch.setattr(tasks, "_thread", threading.local())
    monkeypatch.setattr(tasks, "find_name", {"m:begin": begin, "m:name": lambda: own.name}.__getitem__)

    def call(name: str) -> str:
        begin_it, its_name = ({values._MARK: "name", "v": one} for one in ("m:begin", "m:name"))
        return str(tasks.call([its_name, [], {}], [begin_it, [name]]))

    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        found = [
            thread.submit(call, name).result() for thread, name in ((one, "a"), (one, "a"), (other, "a"), (one, "b"))
        ]
        assert (found, ran) == (["a", "a", "a", "b"], ["a", "a", "b"])
        assert other.submit(call, "a").result() == "a" and ran[-1] == "a"


def test_an_exception_is_packed_by_its_own_way_whatever_a_process_has_registered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    packed = Packer().pack(ValueError("x"))
    monkeypatch.setitem(copyreg.dispatch_table, ValueError, lambda error: (str, ("other",)))  # as Dask's tblib does
    assert Packer().pack(ValueError("x")) == packed
