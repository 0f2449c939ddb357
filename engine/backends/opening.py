"""From a choice in a plan to a backend that can be opened; what each kind needs is imported only here."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from lbench.engine import machine
from lbench.engine.backends import catalog
from lbench.engine.backends.settings import LambdaSettings, LocalSettings, SequentialSettings

if TYPE_CHECKING:
    from lbench.engine.backends.base import Backend
    from lbench.engine.plan import BackendChoice, Plan

__all__ = ["open_backend"]


def open_backend(choice: BackendChoice, plan: Plan) -> Backend:
    """The backend of a plan's choice, not yet opened (`async with` opens it)."""
    settings = msgspec.convert(choice.settings, catalog.settings_type(choice.name))
    cores = machine.usable_cores()
    if isinstance(settings, LambdaSettings):
        from lbench.engine.backends.emulated import open_emulated

        return open_emulated(settings, usable_cores=cores, memory_bytes=machine.memory_bytes(), preload=plan.workload)
    from lbench.engine.backends.local import open_local

    assert isinstance(settings, LocalSettings | SequentialSettings)
    return open_local(choice.name, settings, max(1, math.floor(cores)), preload=plan.workload)
