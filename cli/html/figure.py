"""A figure of the report: SVG that takes the page's colours, and files. Its axes, colours and numbers.

Text and axes have the page's own colour (`currentColor`), so that one figure serves a light, a dark and a printed page.
"""

from __future__ import annotations

import io
import re
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

__all__ = [
    "COLOURS",
    "Figure",
    "add_legend",
    "colours_of",
    "log_if_wide",
    "make_figure",
    "new_axes",
    "plain_log_axis",
    "plain_numbers",
    "write_figures",
]

COLOURS = {
    "sequential": "#6b7f8f",
    "loop": "#9a7b4f",
    "threads": "#2f9e8f",
    "processes": "#2f7ed8",
    "emulated": "#d98a00",
    "lambda": "#e8590c",
    "simulated": "#9b5de5",
    "predicted": "#d6336c",
    "dask": "#6f9f00",
    "executor": "#b56576",
}
_OTHERS = ("#2f7ed8", "#d6336c", "#2f9e8f", "#9b5de5", "#b56576", "#6f9f00", "#9a7b4f")
_INK, _HAIR = "#010203", "#040506"  # stand for the page's colours until the SVG is written
_WIDTH = 7.2
_LEGEND_SHARE = 0.95  # of that width: the browser has letters of its own


class Figure(msgspec.Struct, frozen=True):
    """A figure: its file's name, its caption, and what it is drawn with."""

    name: str
    caption: str
    svg: str
    draw: Callable[[], Any]  # draws the figure again, for a file


def make_figure(name: str, caption: str, draw: Callable[[], Any]) -> Figure:
    """The figure that `draw` returns, as SVG for the page."""
    with _style(_INK, _HAIR):
        return Figure(name, caption, _inline(_svg(draw()), name), draw)


@contextmanager
def _style(ink: str, hair: str) -> Iterator[None]:
    import matplotlib as mpl

    settings: Any = {
        "svg.fonttype": "none", "text.parse_math": False, "font.family": "sans-serif", "font.size": 9,
        "axes.edgecolor": hair, "axes.labelcolor": ink, "text.color": ink, "xtick.color": ink, "ytick.color": ink,
        "axes.grid": True, "grid.color": hair, "grid.linewidth": 0.6, "axes.spines.top": False,
        "axes.spines.right": False, "legend.frameon": False, "legend.fontsize": 8, "lines.linewidth": 1.5,
        "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none", "svg.hashsalt": "lbench",
        "axes.axisbelow": True, "axes.unicode_minus": True,
    }  # fmt: skip
    with mpl.rc_context(settings), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name may have letters that the font lacks: the browser's has them
        yield


def _svg(figure: Any) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return text.getvalue()


def _inline(svg: str, name: str) -> str:
    """An SVG to put into a page: no prologue, the page's colours, ids of its own."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = svg.replace(_INK, "currentColor").replace(_HAIR, "var(--hair)")
    unique = f"f{zlib.crc32(name.encode()):08x}-"
    # Markup only: a text may hold anything, and matplotlib writes its < and " as entities.
    svg = re.sub(r'(?<= )id="([^"]*)"', lambda match: f'id="{unique}{match[1]}"', svg)
    return re.sub(r'(xlink:href="#|url\(#)', lambda match: match[1] + unique, svg)


def write_figures(figures: Sequence[Figure], folder: Path) -> None:
    """Write each as SVG and PNG, in black on white.

    Raises:
        OSError: one cannot be written.
    """
    for one in figures:
        with _style("#1b1f23", "#c9ced6"):
            figure = one.draw()
            for suffix in ("svg", "png"):
                figure.savefig(folder / f"{one.name}.{suffix}", dpi=160, facecolor="white")


def new_axes(height: float = 2.8, rows: int = 1, **options: Any) -> tuple[Any, Any]:
    """A canvas of this height in inches, and its axes, one below the other."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    figure = Canvas(figsize=(_WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, 1, squeeze=False, **options)[:, 0]


def colours_of(names: Sequence[tuple[str, str]]) -> dict[str, str]:
    """A colour for each label of (label, backend): the backend's, another for a second label of it."""
    found: dict[str, str] = {}
    for label, backend in names:
        colour = COLOURS.get(backend, "#2f7ed8")
        rest = [one for one in _OTHERS if one not in found.values()]
        found[label] = rest[0] if colour in found.values() and rest else colour
    return found


def add_legend(figure: Any, axes: Any) -> None:
    """One legend above the axes, where it hides nothing, in as many columns as fit."""
    handles, labels = axes.get_legend_handles_labels()
    for columns in range(min(4, len(handles)), 0, -1):
        legend = figure.legend(handles, labels, loc="outside upper left", ncols=columns)
        extent = legend.get_window_extent(figure.canvas.get_renderer())
        if columns == 1 or extent.width <= _LEGEND_SHARE * figure.bbox.width:
            break
        legend.remove()


def plain_log_axis(axis: Any) -> None:
    """Numbers as people write them: mathematical notation is off, as labels are never parsed."""
    from matplotlib.ticker import FuncFormatter, LogLocator

    low, high = axis.get_view_interval()
    few = low > 0 and high / low < 100
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: _number(value)))
    axis.set_minor_formatter(FuncFormatter(lambda *_: ""))


def plain_numbers(axis: Any) -> None:
    """Numbers in full, without a factor beside the axis."""
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: _number(value)))


def _number(value: float) -> str:
    return f"{value:,.10f}".rstrip("0").rstrip(".") if value < 1e9 else f"{value:g}"


def log_if_wide(axes: Any, values: Sequence[float]) -> None:
    """A logarithmic x axis, if the values span a factor of more than 30."""
    positive = [value for value in values if value > 0]
    if positive and max(positive) / min(positive) > 30:
        axes.set_xscale("log")
        plain_log_axis(axes.xaxis)
