"""The Explore screen: does interactive visualisation gain from an elastic backend? A live picture, sliders, latencies."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual.app import ComposeResult
from textual.binding import Binding
from textual.screen import Screen

from lbench.analysis.words import count_text
from lbench.engine.plan import Plan, validate
from lbench.engine.session import RunView
from lbench.errors import LbenchError
from lbench.tui.draw.ink import Piece
from lbench.tui.explore.backends import ExploreBackends
from lbench.tui.explore.figures import Figures, Tally
from lbench.tui.explore.picture import ExplorePicture
from lbench.tui.explore.pictures import Blocks
from lbench.tui.explore.places import places
from lbench.tui.explore.scene import Scene, scene_of
from lbench.tui.explore.script import interleaved, sequence
from lbench.tui.explore.session import Exploring
from lbench.tui.explore.sliders import Sliders
from lbench.tui.explore.strip import LatencyStrip
from lbench.tui.explore.telling import invitation, notes, picture_title, problem, progress
from lbench.tui.explore.words import comparison_pieces
from lbench.tui.feed import Feed, Frame, is_engine
from lbench.tui.launch import launched
from lbench.tui.theme import role_of
from lbench.tui.widgets.lines import Lines
from lbench.tui.widgets.replay import ReplayBar
from lbench.tui.widgets.title import Answer, Keys, Title, TooSmall, described

if TYPE_CHECKING:
    from lbench.tui.app import LbenchApp

__all__ = ["ExploreScreen"]

_WAITING_FPS = 60.0  # while an update is under way
_BUSY = "a comparison is running: exploring beside it would disturb what is measured"


class ExploreScreen(Screen[None]):
    """One person, one picture, one backend at a time."""

    BINDINGS = [
        Binding("plus,equals_sign", "zoom(1)", "zoom", key_display="+ -", tooltip="closer, further"),
        Binding("minus", "zoom(-1)", "zoom", key_display="+ -", tooltip="closer, further"),
        Binding("left_square_bracket", "less(-1)", "less, more", key_display="[ ]", tooltip="iterations, k or trees"),
        Binding("right_square_bracket", "less(1)", "less, more", key_display="[ ]", tooltip="iterations, k or trees"),
        Binding("t", "compare", "compare ✓", tooltip="compare those with ✓"),
        Binding("b", "backend(1)", "backend"),
        Binding("w", "workload", "workload"),
        Binding("e", "explore_here", "explore from here"),
        Binding("c", "stop_update", "cancel"),
        Binding("0", "home", "home", tooltip="as it was at first"),
        Binding("x", "export_session", "export"),
    ]

    def __init__(self, exploring: Exploring) -> None:
        super().__init__(id="explore")
        self.exploring = exploring
        self._blocks: Blocks | None = None
        self._run: RunView | None = None  # the newest
        self._warnings = 0
        self._state = ""
        self._ready = False  # the parts are there
        self._arranged_for: object = None
        self._figures_of: tuple[int, Feed | None] = (-1, None)
        self._recorded = Figures()  # of a record that is looked at
        self._scene_shown: Scene | None = None
        self._tallied: tuple[object, dict[str, Tally], dict[str, Tally]] = (None, {}, {})
        self._sentence: tuple[object, list[Piece] | None] = (None, None)  # worked out of which tallies

    @property
    def lbench(self) -> LbenchApp:
        """The app."""
        return cast("LbenchApp", self.app)

    @property
    def own_feed(self) -> Feed | None:
        """The engine that we explore with; None: what the app shows is looked at."""
        return self.exploring.feed

    @property
    def live(self) -> bool:
        """Whether keys change what is computed."""
        return self.exploring.feed is not None

    @property
    def scene(self) -> Scene:
        """What is on the screen."""
        if not self.live:
            return self._scene_shown or self.exploring.scene
        own = self.exploring.scene
        scripted = scene_of(self._run.planned) if self._run is not None and self._in_script else None
        return own if scripted is None else Scene(scripted.workload, {**own.values, **scripted.computed})

    @property
    def _in_script(self) -> bool:
        """Whether the newest run is a step of a scripted sequence that nothing has overtaken."""
        told = None if self._run is None else self._run.planned.interaction
        if told is None or told.step is None:
            return False
        return not self.live or (told.generation == self.exploring.generation and not self.exploring.wants)

    def compose(self) -> ComposeResult:
        """The parts; `places` says where each goes."""
        yield Title()
        yield Answer()
        yield ExplorePicture()
        yield Sliders()
        yield ExploreBackends()
        yield LatencyStrip()
        yield ReplayBar()
        yield TooSmall()
        yield Keys()

    def on_mount(self) -> None:
        """Begin, unless a record is looked at."""
        self._ready = True
        self._arrange()
        self.query_one(ExplorePicture if self.scene.plane else Sliders).focus()
        self._quick = self.set_interval(1 / _WAITING_FPS, self.lbench.tick_if_taken, pause=True)
        if not self._looking_at_record():
            self._begin()

    def on_resize(self) -> None:
        """Another size: another picture."""
        self._arrange()
        if self.live:
            self.call_after_refresh(self._update)

    def _looking_at_record(self) -> bool:
        return not self.live and self.lbench.looks_at_explored

    def _begin(self) -> None:
        """Have an engine, and compute the scene."""
        app = self.lbench
        if any(feed is not None and is_engine(feed) and feed.running for feed in (app.feed, app.set_aside)):
            self.query_one(Answer).show([(_BUSY, "wrong")])
            return
        if self.exploring.feed is None or self.exploring.feed.over:
            try:
                self.exploring.close()
                self.exploring.feed = launched("stop")
            except LbenchError as error:
                self.query_one(Answer).show([(str(error), "wrong")])
                return
            self._run = self._blocks = None
        self.refresh_bindings()
        self._arrange()
        self.call_after_refresh(self._update)

    def _arrange(self) -> None:
        key = (self.size, len(self.scene.sliders), len(self.exploring.backends), self.live)
        if key == self._arranged_for:
            return
        self._arranged_for = key
        told = places(
            *self.size,
            sliders=len(self.scene.sliders),
            backends=len(self.exploring.backends),
            replay=self._looking_at_record(),
        )
        for part in self.query(Lines):
            place = told.get(part.id or "")
            part.display = place is not None
            if place is not None:
                part.styles.offset = (place.x, place.y)
                part.styles.width = place.width
                part.styles.height = place.height

    # -- what is computed

    def _plan(self, scene: Scene | None = None, label: str | None = None) -> Plan:
        choice = self.exploring.choice
        if label is not None:
            choice = next(one.choice for one in self.exploring.backends if one.choice.label == label)
        plan = (scene or self.scene).plan(choice, *self.query_one(ExplorePicture).points)
        return self.exploring.limited(plan)

    def _changed(self, scene: Scene) -> None:
        """Show another scene, and have it computed."""
        if not self.live or scene == self.exploring.scene:
            return
        self.exploring.scene = scene
        self._update()

    def _update(self) -> None:
        if not self.live:
            return
        self._blocks = None
        self.exploring.want(self._plan())
        # After the keys that are there already: of those that came together, only the last is computed.
        self.call_later(self._send)

    def _send(self) -> None:
        if self.exploring.must_ask:
            self._ask_for_money()
        elif self.exploring.send(self._warnings):
            self._quick.resume()
            self._blocks = None
        self._show(None)

    def _ask_for_money(self) -> None:
        """Once, before the first update that AWS charges for; no takes what costs money off."""
        from lbench.tui.screens.ask import AskYes

        if self.app.screen is not self:
            return  # it is being asked already

        def answered(yes: bool | None) -> None:
            if yes:
                self.exploring.may_spend = True
                self._send()
            else:
                self.exploring.refuse()
                self._update()

        limit_usd = self.exploring.limit_usd
        why = (
            f"every change of the picture is a job on AWS; all of them together stop at ${limit_usd:.2f} "
            "(another limit: max usd, where a comparison is set up)"
        )
        self.app.push_screen(AskYes("explore on lambda? it costs money", why), answered)

    # -- frames

    def show_frame(self, frame: Frame) -> None:
        """Draw what changed since the last frame."""
        if not self._ready:
            return
        warnings = [] if frame.view is None else frame.view.warnings
        self._warnings = sum(warning.code == "explore" for warning in warnings)
        runs = {} if frame.view is None else frame.view.runs
        newest = next(reversed(runs.values())) if runs else None
        if newest is not None and newest.planned.interaction is None:
            newest = None
        anew = newest is not self._run
        self._run = newest
        if self.live:
            self.exploring.send(self._warnings)
            current = newest is not None and newest.planned.interaction is not None
            if current and newest is not None and newest.planned.interaction is not None:
                current = newest.planned.interaction.generation == self.exploring.generation
            if not current:
                newest = None  # of an update that a newer one has overtaken
        if newest is None:
            self._blocks = self._blocks if not self.live else None
        elif anew or self._blocks is None or self._blocks.run is not newest:
            self._blocks = Blocks(frame.folder, newest)
            if not self.live:
                self._scene_shown = scene_of(newest.planned)
                self._arrange()
        took = self._blocks is not None and self._blocks.update()
        if took or anew or frame.changed or frame.state != self._state:
            self._state = frame.state
            self._take_figures(frame)
            self._show(frame)
        waits = self.live and self.exploring.waits(self._run, self._warnings)
        if newest is not None and self.live and newest.ended is not None and newest.ended.status == "ok":
            self.call_after_refresh(self.exploring.drawn, newest)
        if self.live and not waits:
            self._quick.pause()
        self.query_one(ReplayBar).show(frame)

    @property
    def figures(self) -> Figures:
        """Of the session on the screen."""
        return self.exploring.figures if self.live else self._recorded

    def _take_figures(self, frame: Frame) -> None:
        if not self.live and self._figures_of != (frame.epoch, self.lbench.feed):
            self._figures_of = (frame.epoch, self.lbench.feed)
            self._recorded = Figures()
        if frame.view is not None:
            self.figures.take(frame.view.runs.values())

    def _show(self, frame: Frame | None) -> None:
        scene, run, exploring = self.scene, self._run, self.exploring
        label = exploring.label if self.live or run is None else run.planned.label
        backend = exploring.choice.name if self.live or run is None else run.planned.backend
        accent = role_of(backend, label)
        picture = self.query_one(ExplorePicture)
        window = scene.window(*picture.points) if scene.plane else None
        shape = None
        if scene.plane and not self.live and run is not None:
            shape = (run.planned.params["height"], run.planned.params["width"])
        picture.show(
            self._blocks,
            window,
            shape,
            picture_title(scene.workload, self._blocks, short=self._short),
            self._progress(),
            accent,
        )
        tallies, scripted = self._tallies(scene)
        by_script = bool(scripted) and self._in_script
        self.query_one(Sliders).show(scene, "" if self.live else "as recorded")
        self.query_one(ExploreBackends).show(
            exploring.backends,
            label,
            scripted if by_script else tallies,
            "scripted, the same on each" if by_script and not self._short else "scripted" if by_script else "by hand",
        )
        strip = self.query_one(LatencyStrip)
        added_ms, updates = (self.exploring.added(), len(self.exploring.added_ms)) if self.live else (None, 0)
        told = notes(tallies.values(), scripted.values(), added_ms, updates, short=self._short)
        strip.show(self.figures.recent(max(1, strip.room), scene.workload), told)
        self._show_heads(frame, scene, scripted, accent, label)

    def _tallies(self, scene: Scene) -> tuple[dict[str, Tally], dict[str, Tally]]:
        """By hand and scripted; worked out anew when an update has ended."""
        figures = self.figures
        key = (id(figures), figures.version, scene.workload)
        if key != self._tallied[0]:
            script = figures.last_script
            by_script = {} if script is None else figures.tallies(scene.workload, script)
            self._tallied = (key, figures.tallies(scene.workload), by_script)
        return self._tallied[1], self._tallied[2]

    def _progress(self) -> list[Piece]:
        """At the right of the picture's heading."""
        run, told = self._run, self._blocks
        if run is not None and run.ended is not None and run.ended.status == "failed":
            return [("failed", "wrong")]
        if run is None or told is None or (self.live and self.exploring.waits(run, 0) and run.ended is not None):
            return [("…", "quiet")] if self.live else []
        return progress(run, told, self.exploring.script_length if self.live and not self._short else None)

    @property
    def _short(self) -> bool:
        """Whether a line has to say less."""
        return self.size.width < 110

    def _show_heads(
        self, frame: Frame | None, scene: Scene, scripted: dict[str, Tally], accent: str, label: str
    ) -> None:
        run = self._run
        params = self._plan(scene).params if self.live else run.planned.params if run is not None else {}
        tasks = run.planned.tasks if run is not None and run.planned.workload == scene.workload else None
        if scene.plane and params:
            params = {"size": 0, "assignment": "interleaved", **params}
        told = described(scene.workload, params, tasks) if params else scene.workload
        place = (
            [] if run is None or run.started is None else [(f" · {count_text(run.started.capacity, 'place')}", "quiet")]
        )
        self.query_one(Title).show([("explore ", "text"), (f"· {told}", "quiet")], [(label, accent), *place])
        if frame is None:
            return
        wrong = problem(frame, run, warned=self.live and self._warnings > self.exploring.warned)
        if wrong:
            self.query_one(Answer).show([(wrong, "wrong")])
            return
        key = (self._tallied[0], self._short)
        if key != self._sentence[0]:  # an interval draws resamples
            self._sentence = (key, comparison_pieces(scripted, short=self._short))
        sentence = self._sentence[1]
        if frame.state == "starting":
            sentence = [("starting the engine", "quiet")]
        elif frame.view is not None and frame.view.phase and frame.state == "live":
            sentence = [(frame.view.phase, "quiet")]
        elif sentence is None:
            sentence = invitation(short=self._short)
        self.query_one(Answer).show(sentence)

    # -- keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that would do nothing are not offered."""
        if action in ("pan", "zoom"):
            return self.live and self.scene.plane
        if action in ("less", "backend", "workload", "home", "step", "type_value", "compare_this", "stop_update"):
            return self.live
        if action == "compare":
            return self.live and len(self.exploring.compared) > 1
        if action == "explore_here":
            return not self.live
        if action == "export_session":
            return self._source() is not None
        return True

    def action_pan(self, right: float, up: float) -> None:
        """Look elsewhere."""
        self._changed(self.scene.panned(right, up))

    def action_zoom(self, by: int) -> None:
        """Closer or further."""
        self._changed(self.scene.zoomed(by))

    def action_less(self, by: int) -> None:
        """Fewer or more iterations, clusters, trees."""
        self._changed(self.scene.stepped(self.scene.main_slider(), by))

    def action_step(self, name: str, by: int) -> None:
        """A slider's step."""
        self._changed(self.scene.stepped(name, by))

    def action_home(self) -> None:
        """As it was at first."""
        self._changed(self.scene.home())

    def action_workload(self) -> None:
        """The next workload."""
        self.exploring.next_workload()
        self._arrange()
        self.refresh_bindings()
        self.query_one(ExplorePicture if self.scene.plane else Sliders).focus()
        self.call_after_refresh(self._update)

    def action_backend(self, by: int) -> None:
        """The next backend computes."""
        self.exploring.next_backend(by)
        self._update()

    def action_compare_this(self) -> None:
        """The current backend takes part in the comparison, or not."""
        self.exploring.toggle()
        self.refresh_bindings()
        self._show(None)

    def action_compare(self) -> None:
        """The same interactions on each ticked backend."""
        labels = [choice.label for choice in self.exploring.compared]
        plans = [self._plan(scene, label) for scene, label in interleaved(sequence(self.scene), labels)]
        self._blocks = None
        self.exploring.want_script(plans)
        self._send()

    def action_stop_update(self) -> None:
        """Stop what is computed."""
        if self.exploring.feed is not None:
            self.exploring.feed.command("cancel")

    def action_explore_here(self) -> None:
        """From a record to an engine of our own, at the same scene."""
        if self._scene_shown is not None:
            self.exploring.scene = self._scene_shown
        self._begin()

    def action_type_value(self, name: str) -> None:
        """Ask for a value."""
        from lbench.tui.screens.ask import AskText

        scene = self.scene

        def take(text: str | None) -> None:
            if text is not None:
                self._changed(scene.read(name, text))

        self.app.push_screen(
            AskText(
                scene.slider(name).label,
                scene.typed(name),
                hint=scene.hint(name),
                check=lambda text: validate(self._plan(scene.read(name, text))),
            ),
            take,
        )

    def _source(self) -> object:
        feed = self.own_feed if self.live else self.lbench.feed
        return getattr(feed, "source", None) or getattr(feed, "folder", None)

    def action_export_session(self) -> None:
        """Write the session to a file."""
        source = self._source()
        if source is not None:
            self.lbench.export(source, self._say)  # type: ignore[arg-type]

    def _say(self, text: str, role: str) -> None:
        self.notify(text, severity="error" if role == "wrong" else "information")
