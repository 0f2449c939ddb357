"""A sweep: one plan for each point of one or two axes, with an id by which a stopped sweep is found again."""

from __future__ import annotations

import hashlib
import itertools
import math
import re
import secrets
import socket
from collections.abc import Sequence
from typing import Any

import msgspec

from lbench.engine.backends import catalog
from lbench.engine.machine.code_digest import code_digest
from lbench.engine.model import Sweep, point_text
from lbench.engine.plan.plan import BackendChoice, Plan
from lbench.engine.plan.validate import validate
from lbench.errors import InputError, UnknownNameError
from lbench.workloads import parameters, registry
from lbench.workloads.own.describe import RecordedParams
from lbench.workloads.own.each import EachParams

__all__ = ["MOST_POINTS", "SETTING_AXES", "Axis", "SweepPlan", "definition", "own_setting", "parse_axis", "sweep_plan"]

MOST_POINTS = 200
_LARGEST = 10**15  # of a value
_SHOWN = 24  # characters of one that is larger
SETTING_AXES = {  # the setting of a backend that an axis stands for; None: the plan's own
    "workers": "concurrency",
    "memory": "memory",
    "tasks": None,
}
_RANGE = re.compile(r"(?P<first>[^.x+]+(?:\.\d+)?)\.\.(?P<last>[^x+]+?)(?:x(?P<factor>.+))?\Z")

Point = dict[str, int | float]


class Axis(msgspec.Struct, frozen=True):
    """What is varied, and its values in ascending order."""

    name: str
    values: tuple[int | float, ...]
    is_range: bool  # given by its ends: points between its values may be added


class SweepPlan(msgspec.Struct, frozen=True):
    """The plan that all points share, and the axes."""

    base: Plan
    axes: tuple[Axis, ...]
    definition: str  # a digest of all that a point's runs depend on; the id of a sweep begins with it

    @property
    def points(self) -> list[Point]:
        """All points, those of the second axis' first value first."""
        names = [axis.name for axis in self.axes]
        grid = itertools.product(*(axis.values for axis in reversed(self.axes)))
        return [dict(zip(names, reversed(values), strict=True)) for values in grid]

    def new_id(self) -> str:
        """An id for a sweep that begins."""
        return f"{self.definition}-{secrets.token_hex(2)}"

    def at(self, point: Point, identity: str) -> Plan:
        plan = msgspec.structs.replace(self.base, sweep=Sweep(identity, dict(point)))
        described = _parameter_names(self.base)
        for name, value in point.items():
            if name in described:
                plan = msgspec.structs.replace(plan, params=plan.params | {name: str(value)})
            elif name == "tasks":
                plan = msgspec.structs.replace(plan, tasks=int(value))
            else:
                setting = SETTING_AXES[name]
                assert setting is not None
                plan = msgspec.structs.replace(plan, backends=[_set(one, setting, value) for one in plan.backends])
        return plan


def parse_axis(text: str, least: int = 2) -> Axis:
    """Parse `NAME=V1,V2,...`, `NAME=A..B` (whole numbers) or `NAME=A..BxF` (times F each).

    Raises:
        InputError: it has another form, or fewer than `least` values.
    """
    name, equals, body = text.partition("=")
    name, body = name.strip(), body.strip()
    if not equals or not name:
        raise InputError(f"--over must be NAME=V1,V2,... or NAME=A..BxF, got {text}")
    if not body:
        raise InputError(f"--over {name}: the sweep is empty: give values, as in {name}=1,2,4 or {name}=1..128x2")
    is_range = ".." in body
    values = _range(name, body) if is_range else [_number(name, part) for part in body.split(",")]
    unique = sorted(set(values))
    if len(unique) < least:
        raise InputError(f"--over {name}: a sweep must have at least two values, got {body}")
    return Axis(name, tuple(unique), is_range)


def _range(name: str, body: str) -> list[int | float]:
    found = _RANGE.match(body)
    if found is None:
        raise InputError(f"--over {name}: a range must be A..B or A..BxF, as in {name}=1..128x2, got {body}")
    first, last = _number(name, found["first"]), _number(name, found["last"])
    if first > last:
        raise InputError(f"--over {name}: a range must begin with its smaller end, got {body}")
    if found["factor"] is None:
        if first != int(first) or last - first >= MOST_POINTS:
            raise InputError(
                f"--over {name}: A..B must be at most {MOST_POINTS} whole numbers, got {body}: use A..BxF or a list"
            )
        return list(range(int(first), int(last) + 1))
    factor = _number(name, found["factor"])
    if factor <= 1 or first <= 0:
        raise InputError(f"--over {name}: A..BxF must have a factor above 1 and begin above 0, got {body}")
    whole = isinstance(first, int)
    values: list[int | float] = []
    value = float(first)
    while value <= last * (1 + 1e-9) and len(values) <= 10 * MOST_POINTS:
        values.append(round(value) if whole else value)
        value *= factor
    if len(values) > MOST_POINTS:
        raise InputError(
            f"--over {name}: a range must have at most {MOST_POINTS} values, got {body}: use a larger factor"
        )
    return values


def _number(name: str, text: str) -> int | float:
    text = text.strip()
    number: int | float
    try:
        number = int(text)
    except ValueError:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise InputError(f"--over {name}: the values must be numbers, got {text or 'nothing'}") from None
        if "e" in text.lower() and "." not in text and number == int(number):
            number = int(number)  # 1e3
    if abs(number) > _LARGEST:
        raise InputError(f"--over {name}: the values must be at most {_LARGEST:g}, got {text[:_SHOWN]}")
    return number


def sweep_plan(base: Plan, texts: Sequence[str]) -> SweepPlan:
    """The sweep of a plan over one or two axes; every point is validated.

    Raises:
        InputError: no axis, too many, an unknown one, a value out of its range, or too many points.
    """
    if not registry.has_answer(base.workload):
        raise InputError(f"{base.workload} has no answer that could be compared along an axis: it cannot be swept")
    if not texts:
        raise InputError("name what to vary: --over NAME=V1,V2,... or NAME=A..BxF, as in --over n_trees=1..128x2")
    if len(texts) > 2:
        raise InputError(f"--over must be given once or twice, got {len(texts)} axes")
    for text in texts:
        _check_kind(base, text.partition("=")[0].strip())
    axes = tuple(parse_axis(text) for text in texts)
    if len({axis.name for axis in axes}) < len(axes):
        raise InputError(f"--over {axes[0].name} is given twice: put its values into one")
    for axis in axes:
        _check_axis(base, axis)
    count = math.prod(len(axis.values) for axis in axes)
    if count > MOST_POINTS:
        raise InputError(f"--over must have at most {MOST_POINTS} points, got {count:,}")
    plan = SweepPlan(base, axes, definition(base, axes))
    for point in plan.points:
        if (error := _error(plan, point)) is not None:
            if all(str(_error(plan, other)) == str(error) for other in plan.points):
                raise error  # it has nothing to do with the point
            raise InputError(f"--over, at {point_text(point)}: {error}")
    return plan


def _error(plan: SweepPlan, point: Point) -> InputError | None:
    """Why a point cannot be measured."""
    try:
        validate(plan.at(point, ""))
    except InputError as error:
        return error
    return None


def _check_kind(base: Plan, name: str) -> None:
    """Refuse a parameter that has no numbers, before its values are parsed as numbers."""
    known = _parameter_names(base)
    if name in known and known[name] not in ("int", "float"):
        raise InputError(
            f"--over {name}: only a parameter that is a number can be swept: measure each value with -p {name}=VALUE, "
            "and see `lbench compare`"
        )


def _parameter_names(base: Plan) -> dict[str, str]:
    described = registry.describe(base.workload)
    return {field.name: field.type for field in parameters.fields(described.params)}


def _check_axis(base: Plan, axis: Axis) -> None:
    """Refuse an axis that nothing in the plan has."""
    known = _parameter_names(base)
    broken = next((value for value in axis.values if not isinstance(value, int)), None)
    whole = f"--over {axis.name}: the values must be whole numbers, got {broken}"
    if axis.name in known:
        if axis.name in base.params:
            raise InputError(f"--over {axis.name} and -p {axis.name} cannot be used together: leave -p out")
        if known[axis.name] == "int" and broken is not None:
            raise InputError(whole)
        return
    if axis.name not in SETTING_AXES:
        numbers = [name for name, kind in known.items() if kind in ("int", "float")]
        raise UnknownNameError("axis", axis.name, [*numbers, *SETTING_AXES])
    if broken is not None:
        raise InputError(whole)
    setting = SETTING_AXES[axis.name]
    if setting is None:
        if base.tasks is not None:
            raise InputError("--over tasks and --tasks cannot be used together: leave --tasks out")
        described = registry.describe(base.workload)
        own = "tasks" in described.shown_params.__struct_fields__
        if issubclass(described.params, RecordedParams) or (issubclass(described.params, EachParams) and not own):
            raise InputError(
                f"--over tasks: the tasks of {described.name} are given: choose another axis, as in workers=1,2"
            )
    elif not any(_has(choice, setting) for choice in base.backends):
        labels = ", ".join(choice.label for choice in base.backends)
        if given := [choice.label for choice in base.backends if own_setting(choice, setting) is not None]:
            raise InputError(f"--over {axis.name}: {', '.join(given)} has a {setting} of its own: leave it out")
        raise InputError(f"--over {axis.name}: no backend has it ({labels}): choose one with -b, see `lbench backends`")


def _has(choice: BackendChoice, setting: str) -> bool:
    """Whether the backend has the setting, free to be varied."""
    names = {field.name for field in parameters.fields(catalog.settings_type(choice.name))}
    return setting in names and own_setting(choice, setting) is None


def own_setting(choice: BackendChoice, setting: str) -> Any:
    """The value of a setting that was given to a backend; None: it has the default."""
    fields = msgspec.structs.fields(catalog.settings_type(choice.name))
    default = next((field.default for field in fields if field.name == setting), None)
    value = choice.settings.get(setting)
    return None if value == default else value


def _set(choice: BackendChoice, setting: str, value: int | float) -> BackendChoice:
    if not _has(choice, setting):
        return choice
    return msgspec.structs.replace(choice, settings=choice.settings | {setting: int(value)})


def definition(base: Plan, what: Any) -> str:
    """Eight hexadecimal digits of the plan and what is varied in it, with which code, on which machine."""
    own = msgspec.structs.replace(base, max_usd=None)
    whole = [
        msgspec.to_builtins(own),
        msgspec.to_builtins(what),
        code_digest(registry.describe(base.workload).code),
        socket.gethostname(),
    ]
    return hashlib.sha256(msgspec.json.encode(whole, order="deterministic")).hexdigest()[:8]
