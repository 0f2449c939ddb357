"""Actions of every screen: open a session, control a replay, help, export, colours, the command palette."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual import work
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.command import CommandPalette
from textual.dom import DOMNode
from textual.notifications import SeverityLevel
from textual.screen import Screen

from lbench.errors import LbenchError, visible
from lbench.tui.background_errors import FaultsEnd
from lbench.tui.feeds.feed import EngineControls, Feed, is_engine, is_record
from lbench.tui.host import Say
from lbench.tui.screens.bench import BenchScreen
from lbench.tui.theme import DARK, LIGHT
from lbench.tui.widgets.replay import REPLAY_BINDINGS, ReplayBar

if TYPE_CHECKING:
    from lbench.engine.session.view import SessionView
    from lbench.tui.explore.state import ExploreState

__all__ = ["COMMAND_BINDINGS", "Commands"]

COMMAND_BINDINGS: list[BindingType] = [
    *REPLAY_BINDINGS,
    Binding("2", "go('scaling')", "scaling"),
    Binding("3", "go('explore')", "explore"),
    Binding("4", "go('sessions')", "sessions"),
    Binding("5", "go('compare')", "compare"),
    Binding("ctrl+t", "switch_theme", "light or dark", show=False),
]
_STEP = 0.02  # of the record's length
_FAR = 0.1


class Commands(FaultsEnd, App[int]):
    """The half of the app that knows the other screens."""

    feed: Feed
    problem: str | None
    set_aside: EngineControls | None = None  # an engine of ours that is at work while a record is shown
    bench: BenchScreen
    compared: list[Path]  # the sessions that the Compare screen shows
    unsaved: dict[Path, SessionView]  # by folder: sessions in memory that the disk had no room for
    _switching: asyncio.Lock

    @property
    def shown(self) -> Feed:
        """The feed of the screen in sight."""
        raise NotImplementedError

    @property
    def in_sight(self) -> Screen[Any] | None:
        """The screen on top, but for a question or the command palette, which lie over what goes on; None: left."""
        return next((one for one in reversed(self.screen_stack) if not one.is_modal), None)

    @property
    def exploring(self) -> ExploreState:
        raise NotImplementedError

    def tick(self) -> None:
        raise NotImplementedError

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = False,
    ) -> None:
        """Show a note, always as plain text: it names files and values, which may hold brackets and control characters."""
        super().notify(visible(message), title=title, severity=severity, timeout=timeout, markup=False)

    # -- sessions

    def open_session(self, folder: Path, part: int | None = None) -> None:
        """Show a session on the Bench screen: follow an engine at work, else show one comparison of the record."""
        from lbench.engine.journal.lock import is_live
        from lbench.tui.feeds.replay import RecordedFeed
        from lbench.tui.launch import attached

        aside = self.set_aside
        own = is_engine(self.feed) and self.feed.folder == folder and not self.feed.over
        if own and is_engine(self.feed) and self.feed.running:
            pass
        elif own:  # it is idle, and is left: what it has measured can be replayed
            self.show_feed(RecordedFeed.of(folder, part=part))
        elif aside is not None and aside.folder == folder and not aside.over:
            self.set_aside = None
            self.show_feed(aside)
        else:
            self.show_feed(attached(folder) if is_live(folder) else RecordedFeed.of(folder, part=part))
        self.call_later(self.action_go, "bench")

    def keep_unsaved(self, feed: Feed | None) -> None:
        """Keep what the disk did not take of a session that is left, to write it elsewhere in the end."""
        if is_engine(feed) and feed.folder is not None and (view := feed.unsaved_view) is not None:
            self.unsaved[feed.folder] = view

    def show_feed(self, feed: Feed) -> None:
        """Replace the feed. An engine at work is set aside."""
        old, self.feed = self.feed, feed
        self.problem = None
        if is_engine(old) and old.running:
            self.set_aside = old
        elif old is not feed:
            self.keep_unsaved(old)
            old.close()
        self.refresh_bindings()

    # -- a replay

    def action_replay(self, what: str) -> None:
        feed = self.feed
        if not is_record(feed):
            return
        match what:
            case "toggle":
                feed.toggle()
            case "slower" | "faster":
                feed.faster(1 if what == "faster" else -1)
            case "first" | "last":
                feed.go_to(0.0 if what == "first" else feed.length_s)
            case _:
                far = _FAR if what.startswith("far") else _STEP
                feed.step(far if what.endswith("on") else -far)
        self.tick()
        if not (getattr(self.focused, "id", None) or "").startswith("timeline"):  # there, the arrows choose a task
            for bar in self.screen.query(ReplayBar):
                bar.focus()

    def action_replay_to(self, at_s: float) -> None:
        if is_record(self.feed):
            self.feed.go_to(at_s)
            self.tick()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        screen = self.in_sight
        if screen is None:
            return True
        bench = screen is self.bench
        if action in ("replay", "replay_to"):
            return is_record(self.feed) and (bench or (screen.name == "explore" and self.shown is self.feed))
        if action in ("pause", "cancel"):
            return is_engine(self.feed) and self.feed.running
        if action == "go":
            return bool(screen.name != (parameters or ("",))[0])
        if action == "help":
            return bool(screen.name != "help")
        if action == "focus_next" and bench:
            return len(screen.focus_chain) > 1
        if action in ("set_up", "sweep"):
            return bench
        if action == "export" and bench:
            return self._exported is not None
        return super().check_action(action, parameters)

    # -- export

    @property
    def _exported(self) -> Path | None:
        """The folder or document of the session shown."""
        feed = self.feed
        return feed.source if is_record(feed) else feed.folder if is_engine(feed) else None

    def action_export(self) -> None:
        if (source := self._exported) is not None:
            self.export(source, self._say_on_bench)

    def _say_on_bench(self, text: str, role: str) -> None:
        self.notify(text, severity="error" if role == "wrong" else "information")

    def export(self, source: Path, say: Say) -> None:
        """Ask for a file and write the session in `source` to it. `say` is given the outcome."""
        from lbench.config.folders import typed_path
        from lbench.tui.export import check_target, proposed  # heavy, and not for the first frame
        from lbench.tui.screens.prompts import AskText, AskYes

        def named(text: str | None) -> None:
            if not text:
                return
            path = typed_path(text)
            if path.exists():
                self.push_screen(
                    AskYes(f"{path} is there already: write over it?"), lambda yes: go(text) if yes else None
                )
            else:
                go(text)

        def go(text: str) -> None:
            say(f"writing {text}", "quiet")
            self._export(source, text, say)

        hint = "ends in .json (everything) or .csv (one row per invocation)"
        ask = AskText(f"export {source.name} to", proposed(source), hint=hint, check=check_target, path=True)
        self.push_screen(ask, named)

    @work(thread=True, group="export", exit_on_error=False)
    def _export(self, source: Path, text: str, say: Say) -> None:
        from lbench.tui.export import export

        feed = self.feed
        view = feed.unsaved_view if is_engine(feed) and feed.folder == source else None
        if is_record(feed) and feed.source == source and feed.gone:
            view = feed.whole_view
        try:
            outcome, role = export(source, text, view), "text"
        except LbenchError as error:
            outcome, role = f"✘ {error}", "wrong"
        self.call_from_thread(say, outcome, role)

    # -- copies

    def copy_out(self, text: str, what: str) -> None:
        """Copy by OSC 52. Not every terminal takes it, so the text is kept in a file, too, which the note names."""
        from lbench.config.folders import cache_folder

        self.copy_to_clipboard(text)
        note = f"the {what} was copied"
        with contextlib.suppress(OSError, LbenchError):
            path = cache_folder("copied") / f"{what}.txt"
            path.write_text(text, encoding="utf-8")
            note += f"; if your terminal ignores OSC 52: {path}"
        self.notify(note)

    # -- screens and colours

    async def action_go(self, screen: str) -> None:
        """Switch to another screen: one switch at a time."""
        async with self._switching:
            while len(self.screen_stack) > 1 and self.screen is not self.bench:
                await self.pop_screen()
            if not self.screen_stack:
                return  # the app was left meanwhile
            if screen == "sessions":
                from lbench.tui.screens.sessions import SessionsScreen

                await self.push_screen(SessionsScreen())
            elif screen == "scaling":
                from lbench.tui.screens.scaling import ScalingScreen

                await self.push_screen(ScalingScreen())
            elif screen == "compare":
                from lbench.tui.screens.compare import CompareScreen

                await self.push_screen(CompareScreen(self.compared))
            elif screen == "explore":
                from lbench.tui.screens.explore import ExploreScreen

                await self.push_screen(ExploreScreen(self.exploring))

    def action_help(self) -> None:
        from lbench.tui.screens.help import HelpScreen

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(self.screen))

    def action_command_palette(self) -> None:
        """Open the palette, unless it is open already: it may lie under another screen, or be going just now."""
        if not any(isinstance(node, CommandPalette) for node in self._nodes):
            from lbench.tui.screens.palette import Palette

            self.push_screen(Palette(id="--command-palette"))

    def action_switch_theme(self) -> None:
        self.theme = LIGHT.name if self.theme == DARK.name else DARK.name

    def get_system_commands(self, screen: Screen[Any]) -> Iterator[SystemCommand]:
        """The commands of the palette: this screen's keys that do something now."""
        offered = {active.binding.action for active in screen.active_bindings.values() if active.enabled}
        seen: set[str] = set()
        for node in (screen, self):
            for binding in type(node).__dict__.get("BINDINGS", ()):
                name = binding.tooltip or binding.description
                if binding.action in offered and name and name not in seen:
                    seen.add(name)
                    yield SystemCommand(name, f"key {self.get_key_display(binding)}", self._runs(binding.action, node))

    def _runs(self, action: str, node: DOMNode) -> Callable[[], None]:
        def run() -> None:
            self.call_later(self.run_action, action, node)

        return run
