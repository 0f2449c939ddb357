"""The state of exploring and its engine. It outlives the screen."""

from __future__ import annotations

import statistics
import time

import msgspec

from lbench.engine.backends import catalog
from lbench.engine.plan.parse import parse_backend
from lbench.engine.plan.plan import BackendChoice, Plan
from lbench.engine.session.view import RunView
from lbench.tui.explore.backends import Chosen
from lbench.tui.explore.metrics import Figures
from lbench.tui.explore.scene import SCENES, Scene
from lbench.tui.feeds.live import EngineFeed

__all__ = ["ExploreState"]

_LOCAL_FIRST = "processes"
_NOT_LIVE = ("simulated",)  # in virtual time: there is nothing to wait for
_LIMIT_USD = 1.0  # of an exploring on these, where none was set: a key held down spends without anybody counting


class ExploreState:
    """The scene, the backends, and an engine once something is computed.

    Only the newest request waits to be sent, and the engine keeps only the newest: held keys never queue up.
    """

    def __init__(self, plan: Plan) -> None:
        """`plan`: the Bench screen's; its backends and their settings are offered first."""
        self.scene: Scene = SCENES.get(plan.workload, SCENES["mandelbrot"])
        self._kept = dict(SCENES)  # each workload's scene as it was left
        self.backends = _offered(plan)
        names = [one.choice.label for one in self.backends]
        self.label = next((one.choice.label for one in self.backends if one.choice.name == _LOCAL_FIRST), names[0])
        self.figures = Figures()
        self.max_usd = plan.max_usd
        self.may_spend = False  # whether the person agreed to spend
        self.feed: EngineFeed | None = None
        self.generation = 0
        self.added_ms: list[float] = []  # what the screen added to each update, from the key to the drawn picture
        self._wanted: Plan | None = None
        self._script: list[Plan] | None = None
        self._steps: list[Scene] = []  # the scenes of the scripted sequence that was sent last
        self._pressed_s: float | None = None
        self.warned = 0  # warnings that the session had when something was last sent
        self.script_length = 0

    @property
    def choice(self) -> BackendChoice:
        return next(one.choice for one in self.backends if one.choice.label == self.label)

    @property
    def compared(self) -> list[BackendChoice]:
        """The backends that the scripted sequence runs on."""
        return [one.choice for one in self.backends if one.compared]

    def toggle(self) -> None:
        """Include the current backend in the comparison, or not."""
        self.backends = [Chosen(one.choice, one.compared != (one.choice.label == self.label)) for one in self.backends]

    def next_backend(self, by: int) -> None:
        labels = [one.choice.label for one in self.backends]
        self.label = labels[(labels.index(self.label) + by) % len(labels)]

    def next_workload(self) -> None:
        """Show the next workload as it was left, in place of all that was requested."""
        self._kept[self.scene.workload] = self.scene
        names = list(self._kept)
        self._wanted, self._script, self._steps, self.script_length = None, None, [], 0
        self.scene = self._kept[names[(names.index(self.scene.workload) + 1) % len(names)]]

    def limited(self, plan: Plan) -> Plan:
        """The plan with the spending limit of this exploring session."""
        return msgspec.structs.replace(plan, max_usd=self.limit_usd if _costs_money(plan) else self.max_usd)

    @property
    def limit_usd(self) -> float:
        return _LIMIT_USD if self.max_usd is None else self.max_usd

    @property
    def must_ask(self) -> bool:
        """Whether the request costs money and nobody has agreed."""
        wanted = [self._wanted] if self._wanted is not None else self._script or []
        return not self.may_spend and any(_costs_money(plan) for plan in wanted)

    def refuse(self) -> None:
        """Spend nothing: drop the request, and take backends that cost money out."""
        self._wanted = self._script = None
        self._steps = []
        self.backends = [
            Chosen(one.choice, one.compared and not catalog.is_paid(one.choice.name)) for one in self.backends
        ]
        if catalog.is_paid(self.choice.name):
            self.label = next(one.choice.label for one in self.backends if not catalog.is_paid(one.choice.name))

    # -- the engine

    @property
    def wants(self) -> bool:
        """Whether a request waits to be sent."""
        return self._wanted is not None or self._script is not None

    def want(self, plan: Plan) -> None:
        """Request a plan in place of all before."""
        self._wanted, self._script, self._steps = plan, None, []
        self._pressed_s = time.monotonic()

    def want_script(self, scenes: list[Scene], plans: list[Plan]) -> None:
        """Request plans to run one after the other; each shows its scene."""
        self._wanted, self._script, self._steps = None, plans, scenes
        self._pressed_s = None

    def send(self, warnings: int) -> bool:
        """Send the request if the engine listens. Returns whether one was sent."""
        if self.feed is None or not self.feed.listening or not self.wants or self.must_ask:
            return False
        self.generation += 1
        self.warned = warnings
        self.script_length = 0 if self._script is None else len(self._script)
        self.feed.explore([self._wanted] if self._wanted is not None else self._script or [], self.generation)
        self._wanted = self._script = None
        return True

    def scripted(self, run: RunView | None) -> Scene | None:
        """The scene of a step of the scripted sequence, while nothing has overtaken it."""
        interaction = None if run is None else run.planned.interaction
        if interaction is None or interaction.step is None or self.wants or interaction.generation != self.generation:
            return None
        return self._steps[interaction.step] if interaction.step < len(self._steps) else None

    def waits(self, run: RunView | None, warnings: int) -> bool:
        if self.wants:
            return True
        if self.feed is None or self.feed.over or not self.generation or warnings > self.warned:
            return False
        interaction = None if run is None else run.planned.interaction
        if run is None or interaction is None or interaction.generation != self.generation or run.ended is None:
            return True
        if interaction.step is None or run.ended.status == "cancelled":
            return False
        return interaction.step + 1 < self.script_length

    @property
    def comparing(self) -> bool:
        """Whether a scripted sequence is under way, or waits to be sent."""
        if self.feed is None or self.feed.over or self.wants or not self.script_length:
            return self._script is not None
        view = self.feed.view
        newest = next(reversed(view.runs.values()), None)
        return self.waits(newest, sum(warning.code == "explore" for warning in view.warnings))

    def drawn(self, run: RunView) -> None:
        """The newest run's picture is drawn: record the latency that the screen added."""
        interaction = run.planned.interaction
        if self._pressed_s is None or interaction is None:
            return
        if interaction.generation != self.generation or interaction.step is not None:
            return
        if run.makespan_s is not None and not run.planned.warmup:
            self.added_ms.append((time.monotonic() - self._pressed_s - run.makespan_s) * 1000)
            del self.added_ms[:-500]
        self._pressed_s = None

    def added(self) -> float | None:
        """The median latency that the screen added, ms."""
        return statistics.median(self.added_ms) if self.added_ms else None

    def close(self) -> None:
        """Close the engine. The session stays recorded."""
        feed, self.feed = self.feed, None
        self.figures, self.generation, self._pressed_s = Figures(), 0, None
        if feed is not None:
            feed.close()


def _costs_money(plan: Plan) -> bool:
    return any(catalog.is_paid(choice.name) for choice in plan.backends)


def _offered(plan: Plan) -> list[Chosen]:
    """The plan's backends, compared; then those of this machine that cost nothing, not compared."""
    chosen = {choice.name for choice in plan.backends}
    offered = [Chosen(choice, True) for choice in plan.backends if choice.name not in _NOT_LIVE]
    offered = offered or [Chosen(parse_backend(_LOCAL_FIRST, {}), True)]
    chosen |= {one.choice.name for one in offered}
    offered += [
        Chosen(parse_backend(name, {}), False)
        for name in catalog.names()
        if not (name in chosen or name in _NOT_LIVE or catalog.is_paid(name) or catalog.is_cluster(name))
    ]
    order = {name: number for number, name in enumerate(catalog.names())}
    return sorted(offered, key=lambda one: order[one.choice.name])
