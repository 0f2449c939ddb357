"""Which prices a run will be charged by, and the most that it can cost: known before it starts."""

from __future__ import annotations

import math
from decimal import Decimal

import msgspec

from lbench.config.prices import Rates, rates
from lbench.engine import cost, machine
from lbench.engine.backends import catalog
from lbench.engine.backends.placement import architecture_of, region_of
from lbench.engine.backends.settings import LambdaSettings
from lbench.engine.events import Pricing
from lbench.engine.hedging import most_hedges
from lbench.engine.plan import BackendChoice, Plan
from lbench.workloads.model import Limits

__all__ = ["bound_of", "pricing_of", "rates_of", "s3_each"]

# The most S3 requests of one attempt itself: the driver puts its arguments and gets its result, where they are large;
# the handler gets arguments and data set, and puts the result.
_PUT_EACH, _GET_EACH = 2, 3
_START_S = 60  # more than an environment's start takes


def bound_of(choice: BackendChoice, plan: Plan, limits: Limits) -> cost.Bound | None:
    """The most that one run on this backend can cost; None for a local one."""
    settings = msgspec.convert(choice.settings, catalog.settings_type(choice.name))
    if not isinstance(settings, LambdaSettings):
        return None
    attempts = 1 + plan.retries
    hedges = 0
    if plan.hedge is not None and limits.tasks is not None and not catalog.shares_machine(choice.name):
        hedges = most_hedges(limits.tasks)
    s3 = None
    if limits.tasks is not None and limits.s3_requests is not None:
        calls, own = limits.tasks * attempts + hedges, limits.s3_requests * attempts
        letters = calls if settings.transport == "event" else 0  # answers that come by S3
        s3 = {"put": calls * _PUT_EACH + letters + 1 + own, "get": calls * _GET_EACH + letters + own}  # 1: the data set
    return cost.bound_usd(
        rates_of(settings),
        tasks=limits.tasks,
        attempts=attempts,
        deadline_s=plan.timeout_s,
        memory_mb=settings.memory,
        s3_requests=s3,
        hedges=hedges,
    )


def rates_of(settings: LambdaSettings) -> Rates:
    """What is charged with these settings. A request through the HTTP API costs API Gateway's price as well, where known.

    Raises:
        InputError: a region without prices.
    """
    found = rates(region_of(settings), architecture_of(settings))
    front = found.http_api_request_usd
    if settings.transport != "http-api" or front is None:
        return found
    return msgspec.structs.replace(found, request_usd=found.request_usd + front)


def s3_each(choice: BackendChoice, plan: Plan, limits: Limits) -> dict[str, int]:
    """The S3 requests that one attempt can cause at most: its transport's, and as far as is known its task's own."""
    own = limits.s3_requests or 0 if limits.s3_each is None else limits.s3_each
    settings = msgspec.convert(choice.settings, catalog.settings_type(choice.name))
    put, get = _requests_each(settings, plan)
    return {"put": put + own, "get": get + own}


def _requests_each(settings: msgspec.Struct, plan: Plan) -> tuple[int, int]:
    """PUTs (LISTs cost the same) and GETs of an attempt itself, at most."""
    if not isinstance(settings, LambdaSettings) or settings.transport != "event":
        return _PUT_EACH, _GET_EACH
    # A letter is put and got; its listings come once a second, and ten times before and after it in quick succession.
    return _PUT_EACH + 1 + 10 + math.ceil(plan.timeout_s) + _START_S, _GET_EACH + 1


def _not_in_it(settings: LambdaSettings) -> list[str]:
    if settings.transport == "event":
        return ["s3: the listings that look for answers (up to 20 a second, each at a PUT's price) are in no bound"]
    if settings.transport != "http-api":
        return []
    if rates_of(settings).http_api_request_usd is None:
        return [f"requests: no price of API Gateway's for {region_of(settings)}"]
    return ["requests: API Gateway counts a payload above 512 KB as several requests; here it is one"]


def pricing_of(choice: BackendChoice, plan: Plan, limits: Limits) -> Pricing:
    """What the journal records about prices when a run starts."""
    bound = bound_of(choice, plan, limits)
    if bound is None:
        rent = cost.machine_rent(machine.usable_cores(), machine.memory_bytes(), 3600.0)
        return Pricing(rent_usd_per_hour=cost.usd_text(rent.usd), rent_basis=rent.description)
    settings = msgspec.convert(choice.settings, catalog.settings_type(choice.name))
    assert isinstance(settings, LambdaSettings)
    return Pricing(
        rates=rates_of(settings),
        memory_mb=settings.memory,
        bound_usd=None if bound.usd is None else cost.usd_text(bound.usd),
        max_usd=None if plan.max_usd is None else cost.usd_text(Decimal(str(plan.max_usd))),
        unpriced=[*bound.left_out, *_not_in_it(settings)],
        deadline_s=plan.timeout_s,
    )
