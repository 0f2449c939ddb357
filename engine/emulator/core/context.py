"""State that all environments of one emulator share."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from lbench.engine.emulator.core.faults import Weather
from lbench.engine.emulator.core.sandbox import Sandbox
from lbench.engine.emulator.core.spec import EmulatorConfig
from lbench.engine.emulator.core.throttles import Limits
from lbench.engine.emulator.resources.confinement import Confinement
from lbench.engine.emulator.resources.scratch import Scratch

__all__ = ["Shared"]


@dataclass(slots=True)
class Shared:
    """The emulator's shared state."""

    config: EmulatorConfig
    limits: Limits
    scratch: Scratch
    confinement: Confinement
    sandbox: Sandbox
    weather: Weather | None = None  # None: no injected faults
    numbers: itertools.count[int] = field(default_factory=itertools.count)  # of processes, for the guardian's marks
