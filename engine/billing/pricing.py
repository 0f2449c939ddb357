"""The prices of a run and its upper bound, before it starts."""

from __future__ import annotations

import math
from decimal import Decimal

import msgspec

from lbench.config.limits import limits as lambda_limits
from lbench.config.prices import Rates, rates
from lbench.engine.backends import catalog
from lbench.engine.backends.region import architecture_of, region_of
from lbench.engine.backends.settings import (
    AwsSettings,
    ClusterSettings,
    DaskSettings,
    LambdaSettings,
    ServedSettings,
)
from lbench.engine.cost import charges as cost
from lbench.engine.cost.format import usd_text
from lbench.engine.cost.rent import machine_rent, rent_usd
from lbench.engine.machine import fingerprint as machine
from lbench.engine.model import Pricing
from lbench.engine.plan.function import is_function
from lbench.engine.plan.plan import BackendChoice, Plan, settings_of
from lbench.engine.plan.policy import most_hedges
from lbench.workloads.model import Limits

__all__ = ["bound_of", "is_marked", "pricing_of", "rates_of", "s3_each"]

# The most S3 requests of one attempt itself: the driver puts its arguments and gets its result, where they are large;
# the handler gets arguments and data set, and puts the result.
_PUT_EACH, _GET_EACH = 2, 3
_START_S = 60  # more than an environment's start takes


def bound_of(choice: BackendChoice, plan: Plan, limits: Limits, ephemeral_mb: int | None = None) -> cost.Bound | None:
    """The most that one run on this backend can cost; None for a local one.

    Args:
        choice: the backend.
        plan: with its deadline and attempts.
        limits: the most that its job asks for.
        ephemeral_mb: the size of /tmp of what is deployed; None: not known yet, or the free 512.
    """
    settings = settings_of(choice)
    if not isinstance(settings, LambdaSettings):
        return None
    attempts = 1 + plan.retries
    hedges = 0
    if plan.hedge is not None and limits.tasks is not None and catalog.hedges(choice.name):
        hedges = most_hedges(limits.tasks)
    s3 = None
    if limits.tasks is not None and limits.s3_requests is not None:
        calls, own = limits.tasks * attempts + hedges, limits.s3_requests * attempts
        letters = calls if settings.transport == "event" else 0  # answers that come by S3
        s3 = {"put": calls * _PUT_EACH + letters + 1 + own, "get": calls * _GET_EACH + letters + own}  # 1: the data set
    bound = cost.bound_usd(
        rates_of(settings),
        tasks=limits.tasks,
        attempts=attempts,
        deadline_s=plan.timeout_s,
        memory_mb=settings.memory,
        ephemeral_mb=ephemeral_mb,
        s3_requests=s3,
        hedges=hedges,
        printed_bytes=lambda_limits().log_tail_max_bytes + (_print_limit(settings, plan) or 0),
        marked=is_marked(settings, plan),
    )
    return msgspec.structs.replace(bound, left_out=(*bound.left_out, *_not_in_it(settings, plan, ephemeral_mb)))


def rates_of(settings: LambdaSettings) -> Rates:
    """The prices for these settings. A request through the HTTP API costs API Gateway's price as well, where known.

    Raises:
        InputError: a region without prices.
    """
    found = rates(region_of(settings), architecture_of(settings))
    front, assumed = found.http_api_request_usd, found.assumed
    if settings.transport != "http-api" or front is None:
        unused = {name: region for name, region in assumed.items() if name != "http_api_request_usd"}
        return msgspec.structs.replace(found, assumed=unused)
    if "http_api_request_usd" in assumed:
        assumed = {"request_usd": assumed["http_api_request_usd"], **assumed}
    return msgspec.structs.replace(found, request_usd=found.request_usd + front, assumed=assumed)


def s3_each(choice: BackendChoice, plan: Plan, limits: Limits) -> dict[str, int]:
    """The S3 requests that one attempt can cause at most: its transport's, and as far as is known its task's own."""
    own = limits.s3_requests or 0 if limits.s3_each is None else limits.s3_each
    settings = settings_of(choice)
    put, get = _requests_each(settings, plan)
    return {"put": put + own, "get": get + own}


def is_marked(settings: msgspec.Struct, plan: Plan) -> bool:
    """Whether each call carries a mark that the handler writes to the log: lbench's own handler, on AWS."""
    return isinstance(settings, AwsSettings) and not is_function(plan)


def _requests_each(settings: msgspec.Struct, plan: Plan) -> tuple[int, int]:
    """PUTs (LISTs cost the same) and GETs of an attempt itself, at most."""
    if not isinstance(settings, LambdaSettings) or settings.transport != "event":
        return _PUT_EACH, _GET_EACH
    # A letter is put and got; its listings come once a second, and ten times before and after it in quick succession.
    return _PUT_EACH + 1 + 10 + math.ceil(plan.timeout_s) + _START_S, _GET_EACH + 1


def _print_limit(settings: LambdaSettings, plan: Plan) -> int | None:
    """The bytes of log that a task can fill; None: nothing limits what a user's function prints, or nothing prints."""
    return None if is_function(plan) or not isinstance(settings, ServedSettings) else settings.print_limit


def _not_in_it(settings: LambdaSettings, plan: Plan, ephemeral_mb: int | None) -> list[str]:
    gaps = []
    if is_function(plan):
        gaps.append("logs: what the function prints")
    if isinstance(settings, AwsSettings):
        gaps.append("s3: requests sent again after a lost connection")  # those that S3 itself fails are free
        if ephemeral_mb is None:
            gaps.append("storage: /tmp above 512 MB, if deployed so")
    if settings.transport == "event":
        gaps.append("s3: the listings that look for answers (up to 20 a second, each at a PUT's price)")
        gaps.append("duration: an event that Lambda itself delivers twice")  # "at least once", its documentation says
    elif settings.transport == "http-api":
        gaps.append("requests: API Gateway counts a payload above 512 KB as several requests; here it is one")
    return gaps


def pricing_of(
    choice: BackendChoice, plan: Plan, limits: Limits, ephemeral_mb: int | None = None, workers: int | None = None
) -> Pricing:
    """What the journal records about prices when a run starts; the arguments are those of `bound_of`.

    `workers`: how many a cluster has when the run starts.
    """
    settings = settings_of(choice)
    if isinstance(settings, ClusterSettings) and (priced := _cluster_pricing(settings, workers)) is not None:
        return priced
    bound = bound_of(choice, plan, limits, ephemeral_mb)
    if bound is None:
        rent = machine_rent(machine.usable_cores(), machine.memory_bytes())
        hourly = rent_usd(rent.hourly_usd, 3600.0)
        return Pricing(rent_usd_per_hour=usd_text(hourly), rent_basis=rent.description, unpriced=_store_gap(settings))
    assert isinstance(settings, LambdaSettings)
    return Pricing(
        rates=rates_of(settings),
        memory_mb=settings.memory,
        bound_usd=None if bound.usd is None else usd_text(bound.usd),
        max_usd=None if plan.max_usd is None else usd_text(Decimal(str(plan.max_usd))),
        unpriced=list(bound.left_out),
        ephemeral_mb=lambda_limits().ephemeral_min_mb if ephemeral_mb is None else ephemeral_mb,
        deadline_s=plan.timeout_s,
        marked=is_marked(settings, plan),
        print_limit_bytes=_print_limit(settings, plan),
    )


def _cluster_pricing(settings: ClusterSettings, workers: int | None) -> Pricing | None:
    """The price of a cluster as it was given; None: it is this machine, whose rent is known."""
    if settings.usd_per_hour is None:
        here = isinstance(settings, DaskSettings) and settings.starts_cluster
        return None if here else Pricing(unpriced=["no price: usd_per_hour= was not given", *_store_gap(settings)])
    each = Decimal(str(settings.usd_per_hour))
    count = workers or 0
    basis = f"{count} worker{'s' * (count != 1)} at ${usd_text(each)} an hour each (usd_per_hour=), idle time included"
    return Pricing(
        rent_usd_per_hour=usd_text(each * count),
        worker_usd_per_hour=usd_text(each),
        rent_basis=basis,
        unpriced=_store_gap(settings),
    )


def _store_gap(settings: msgspec.Struct) -> list[str]:
    """What of a cluster's `store=` has no amount."""
    in_s3 = isinstance(settings, ClusterSettings) and (settings.store or "").startswith("s3://")
    return ["s3: requests and storage of store= have no price here"] if in_s3 else []
