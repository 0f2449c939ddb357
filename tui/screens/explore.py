"""The Explore screen: does interactive visualisation gain from an elastic backend? A live picture, sliders, latencies."""

from __future__ import annotations

from pathlib import Path

from textual.app import ComposeResult
from textual.binding import Binding

from lbench.engine.plan.plan import Plan
from lbench.engine.plan.validate import validate
from lbench.errors import LbenchError
from lbench.tui.explore.backends import ExploreBackends
from lbench.tui.explore.board import ExploreBoardBuilder, Room, warnings_in
from lbench.tui.explore.latency_strip import LatencyStrip
from lbench.tui.explore.layout import places
from lbench.tui.explore.picture import ExplorePicture
from lbench.tui.explore.scene import Scene
from lbench.tui.explore.script import interleaved, sequence
from lbench.tui.explore.sliders import Sliders
from lbench.tui.explore.state import ExploreState
from lbench.tui.feeds.feed import Feed, Frame, is_engine, is_record
from lbench.tui.host import LbenchScreen
from lbench.tui.launch import launched
from lbench.tui.widgets.lines import Lines
from lbench.tui.widgets.replay import ReplayBar
from lbench.tui.widgets.title import Answer, Keys, Title, TooSmall

__all__ = ["ExploreScreen"]

_WAITING_FPS = 60.0  # while an update is under way
_BUSY = "a comparison is running: exploring beside it would disturb it; e explores once it is over"


class ExploreScreen(LbenchScreen[None]):
    """A live picture that one backend at a time computes."""

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

    def __init__(self, exploring: ExploreState) -> None:
        super().__init__(name="explore")
        self.exploring = exploring
        self.maker = ExploreBoardBuilder(exploring)
        self._ready = False  # the parts are there
        self._arranged_for: object = None
        self._waited = False  # whether something was to come

    @property
    def own_feed(self) -> Feed | None:
        """The engine that we explore with; None: what the app shows is looked at."""
        return self.exploring.feed

    @property
    def live(self) -> bool:
        """Whether keys change what is computed."""
        return self.maker.live

    @property
    def scene(self) -> Scene:
        return self.maker.scene

    @property
    def at_work(self) -> bool:
        return self.maker.waits

    def compose(self) -> ComposeResult:
        """The panels. `places` lays them out."""
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
        """Start exploring, unless a record is shown."""
        self._ready = True
        self._arrange()
        self.query_one(ExplorePicture if self.scene.plane else Sliders).focus()
        self._quick = self.set_interval(1 / _WAITING_FPS, self.host.tick_if_taken, pause=True)
        if not self._looking_at_record():
            self._begin()

    def on_resize(self) -> None:
        self._arrange()
        self.call_after_refresh(self._fill if self.live else self._show)

    def _looking_at_record(self) -> bool:
        return not self.live and self.host.looks_at_explored

    @property
    def _blocked(self) -> bool:
        """Whether a comparison runs beside which nothing shall be explored."""
        host = self.host
        return not self.live and any(is_engine(feed) and feed.running for feed in (host.feed, host.set_aside))

    def _begin(self) -> None:
        """Start an engine and compute the scene."""
        if self._blocked:
            self.query_one(Answer).show([(_BUSY, "wrong")])
            return
        if self.exploring.feed is None or self.exploring.feed.over:
            try:
                self.exploring.close()
                self.exploring.feed = launched("stop")
            except LbenchError as error:
                self.query_one(Answer).show([(str(error), "wrong")])
                return
            self.maker.forget()
        self.refresh_bindings()
        self._arrange()
        self.call_after_refresh(self._fill)

    def _arrange(self) -> None:
        key = (self.size, len(self.scene.sliders), len(self.exploring.backends), self.live)
        if key == self._arranged_for:
            return
        self._arranged_for = key
        regions = places(
            *self.size,
            sliders=len(self.scene.sliders),
            backends=len(self.exploring.backends),
            replay=self._looking_at_record() and is_record(self.host.feed),  # an engine that still ends has no replay
        )
        for part in self.query(Lines):
            place = regions.get(part.id or "")
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
        plan = (scene or self.exploring.scene).plan(choice, *self.query_one(ExplorePicture).points)
        return self.exploring.limited(plan)

    def _changed(self, scene: Scene) -> None:
        """Show another scene and have it computed."""
        if not self.live or scene == self.exploring.scene:
            return
        self.exploring.scene = scene
        self._update()

    def _fill(self) -> None:
        """Have the scene computed for the size of the screen, unless that would end a comparison."""
        if self.exploring.comparing:
            self._quick.resume()
            self._show()
        else:
            self._update()

    def _update(self) -> None:
        feed = self.exploring.feed
        if feed is None:
            return
        if feed.over:
            self._begin()  # its engine has gone: another one computes the scene
            return
        self.maker.blocks = None
        self.exploring.want(self._plan())
        # After the keys that are there already: of those that came together, only the last is computed.
        self.call_later(self._send)

    def _send(self) -> None:
        if self.exploring.must_ask:
            self._ask_for_money()
        elif self.exploring.send(self.maker.warnings):
            self._quick.resume()
            self.maker.blocks = None
        self._show()

    def _ask_for_money(self) -> None:
        """Ask once, before the first update that AWS charges for. No takes `lambda` out."""
        from lbench.tui.screens.prompts import AskYes

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
        if not self._ready:
            return
        maker = self.maker
        if self.live:
            self.exploring.send(warnings_in(frame))
        if maker.take(frame, self.host.feed):
            self._arrange()
            self._show()
        run = maker.run
        if self.live and run is not None and run.ended is not None and run.ended.status == "ok":
            self.call_after_refresh(self.exploring.drawn, run)
        self._show_waiting()
        self.query_one(ReplayBar).show(frame)

    def _show_waiting(self) -> None:
        """Draw often while an update is awaited, and offer to cancel it."""
        waits = self.maker.waits
        if self.live and not waits:
            self._quick.pause()
        if waits != self._waited:
            self._waited = waits
            self.refresh_bindings()

    def _show(self) -> None:
        picture, strip = self.query_one(ExplorePicture), self.query_one(LatencyStrip)
        room = Room(picture.points, max(1, strip.room), self.size.width)
        board = self.maker.make(room)
        picture.show(board.blocks, board.window, board.shape, board.picture, board.progress, board.accent)
        self.query_one(Sliders).show(board.scene, "" if self.live else "as recorded")
        self.query_one(ExploreBackends).show(self.exploring.backends, board.label, board.tallies, board.basis)
        strip.show(board.updates, board.notes)
        self.query_one(Title).show(board.title, board.place)
        if self._blocked:
            self.query_one(Answer).show([(_BUSY, "wrong")])
        elif board.answer is not None:
            self.query_one(Answer).show(board.answer)

    # -- keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("pan", "zoom"):
            return self.live and self.scene.plane
        if action in ("less", "backend", "workload", "home", "step", "type_value", "compare_this"):
            return self.live
        if action == "stop_update":
            return self.at_work
        if action == "compare":
            return self.live and len(self.exploring.compared) > 1
        if action == "explore_here":
            return not self.live
        if action == "export_session":
            return self._source() is not None
        return True

    def action_pan(self, right: float, up: float) -> None:
        self._changed(self.exploring.scene.panned(right, up))

    def action_zoom(self, by: int) -> None:
        self._changed(self.exploring.scene.zoomed(by))

    def action_less(self, by: int) -> None:
        """Change iterations, clusters or trees."""
        scene = self.exploring.scene
        self._changed(scene.stepped(scene.main_slider(), by))

    def action_step(self, name: str, by: int) -> None:
        if name in self.exploring.scene.values:  # the panel may still show another workload
            self._changed(self.exploring.scene.stepped(name, by))

    def action_home(self) -> None:
        self._changed(self.exploring.scene.home())

    def action_workload(self) -> None:
        self.exploring.next_workload()
        self._arrange()
        self._show()
        self.refresh_bindings()
        self.query_one(ExplorePicture if self.exploring.scene.plane else Sliders).focus()
        self.call_after_refresh(self._fill)  # a comparison that was begun meanwhile goes on

    def action_backend(self, by: int) -> None:
        self.exploring.next_backend(by)
        self._update()

    def action_compare_this(self) -> None:
        """Include the current backend in the comparison, or not."""
        self.exploring.toggle()
        self.refresh_bindings()
        self._show()

    def action_compare(self) -> None:
        """Run the same interactions on each ticked backend."""
        if self.exploring.feed is not None and self.exploring.feed.over:
            self._begin()
        labels = [choice.label for choice in self.exploring.compared]
        steps = interleaved(sequence(self.exploring.scene), labels)
        self.maker.blocks = None
        self.exploring.want_script([scene for scene, _ in steps], [self._plan(scene, label) for scene, label in steps])
        self._send()

    def action_stop_update(self) -> None:
        if self.exploring.feed is not None:
            self.exploring.feed.command("cancel")

    def action_explore_here(self) -> None:
        """Explore on from a record, at the same scene."""
        if self.maker.recorded_scene is not None:
            self.exploring.scene = self.maker.recorded_scene
        self._begin()

    def action_type_value(self, name: str) -> None:
        from lbench.tui.screens.prompts import AskText

        scene = self.exploring.scene
        if name not in scene.values:
            return

        def take(text: str | None) -> None:
            if text is not None:
                self._changed(scene.read(name, text))

        self.app.push_screen(
            AskText(
                scene.slider(name).label,
                scene.typed(name),
                hint=scene.hint(name),
                check=lambda text: validate(self._plan(scene.read(name, text))),
                path=name == "data",
            ),
            take,
        )

    def _source(self) -> Path | None:
        feed = self.own_feed if self.live else self.host.feed
        return feed.source if is_record(feed) else feed.folder if is_engine(feed) else None

    def action_export_session(self) -> None:
        source = self._source()
        if source is not None:
            self.host.export(source, self._say)

    def _say(self, text: str, role: str) -> None:
        self.notify(text, severity="error" if role == "wrong" else "information")
