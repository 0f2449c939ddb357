"""Python values as plain values of the encoding and back, so that a function gets what it got in the recorded script.

A tuple, a set, a dict with other keys than texts, a whole number of more than 64 bits and a numpy scalar have marks of
their own: `{"~": kind, "v": ...}`. Any other object is what its class says of itself by Python's copy protocol
(`__reduce_ex__`): a callable by its name, its arguments, a state. Nothing is pickled, and a name gives an object only where
the recording lists it: what arrives from elsewhere can call nothing else.
"""

from __future__ import annotations

import copyreg
import inspect
import pickle
import sys
import sysconfig
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from lbench.errors import EncodingError

__all__ = [
    "LARGE_BYTES",
    "CannotTravel",
    "Packer",
    "aside",
    "is_library",
    "is_library_file",
    "place_of",
    "unpack",
    "with_arrays",
]

_MARK = "~"
LARGE_BYTES = 1 << 16  # of an array that a recording has once, however many calls get it
_DEPTH = 200
_PLAIN_DTYPES = frozenset("biufcSUmM")
_ONLY_HERE = {  # classes whose objects name what ends with the script
    ("multiprocessing.shared_memory", "SharedMemory"),
    ("multiprocessing.shared_memory", "ShareableList"),
    ("multiprocessing.managers", "BaseManager"),
    ("multiprocessing.managers", "BaseProxy"),
}
_GENERATORS = (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)
_OWN_WAYS = ("__reduce__", "__reduce_ex__", "__getstate__", "__getnewargs__", "__getnewargs_ex__")


class CannotTravel(EncodingError):
    """A value that no other process could be given: what it is, where it is defined, and the way out."""


def unpack(value: Any, resolve: Callable[[str], Any]) -> Any:
    """The value that was packed. `resolve` gives the object of a name, or raises."""
    return _unpack(value, resolve, {})


def _unpack(value: Any, resolve: Callable[[str], Any], made: dict[int, Any]) -> Any:
    """`made`: the objects that others refer to, by their numbers."""
    if isinstance(value, list):
        return [_unpack(one, resolve, made) for one in value]
    if not isinstance(value, dict):
        return value.copy() if _array_kind(value) == "array" else value  # decoded arrays are read-only
    kind = value.get(_MARK)
    if kind is None:
        return {name: _unpack(one, resolve, made) for name, one in value.items()}
    if kind == "object":
        return _rebuilt(value, resolve, made)
    inside = value["v"]
    match kind:
        case "same":
            return made[inside]
        case "tuple":
            return tuple(_unpack(one, resolve, made) for one in inside)
        case "dict":
            return {_unpack(key, resolve, made): _unpack(one, resolve, made) for key, one in inside}
        case "set":
            return {_unpack(one, resolve, made) for one in inside}
        case "frozenset":
            return frozenset(_unpack(one, resolve, made) for one in inside)
        case "int":
            return int(inside)
        case "scalar":
            return inside[()]
        case "fortran":
            return inside.copy().T
        case "name":
            return resolve(inside)
    raise EncodingError(f"the bytes are not a recorded value: unknown mark {kind!r}")


def with_arrays(value: Any, find: Callable[[str], Any]) -> Any:
    """A packed value with the arrays that were put aside (`aside`)."""
    if isinstance(value, list):
        return [with_arrays(one, find) for one in value]
    if not isinstance(value, dict):
        return value
    if value.get(_MARK) == "aside":
        return find(value["v"])
    return {name: with_arrays(one, find) for name, one in value.items()}


def aside(name: str) -> dict[str, Any]:
    """What stands for an array that was put aside."""
    return _marked("aside", name)


def _rebuilt(value: dict[str, Any], resolve: Callable[[str], Any], objects: dict[int, Any]) -> Any:
    made = _unpack(value["f"], resolve, objects)(*(_unpack(one, resolve, objects) for one in value["a"]))
    if "i" in value:
        objects[value["i"]] = made
    if "s" in value:
        state = _unpack(value["s"], resolve, objects)
        if hasattr(made, "__setstate__"):
            made.__setstate__(state)
        else:
            slots = None
            if isinstance(state, tuple) and len(state) == 2:
                state, slots = state
            if state:
                made.__dict__.update(state)
            for name, one in (slots or {}).items():
                object.__setattr__(made, name, one)
    for one in value.get("l", ()):
        made.append(_unpack(one, resolve, objects))
    for key, one in value.get("d", ()):
        made[_unpack(key, resolve, objects)] = _unpack(one, resolve, objects)
    return made


class Packer:
    """Packs values, and collects the names that they need.

    `main`: the module's name that stands for `__main__`; `put_aside`: keeps a large array, and gives what stands for it.
    """

    def __init__(self, main: str | None = None, put_aside: Callable[[Any], Any] | None = None) -> None:
        self.names: set[str] = set()
        self._main = main
        self._put_aside = put_aside
        self._inside: list[int] = []
        self._objects: dict[int, tuple[Any, dict[str, Any]]] = {}  # by id; kept, so that no other gets the id
        self._shared = 0
        self._all = True

    def pack(self, value: Any, *, shared: bool = True) -> Any:
        """The plain value. `shared`: objects that stand in it several times arrive as one; else only those that contain
        themselves do, so that values that are equal give the same.

        Raises:
            CannotTravel: it, or something inside it, cannot be sent.
        """
        self._inside, self._objects, self._shared, self._all = [], {}, 0, shared
        try:
            return self._pack(value)
        except RecursionError:
            raise CannotTravel(f"{_a(value)} that is nested too deep: pass plain values") from None
        finally:
            self._objects = {}

    def _pack(self, value: Any) -> Any:
        kind = type(value)
        if value is None or kind in (bool, float, bytes):
            return value
        if kind is str:
            try:
                value.encode()
            except UnicodeEncodeError:
                raise CannotTravel("a text that is not valid Unicode: pass bytes, as in os.fsencode(...)") from None
            return value
        if kind is int:
            return value if -(2**63) <= value < 2**64 else _marked("int", str(value))
        match _array_kind(value):
            case "array":
                if value.ndim > 1 and value.flags.f_contiguous and not value.flags.c_contiguous:
                    return _marked("fortran", self._array(value.T))
                return self._array(value)
            case "scalar":
                return _marked("scalar", sys.modules["numpy"].asarray(value))
        if id(value) in self._objects:
            packed = self._objects[id(value)][1]
            if "i" not in packed:
                self._shared += 1
                packed["i"] = self._shared
            return _marked("same", packed["i"])
        if id(value) in self._inside or len(self._inside) > _DEPTH:
            raise CannotTravel(f"{_a(value)} that contains itself, or is nested too deep: pass plain values")
        self._inside.append(id(value))
        try:
            return self._inner(value, kind)
        finally:
            self._inside.pop()

    def _array(self, value: Any) -> Any:
        return value if self._put_aside is None or value.nbytes < LARGE_BYTES else self._put_aside(value)

    def _inner(self, value: Any, kind: type) -> Any:
        if kind is list:
            return [self._pack(one) for one in value]
        if kind is tuple:
            return _marked("tuple", [self._pack(one) for one in value])
        if kind is dict:
            if all(type(key) is str for key in value) and _MARK not in value:
                return {self._pack(key): self._pack(one) for key, one in value.items()}
            return _marked("dict", [[self._pack(key), self._pack(one)] for key, one in value.items()])
        if kind in (set, frozenset):
            return _marked(kind.__name__, sorted((self._pack(one) for one in value), key=_order))
        for one in (None, ..., NotImplemented):
            if value is type(one):  # no module has its name
                return {_MARK: "object", "f": self._pack(type), "a": [self._pack(one)]}
        if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType) and not _is_bound(value):
            return _marked("name", self._named(value, value.__qualname__))
        return self._object(value, kind)

    def _named(self, value: Any, qualified: str, module: str | None = None) -> str:
        """The "module:name" under which other processes find a function or a class."""
        module = module or getattr(value, "__module__", None) or pickle.whichmodule(value, qualified)  # type: ignore[attr-defined]
        if "<locals>" in qualified or "<lambda>" in qualified:
            raise CannotTravel(_local(value, qualified))
        found: Any = sys.modules.get(module)
        for part in qualified.split("."):
            found = getattr(found, part, None)
        if found is not value:
            raise CannotTravel(
                f"{_what(value)} {qualified}{place_of(value)} is not what the name {qualified} in module {module} gives: "
                f"{'define it under that name' if isinstance(value, type) else 'call it by the name of a function'} "
                "at its module's top level"
            )
        if module == "__main__":
            if self._main is None:
                raise CannotTravel(
                    f"{_what(value)} {qualified}, defined in the notebook or prompt itself: put it into a .py file and "
                    "import it"
                )
            module = self._main
        name = f"{module}:{qualified}"
        self.names.add(name)
        return name

    def _object(self, value: Any, kind: type) -> Any:
        if isinstance(value, _GENERATORS):
            raise CannotTravel(
                f"{_a(value)}{place_of(value)}: it can be read once, and only here: pass a list, as in list(...)"
            )
        if isinstance(value, types.ModuleType):
            raise CannotTravel(f"the module {value.__name__}: import it inside the function")
        if (name := _found_as(value)) is not None:
            return _marked("name", self._named(value, name, value.__module__))
        if any((one.__module__, one.__qualname__) in _ONLY_HERE for one in kind.__mro__):
            raise CannotTravel(
                f"{_a(value)}, which ends with the script: pass what it holds as numbers, texts, arrays, lists and dicts"
            )
        if not is_library(kind.__module__) and not _says_how(kind):
            raise CannotTravel(
                f"an object of class {kind.__qualname__}{place_of(kind)}: make the class a dataclass, or pass what it "
                "holds as numbers, texts, arrays, lists and dicts"
            )
        try:
            # Not of an exception: Dask registers a way of its own for those, in some processes and not in others.
            reducer = None if isinstance(value, BaseException) else copyreg.dispatch_table.get(kind)
            reduced = value.__reduce_ex__(4) if reducer is None else reducer(value)
        except Exception as error:  # whatever a class raises here
            if isinstance(error, CannotTravel):
                raise
            raise CannotTravel(
                f"an object of class {kind.__qualname__}{place_of(kind)} ({error}): make it inside the function, or pass "
                "what it holds as numbers, texts, arrays, lists and dicts"
            ) from None
        if isinstance(reduced, str):
            return _marked("name", self._named(value, reduced))
        made, arguments, *rest = reduced
        state, items, pairs, setter = [*rest, None, None, None, None][:4]
        if setter is not None:
            raise CannotTravel(
                f"an object of class {kind.__qualname__}{place_of(kind)}: pass what it holds as plain values"
            )
        packed: dict[str, Any] = {_MARK: "object", "f": self._pack(made), "a": [self._pack(one) for one in arguments]}
        self._objects[id(value)] = value, packed
        if state is not None:
            packed["s"] = self._pack(state)
        if items is not None:
            packed["l"] = [self._pack(one) for one in items]
        if pairs is not None:
            packed["d"] = [[self._pack(key), self._pack(one)] for key, one in pairs]
        if not self._all:
            del self._objects[id(value)]
        return packed


def _array_kind(value: Any) -> str | None:
    """Whether it is an array or a scalar of numpy's that the encoding takes. Asks numpy only where it has been imported."""
    np = sys.modules.get("numpy")
    if np is None or not isinstance(value, (np.ndarray, np.generic)):
        return None
    dtype = value.dtype
    long = dtype.itemsize > {"f": 8, "c": 16}.get(dtype.kind, dtype.itemsize)
    if dtype.kind not in _PLAIN_DTYPES or long:
        return None
    if type(value) is np.ndarray:
        return "array"
    return "scalar" if isinstance(value, np.generic) and dtype.kind in "biufc" else None


def _order(value: Any) -> bytes:
    """Sorts the values of a set the same way in every process."""
    if "numpy" in sys.modules:
        from lbench.workloads.encoding import encode

        return encode(value)
    return msgspec.msgpack.encode(value)


def _marked(kind: str, value: Any) -> dict[str, Any]:
    return {_MARK: kind, "v": value}


def _found_as(value: Any) -> str | None:
    """The name of an object that stands for a function at a module's top level: what a decorator has made of it."""
    name = getattr(value, "__qualname__", None) if callable(value) else None
    module = sys.modules.get(getattr(value, "__module__", None) or "")
    return name if isinstance(name, str) and getattr(module, name, None) is value else None


def _is_bound(value: Any) -> bool:
    owner = getattr(value, "__self__", None)
    return not isinstance(value, type) and owner is not None and not isinstance(owner, types.ModuleType)


def _says_how(kind: type) -> bool:
    """Whether a class of the user's own says what its objects are made of: a dataclass, a named tuple, an enum, a Struct."""
    if hasattr(kind, "__dataclass_fields__") or hasattr(kind, "__struct_fields__"):
        return True
    if issubclass(kind, tuple | list | dict | str | bytes | int | float | BaseException | types.SimpleNamespace):
        return True
    return any(getattr(kind, name, None) is not getattr(object, name, None) for name in _OWN_WAYS)


def _local(value: Any, qualified: str) -> str:
    if qualified.endswith("<lambda>"):
        return f"a lambda{place_of(value)}: write it as a function with def at its module's top level"
    outer = qualified.partition(".<locals>")[0]
    return (
        f"{_what(value)} {value.__name__}{place_of(value)}, which is defined inside {outer}: define it at its module's "
        "top level, and pass what it uses as arguments"
    )


def _what(value: Any) -> str:
    return "the class" if isinstance(value, type) else "the function"


def _a(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def place_of(value: Any) -> str:
    """Where a function, a class or a generator is defined, as " (mine.py, line 12)"; "" where that is not known."""
    code = getattr(value, "__code__", None) or getattr(value, "gi_code", None) or getattr(value, "cr_code", None)
    if code is not None:
        return f" ({Path(code.co_filename).name}, line {code.co_firstlineno})"
    if isinstance(value, type) and not is_library(value.__module__):
        try:
            return f" ({Path(inspect.getsourcefile(value) or '').name}, line {inspect.getsourcelines(value)[1]})"
        except (OSError, TypeError):
            return ""
    return ""


_LIBRARIES = tuple(
    {str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)


def is_library(module: str) -> bool:
    """Whether a module is Python's or an installed package's, and not a file of the user's own."""
    if module == "__main__":
        return False
    if module.partition(".")[0] == "lbench":
        return True
    found = sys.modules.get(module)
    file = getattr(found, "__file__", None)
    if file is None:
        return (
            module.partition(".")[0] in sys.stdlib_module_names or found is None or not getattr(found, "__path__", None)
        )
    return is_library_file(file)


def is_library_file(file: str) -> bool:
    """Likewise, of a module's file."""
    path = str(Path(file).resolve())
    return path.startswith(_LIBRARIES) or "/site-packages/" in path or "/dist-packages/" in path
