"""Which prices a run will be charged by, and the most that it can cost: known before it starts."""

from __future__ import annotations

import msgspec

from lbench.config import manifest
from lbench.config.prices import rates
from lbench.engine import cost, machine
from lbench.engine.backends.base import Backend
from lbench.engine.backends.settings import EmulatedSettings
from lbench.engine.events import Pricing
from lbench.engine.plan import BackendChoice, Plan
from lbench.workloads.model import Limits

__all__ = ["bound_of", "host_architecture", "pricing_of"]


def host_architecture() -> str:
    """Lambda's name for the architecture of this machine."""
    return manifest.host_architecture() or "x86_64"


def bound_of(choice: BackendChoice, plan: Plan, limits: Limits) -> cost.Bound | None:
    """The most that one run on this backend can cost; None for a local one."""
    if choice.name != "emulated":
        return None
    # The data set is put once, and each attempt may get its arguments and data and put its result.
    settings = msgspec.convert(choice.settings, EmulatedSettings)
    attempts = 1 + plan.retries
    s3 = None
    if limits.tasks is not None and limits.s3_requests is not None:
        own = limits.tasks * attempts * 2 + 1
        s3 = {"put": own + limits.s3_requests, "get": own + limits.s3_requests}
    return cost.bound_usd(
        rates(settings.region, settings.arch or host_architecture()),
        tasks=limits.tasks,
        attempts=attempts,
        deadline_s=plan.timeout_s,
        memory_mb=settings.memory,
        s3_requests=s3,
    )


def pricing_of(choice: BackendChoice, backend: Backend, plan: Plan, limits: Limits) -> Pricing:
    """What the journal records about prices when a run starts."""
    bound = bound_of(choice, plan, limits)
    if bound is None:
        rent = cost.machine_rent(machine.usable_cores(), machine.memory_bytes(), 3600.0)
        return Pricing(rent_usd_per_hour=cost.usd_text(rent.usd), rent_basis=rent.description)
    settings = msgspec.convert(choice.settings, EmulatedSettings)
    return Pricing(
        rates=rates(settings.region, settings.arch or host_architecture()),
        memory_mb=settings.memory,
        bound_usd=None if bound.usd is None else cost.usd_text(bound.usd),
        unpriced=list(bound.left_out),
        deadline_s=plan.timeout_s,
    )
