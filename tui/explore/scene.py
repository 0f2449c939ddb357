"""The explored scene: plain values, changed by keys and turned into a plan."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from lbench.config.folders import typed_path
from lbench.engine.journal.events import RunPlanned
from lbench.engine.plan.plan import BackendChoice, Plan
from lbench.errors import InputError
from lbench.tui.run_form import plain_number, range_text, text_of
from lbench.workloads import parameters, registry

__all__ = ["SCENES", "Scene", "Slider", "scene_of", "shown", "slider_share"]

_HOME = {"x": -0.65, "y": 0.0, "span": 2.4}
_LEAST_SPAN = 1e-12  # doubles have no more points between
_MOST_SPAN = 8.0
_PAN = 1 / 8  # of the view's height
_ZOOM = 1.5
_TIMEOUT_S = 120.0

_FIELDS = {"iterations": "max_iterations"}  # of the workload, by our names
_HINTS = {
    "x": "the real part of the picture's middle",
    "y": "the imaginary part of the picture's middle",
    "span": "1 shows the whole set; 1e6 is a million times closer",
    "detail": "points computed for each half of a cell, in each direction",
    "tasks": "of a stage; nothing: as many as suit the backend",
}
_FURTHEST = 2.2  # of the picture's middle, in each direction
_RANGES = {  # of what is no parameter of the workload, as it is typed
    "x": (-_FURTHEST, _FURTHEST),
    "y": (-_FURTHEST, _FURTHEST),
    "span": (_HOME["span"] / _MOST_SPAN, _HOME["span"] / _LEAST_SPAN),
    "detail": (1, math.inf),
    "tasks": (1, math.inf),
}
_WHOLE = ("detail", "tasks")
_COUNTS = (1, 2, 4, 8, 16, 32, 64, 100, 200, 500, 1000)


class Slider(msgspec.Struct, frozen=True):
    """A value that is changed in steps; without `stops`, a coordinate that pans."""

    name: str
    label: str
    stops: tuple[Any, ...] = ()
    keys: str = ""  # that change it wherever the focus is
    text: bool = False  # typed, never stepped


_TASKS = Slider("tasks", "tasks", (None, *_COUNTS))
_SLIDERS: dict[str, tuple[Slider, ...]] = {
    "mandelbrot": (
        Slider("x", "centre x"),
        Slider("y", "centre y"),
        Slider("span", "zoom", keys="+ -"),
        Slider("iterations", "iterations", (20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000), "[ ]"),
        Slider("detail", "detail", (1, 2, 3, 4, 5, 6)),
        _TASKS,
    ),
    "kmeans": (
        Slider("k", "k", tuple(range(1, 41)), "[ ]"),
        Slider("n_samples", "rows", (500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000)),
        Slider("n_features", "features", tuple(range(10, 51, 5))),
        Slider("spread", "spread", (0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)),
        _TASKS,
        Slider("data", "data set", text=True),
    ),
    "random_forest": (
        Slider("n_trees", "trees", (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128), "[ ]"),
        Slider("max_depth", "depth", (*range(1, 21), 25, 30, None)),
        Slider("max_features", "features", (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)),
        Slider("rows", "rows", (500, 1000, 2000, 5000, 10_000, 20_000, 40_000)),
        _TASKS,
        Slider("data", "data set", text=True),
    ),
}
_FIRST: dict[str, dict[str, Any]] = {
    "mandelbrot": {**_HOME, "iterations": 500, "detail": 3, "tasks": None},
    "kmeans": {"k": 6, "n_samples": 20_000, "n_features": 10, "spread": 3.0, "tasks": None, "data": ""},
    "random_forest": {
        "n_trees": 16, "max_depth": 8, "max_features": 12, "rows": 5000, "tasks": None, "data": "",
    },
}  # fmt: skip


class Scene(msgspec.Struct, frozen=True):
    """A workload and the values of its sliders."""

    workload: str
    values: dict[str, Any]

    @property
    def sliders(self) -> tuple[Slider, ...]:
        return _SLIDERS[self.workload]

    @property
    def plane(self) -> bool:
        """Whether it is a plane that is panned and zoomed."""
        return self.workload == "mandelbrot"

    def slider(self, name: str) -> Slider:
        return next(slider for slider in self.sliders if slider.name == name)

    def with_value(self, name: str, value: Any) -> Scene:
        return Scene(self.workload, {**self.values, name: value})

    def stepped(self, name: str, by: int) -> Scene:
        """Move a value by steps; it stops at the ends."""
        if name in ("x", "y"):
            return self.panned(by if name == "x" else 0, by if name == "y" else 0)
        if name == "span":
            return self.zoomed(by)
        stops = self.slider(name).stops
        if not stops:
            return self
        return self.with_value(name, stops[max(0, min(len(stops) - 1, _place(stops, self.values[name], by) + by))])

    def main_slider(self) -> str:
        """The slider that `[` and `]` change."""
        return next(slider.name for slider in self.sliders if slider.keys == "[ ]")

    def panned(self, right: float, up: float) -> Scene:
        if not self.plane:
            return self
        step = self.values["span"] * _PAN
        x, y = self.values["x"] + right * step, self.values["y"] + up * step
        return Scene(self.workload, {**self.values, "x": _within(x), "y": _within(y)})

    def zoomed(self, by: int) -> Scene:
        """Zoom in by steps (below 0: out)."""
        if not self.plane:
            return self
        span = self.values["span"] / _ZOOM**by
        return self.with_value("span", min(_MOST_SPAN, max(_LEAST_SPAN, span)))

    def home(self) -> Scene:
        """The first scene; `tasks` stays."""
        return Scene(self.workload, {**_FIRST[self.workload], "tasks": self.values["tasks"]})

    def typed(self, name: str) -> str:
        """A value as a person would type it."""
        value = self.values[name]
        return f"{_HOME['span'] / value:.6g}" if name == "span" else text_of(value)

    def read(self, name: str, text: str) -> Scene:
        """Set a typed value.

        Raises:
            InputError: the value is invalid or out of its range.
        """
        text = text.strip()
        if name == "data":
            return self.with_value(name, str(typed_path(text).absolute()) if text else "")
        text = plain_number(text)
        known = {field.name: field for field in parameters.fields(registry.describe(self.workload).params)}
        if (field := _FIELDS.get(name, name)) in known:
            parsed = parameters.parse(registry.describe(self.workload).params, {field: text})
            return self.with_value(name, getattr(parsed, field))
        if name == "tasks" and not text:
            return self.with_value(name, None)
        kind, what = (int, "whole number") if name in _WHOLE else (float, "number")
        try:
            number = kind(text)
        except ValueError:
            raise InputError(f"must be a {what}, got {text or 'nothing'}") from None
        low, high = _RANGES[name]
        if not low <= number <= high:
            raise InputError(f"must be {_range_text(name)}, got {text}")
        return self.with_value(name, _HOME["span"] / number if name == "span" else number)

    def hint(self, name: str) -> str:
        if name in _HINTS:
            return f"{_HINTS[name]} ({_range_text(name)})"
        description = registry.describe(self.workload)
        if name == "data":
            return f"a file: {description.data}; nothing: generated"
        for field in parameters.fields(description.params):
            if field.name == _FIELDS.get(name, name):
                return f"{field.meaning} ({range_text(field)})" if range_text(field) else field.meaning
        return ""

    def window(self, columns: int, rows: int) -> tuple[float, float, float, float]:
        """The part of the plane in so many square points: x_min, x_max, y_min, y_max."""
        x, y, span = (float(self.values[name]) for name in ("x", "y", "span"))
        half = span * columns / rows / 2
        return x - half, x + half, y - span / 2, y + span / 2

    def plan(self, choice: BackendChoice, columns: int, rows: int) -> Plan:
        """The plan for a view of so many points (half cells)."""
        values = dict(self.values)
        tasks, data = values.pop("tasks"), values.pop("data", "")
        params = values
        if self.plane:
            detail = values["detail"]
            params = {
                "width": columns * detail,
                "height": rows * detail,
                "max_iterations": values["iterations"],
                "window": list(self.window(columns, rows)),
            }
        elif data:  # then the file's rows and columns count
            params = {
                name: value for name, value in values.items() if name not in ("n_samples", "n_features", "spread")
            }
        return Plan(
            workload=self.workload,
            params=params,
            tasks=tasks,
            backends=[choice],
            timeout_s=_TIMEOUT_S,
            data=data or None,
            preview=True,
        )


def _place(stops: tuple[Any, ...], value: Any, by: int) -> int:
    """A value's index among the stops; between two, the one that `by` leads away from."""
    if value in stops:
        return int(stops.index(value))
    known = [stop for stop in stops if stop is not None]
    below = sum(stop < value for stop in known) + (stops[0] is None)
    return int(max(0, below - 1) if by > 0 else below)


def _within(value: float) -> float:
    return max(-_FURTHEST, min(_FURTHEST, value))


def _range_text(name: str) -> str:
    low, high = _RANGES[name]
    return f"at least {low}" if high == math.inf else f"{low:g} to {high:g}"


def slider_share(scene: Scene, slider: Slider) -> float | None:
    """A slider's position (0..1); None: it has no ends."""
    value = scene.values[slider.name]
    if slider.name == "span":
        return math.log(_MOST_SPAN / value) / math.log(_MOST_SPAN / _LEAST_SPAN)
    if len(slider.stops) < 2:
        return None
    return min(1.0, _place(slider.stops, value, 1) / (len(slider.stops) - 1))


def shown(scene: Scene, slider: Slider) -> str:
    """A value as a person reads it."""
    value = scene.values[slider.name]
    if slider.name == "span":
        zoom = _HOME["span"] / value
        return f"{zoom:,.1f}×" if zoom < 1e4 else f"{zoom:.1e}×"
    if slider.name in ("x", "y"):
        digits = max(4, min(15, 3 - math.floor(math.log10(scene.values["span"]))))
        return f"{value:.{digits}f}"
    if slider.name == "detail":
        return f"{value}×{value}"
    if slider.name == "data":
        return value.rpartition("/")[2] or "generated"
    if value is None:
        return "auto" if slider.name == "tasks" else "no bound"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


SCENES = {name: Scene(name, values) for name, values in _FIRST.items()}


def scene_of(planned: RunPlanned) -> Scene | None:
    """The scene of a recorded run; None: it cannot be explored, or the record is damaged."""
    params = planned.params
    if planned.workload not in _FIRST:
        return None
    values = dict(_FIRST[planned.workload])
    if planned.workload == "mandelbrot":
        try:
            x_min, x_max, y_min, y_max = (float(edge) for edge in params["window"])
            values["iterations"] = int(params["max_iterations"])
        except (KeyError, TypeError, ValueError, OverflowError):
            return None
        if not (0 < x_max - x_min < math.inf and 0 < y_max - y_min < math.inf):
            return None
        values |= {"x": (x_min + x_max) / 2, "y": (y_min + y_max) / 2, "span": y_max - y_min}
    else:
        form = registry.describe(planned.workload).params
        try:
            parsed = parameters.parse(form, {name: params[name] for name in values if name in params})
        except InputError:
            return None
        values |= {name: getattr(parsed, name) for name in values if name in params}
    return Scene(planned.workload, values)
