"""An exported document suffices to compute every amount of its money again, with `decimal` alone."""

from __future__ import annotations

import json
from decimal import Decimal, localcontext
from pathlib import Path

import pytest

from lbench.config.prices import rates
from lbench.engine.billing.bill import run_bill
from lbench.engine.export.document import document, encode_document
from lbench.engine.journal.events import (
    JOURNAL_VERSION,
    Dispatched,
    Event,
    Returned,
    RunEnded,
    RunPlanned,
    RunStarted,
    SessionStarted,
    StageStarted,
)
from lbench.engine.machine.fingerprint import Environment
from lbench.engine.model import Pricing
from lbench.engine.session.view import SessionView, fold, load_journal

OLD = Path(__file__).parents[1] / "session/version_1/events.jsonl"
GIB = 1024**3


def session(pricing: Pricing) -> SessionView:
    events: list[Event] = [
        SessionStarted("s", "s", "2026-11-22T10:00:00Z", "0", Environment(), "lbench.journal", JOURNAL_VERSION),
        RunPlanned("r1", "probe", {}, 1, "emulated", "e", "emulated", 0, False, "isolated", 4),
        RunStarted("r1", "2026-11-22T10:00:00Z", 0.5, {}, "direct", False, "d", None, pricing),
        StageStarted("r1", 0, 4, 0.0),
    ]
    for n, status in enumerate(("ok", "error", "cancelled", "ok")):
        events.append(Dispatched("r1", n, 0, n, 0, 0.0, float(n)))
        returned = Returned(
            "r1", n, "ok", n + 1.5, billed_ms=700 + n, cold=n == 0, response_bytes=12345, printed_bytes=99
        )
        returned.s3_put, returned.s3_get, returned.s3_bytes = 2, 3, 1 << 20
        if status != "ok":
            returned.status, returned.billed_ms = status, None  # type: ignore[assignment]
        events.append(returned)
    return fold([*events, RunEnded("r1", "ok", 6.25, None, s3_put=1)])


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1", "me-south-1"])
@pytest.mark.parametrize("ephemeral_mb", [512, 10_240])
def test_every_item_follows_from_the_documents_quantities_and_prices(region: str, ephemeral_mb: int) -> None:
    pricing = Pricing(rates=rates(region, "arm64"), memory_mb=1769, ephemeral_mb=ephemeral_mb, marked=True)
    view = session(pricing)
    (run,) = json.loads(encode_document(document(view)))["runs"]
    assert run["cost"]["items"] == computed(run) and run["cost"]["unpriced"] == []
    assert Decimal(run["cost"]["usd"]) == sum(Decimal(usd) for usd in run["cost"]["items"].values() if usd is not None)
    assert run["cost"]["usd"] == f"{run_bill(view.runs['r1']).usd:f}".rstrip("0")
    assert (run["cost"]["quantities"]["s3_put"], run["cost"]["quantities"]["s3_get"]) == (9, 12)


def test_so_do_those_of_an_older_journal() -> None:
    for run in json.loads(encode_document(document(load_journal(OLD))))["runs"]:
        if run["cost"]["quantities"] is not None:
            assert run["cost"]["items"] == computed(run)


def computed(run: dict[str, dict[str, dict[str, str]]]) -> dict[str, str | None]:
    """The items by the formulas of the schema."""
    count = {name: Decimal(value) for name, value in run["cost"]["quantities"].items()}
    price = {name: Decimal(usd) for name, usd in run["pricing"]["rates"].items() if name.endswith("_usd") and usd}
    with localcontext() as context:
        context.prec = 60
        seconds = count["billed_ms"] / 1000
        stored = price["s3_storage_gb_month_usd"] * count["s3_byte_s"] / GIB / 2_592_000
        items = {
            "requests": count["requests"] * price["request_usd"],
            "duration": seconds * count["memory_mb"] / 1024 * price["duration_gb_s_usd"],
            "storage": seconds * count["storage_mb"] / 1024 * price["storage_gb_s_usd"],
            "transfer": count["transfer_bytes"] / GIB * price["transfer_gb_usd"],
            "s3": count["s3_put"] * price["s3_put_usd"]
            + count["s3_get"] * price["s3_get_usd"]
            + stored.quantize(Decimal("1e-18"), rounding="ROUND_CEILING"),
            "logs": count["log_bytes"] / GIB * price["logs_gb_usd"],
        }
        texts = {name: f"{usd:f}" for name, usd in items.items()}
    plain = {name: text.rstrip("0").rstrip(".") if "." in text else text for name, text in texts.items()}
    return {name: plain[name] or "0" for name in plain} | {"machine_rent": None}
