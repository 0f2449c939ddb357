"""The Explore screen as one immutable value, built from a frame."""

from __future__ import annotations

import msgspec

from lbench.engine.session.view import RunView
from lbench.errors import count_text
from lbench.tui.draw.ink import Piece, width_of
from lbench.tui.draw.picture import Window
from lbench.tui.explore.messages import comparison_pieces, invitation, notes, picture_title, problem, progress
from lbench.tui.explore.metrics import Figures, Tally
from lbench.tui.explore.scene import Scene, scene_of
from lbench.tui.explore.state import ExploreState
from lbench.tui.feeds.feed import Feed, Frame
from lbench.tui.feeds.previews import PreviewReader
from lbench.tui.theme import role_of
from lbench.tui.widgets.title import described

__all__ = ["ExploreBoard", "ExploreBoardBuilder", "Room", "warnings_in"]


_KEPT = 4  # ended updates that stay in memory
_SHORT = 110  # columns under which a line has to say less
_TITLE = 21  # cells of the title line besides the scene and the place


class Room(msgspec.Struct, frozen=True):
    """The room that the screen has."""

    points: tuple[int, int]  # columns and rows of the picture
    updates: int  # latencies beside each other
    columns: int  # of the screen

    @property
    def short(self) -> bool:
        """Whether lines have to say less."""
        return self.columns < _SHORT


class ExploreBoard(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One frame of the Explore screen."""

    scene: Scene
    blocks: PreviewReader | None
    window: Window | None  # of the plane, where it is one
    shape: tuple[int, int] | None  # rows and columns of a recorded picture, which was made for another view
    picture: str  # what it shows
    progress: list[Piece]
    accent: str
    label: str  # of the backend that computes
    tallies: dict[str, Tally]
    basis: str  # of the tallies
    updates: list[tuple[str, str, float]]  # (backend, label, milliseconds), the newest last
    notes: list[list[Piece]]
    title: list[Piece]
    place: list[Piece]  # at the title's right
    answer: list[Piece] | None  # None: there was no frame yet


def warnings_in(frame: Frame) -> int:
    """The number of the engine's warnings that it computes nothing."""
    return 0 if frame.view is None else sum(warning.code == "explore" for warning in frame.view.warnings)


class ExploreBoardBuilder:
    """Follows the newest interaction, frame by frame."""

    def __init__(self, exploring: ExploreState) -> None:
        self.exploring = exploring
        self.run: RunView | None = None  # the newest
        self.blocks: PreviewReader | None = None  # its picture; None: there is none that is of now
        self.recorded_scene: Scene | None = None  # of a record that is looked at
        self._frame: Frame | None = None  # the last one
        self.warnings = 0  # how often the engine has warned that it computes nothing
        self._state = ""
        self._figures_of: tuple[int, Feed | None] = (-1, None)
        self._recorded = Figures()
        self._tallied: tuple[object, dict[str, Tally], dict[str, Tally]] = (None, {}, {})
        self._sentence: tuple[object, list[Piece] | None] = (None, None)  # worked out of which tallies

    def forget(self) -> None:
        """Forget the run: there is another engine."""
        self.run = self.blocks = self._frame = None

    # -- what is followed

    @property
    def live(self) -> bool:
        """Whether keys change what is computed."""
        return self.exploring.feed is not None

    @property
    def scene(self) -> Scene:
        if not self.live:
            return self.recorded_scene or self.exploring.scene
        return self.exploring.scripted(self.run) or self.exploring.scene

    @property
    def figures(self) -> Figures:
        """The latencies of the session on the screen."""
        return self.exploring.figures if self.live else self._recorded

    @property
    def waits(self) -> bool:
        return self.live and self.exploring.waits(self.run, self.warnings)

    @property
    def _warms_up(self) -> bool:
        """Whether the update that is awaited is the first of its workload on its backend."""
        run = self.run
        if not self.live or not self.exploring.waits(run, self.warnings):
            return False
        newest = run is not None and run.planned.interaction is not None and run.ended is None
        if newest and run is not None:
            return run.planned.warmup
        return not any(self.exploring.label in tallies for tallies in self._tallies(self.scene))

    @property
    def _in_script(self) -> bool:
        """Whether the newest run is a step of the current scripted sequence."""
        if self.live:
            return self.exploring.scripted(self.run) is not None
        interaction = None if self.run is None else self.run.planned.interaction
        return interaction is not None and interaction.step is not None

    def take(self, frame: Frame, feed: Feed) -> bool:
        """Follow to this frame. Returns whether there is anything new to show. `feed`: the record's."""
        self._frame = frame
        self.warnings = warnings_in(frame)
        runs = {} if frame.view is None else frame.view.runs
        newest = next(reversed(runs.values())) if runs else None
        interaction = None if newest is None else newest.planned.interaction
        if interaction is None:
            newest = None
        anew = newest is not self.run
        self.run = newest
        if newest is None or interaction is None or (self.live and interaction.generation != self.exploring.generation):
            self.blocks = None if self.live else self.blocks  # of an update that a newer one has overtaken
        elif anew or self.blocks is None or self.blocks.run is not newest:
            self.blocks = PreviewReader(frame.folder, newest)
            if not self.live:
                self.recorded_scene = scene_of(newest.planned)
        took = self.blocks is not None and self.blocks.update()
        if not (took or anew or frame.changed or frame.state != self._state):
            return False
        self._state = frame.state
        if not self.live and self._figures_of != (frame.epoch, feed):
            self._figures_of = (frame.epoch, feed)
            self._recorded = Figures()
        self.figures.take(runs.values())
        if self.exploring.feed is not None:
            self.exploring.feed.forget_ended(_KEPT)
        return True

    # -- what is shown

    def make(self, room: Room) -> ExploreBoard:
        """The board, of the last frame and of what keys have changed since."""
        scene, run, exploring = self.scene, self.run, self.exploring
        label = exploring.label if self.live or run is None else run.planned.label
        accent = role_of(exploring.choice.name if self.live or run is None else run.planned.backend, label)
        by_hand, scripted = self._tallies(scene)
        by_script = bool(scripted) and self._in_script
        added_ms, updates = (exploring.added(), len(exploring.added_ms)) if self.live else (None, 0)
        capacity = None if run is None or run.started is None else run.started.capacity
        place = [(label, accent), *([] if capacity is None else [(f" · {count_text(capacity, 'place')}", "quiet")])]
        return ExploreBoard(
            scene=scene,
            blocks=self.blocks,
            window=scene.window(*room.points) if scene.plane else None,
            shape=None if self.live or run is None or not scene.plane else _shape(run),
            picture=picture_title(scene.workload, self.blocks, short=room.short),
            progress=self._progress(room.short),
            accent=accent,
            label=label,
            tallies=scripted if by_script else by_hand,
            basis="by hand" if not by_script else "scripted" if room.short else "scripted, the same on each",
            updates=self.figures.recent(room.updates, scene.workload),
            notes=notes(by_hand.values(), scripted.values(), added_ms, updates, short=room.short),
            title=[("explore ", "text"), (f"· {self._described(scene, room, place)}", "quiet")],
            place=place,
            answer=None if self._frame is None else self._answer(self._frame, scripted, room.short),
        )

    def _tallies(self, scene: Scene) -> tuple[dict[str, Tally], dict[str, Tally]]:
        """Tallies by hand and scripted, computed again when an update has ended."""
        figures = self.figures
        key = (figures, figures.version, scene.workload)
        if key != self._tallied[0]:
            script = figures.last_script
            by_script = {} if script is None else figures.tallies(scene.workload, script)
            self._tallied = (key, figures.tallies(scene.workload), by_script)
        return self._tallied[1], self._tallied[2]

    def _progress(self, short: bool) -> list[Piece]:
        """At the right of the picture's heading."""
        run, blocks = self.run, self.blocks
        if run is not None and run.ended is not None and run.ended.status == "failed":
            return [("failed", "wrong")]
        if run is None or blocks is None or (self.live and self.exploring.waits(run, 0) and run.ended is not None):
            return [("…", "quiet")] if self.live else []
        return progress(run, blocks, self.exploring.script_length if self.live and not short else None)

    def _described(self, scene: Scene, room: Room, place: list[Piece]) -> str:
        run = self.run
        if self.live:
            params = scene.plan(self.exploring.choice, *room.points).params
        else:
            params = {} if run is None else run.planned.params
        if not params:
            return scene.workload
        tasks = run.planned.tasks if run is not None and run.planned.workload == scene.workload else None
        shown = {"assignment": "interleaved", **params} if scene.plane else params
        return described(scene.workload, shown, tasks, room.columns - _TITLE - width_of(place))

    def _answer(self, frame: Frame, scripted: dict[str, Tally], short: bool) -> list[Piece]:
        wrong = problem(frame, self.run, warned=self.live and self.warnings > self.exploring.warned)
        if wrong:
            return [(wrong, "wrong")]
        phase = (
            "starting the engine" if frame.state == "starting" else "" if frame.view is None else frame.view.phase or ""
        )
        if self._warms_up:
            waits = phase or f"{self.exploring.label} to start its workers"
            return [("the first update warms up and is not counted: ", "quiet"), (waits, "text")]
        if phase and frame.state in ("starting", "live"):
            return [(phase, "quiet")]
        key = (self._tallied[0], short)
        if key != self._sentence[0]:  # an interval draws resamples
            self._sentence = (key, comparison_pieces(scripted, short=short))
        if self._sentence[1] is None:
            return invitation(short=short)
        return [("so far ", "quiet"), *self._sentence[1]] if self.exploring.comparing else self._sentence[1]


def _shape(run: RunView) -> tuple[int, int] | None:
    """Rows and columns of a recorded picture; None: unknown."""
    height, width = (run.planned.params.get(name) for name in ("height", "width"))
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None
