"""A session recorded before documents had prices, S3 counts and memory peaks still opens."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import jsonschema
import pytest

from lbench.engine.export.document import document, encode_document, read_document
from lbench.engine.export.document_events import document_events
from lbench.engine.export.schema import session_schema
from lbench.engine.session.view import fold, load_journal

RECORDED = Path(__file__).with_name("version_1")
JOURNAL, DOCUMENT = RECORDED / "events.jsonl", RECORDED / "session.json"


def as_json(made):
    return json.loads(encode_document(made))


def without_later_fields(content):
    for name in ("comparisons", "predictions", "explanations", "sweeps", "tuning"):
        assert content.pop(name) is None
    assert content["environment"].pop("variables") == {}
    for run in content["runs"]:
        for name in ("cold", "round", "pricing", "s3", "worker_s", "cold_repeat", "usage", "paused"):
            del run[name]
        for name in ("quantities", "assumed"):
            del run["cost"][name]
        for sample in run["machine_samples"]:
            assert sample.pop("swapped_bytes") is None and sample.pop("throttled_periods") is None
        for invocation in run["invocations"]:
            assert invocation.pop("peak_rss_mb") is None and invocation.pop("batch") is None
            assert invocation.pop("printed_bytes") is None
    return content


def test_an_old_journal_gives_the_document_that_it_gave_then():
    content = without_later_fields(as_json(document(load_journal(JOURNAL))))
    then = json.loads(DOCUMENT.read_bytes())
    for run in (*content["runs"], *then["runs"]):  # today's text says of how many invocations the prints are not known
        run["cost"]["estimated"] = [text for text in run["cost"]["estimated"] if not text.startswith("logs:")]
    assert content | {"warnings": then["warnings"]} == then  # the analysis adds its own


def test_an_old_document_is_read_whole_and_fits_the_schema():
    old = json.loads(DOCUMENT.read_bytes())
    jsonschema.Draft202012Validator(session_schema()).validate(old)
    read = read_document(DOCUMENT)
    assert read.runs[1].pricing is None and read.runs[1].s3 is None and read.comparisons is None
    assert as_json(read)["runs"][1]["invocations"][0].items() >= old["runs"][1]["invocations"][0].items()


def test_an_old_document_replays_with_its_bill():
    old = read_document(DOCUMENT).runs[1].cost
    replayed = document(fold(document_events(DOCUMENT))).runs[1].cost
    assert old is not None and replayed is not None
    assert replayed.items.duration == old.items.duration and replayed.items.requests == old.items.requests
    assert float(replayed.items.s3) == pytest.approx(float(old.items.s3), abs=5e-7)  # by whole GETs


def test_a_document_of_today_replays_with_the_bill_of_its_journal(tmp_path):
    made = document(load_journal(JOURNAL))
    path = tmp_path / "session.json"
    path.write_bytes(encode_document(made))
    replayed = document(fold(document_events(path)))
    assert [run.cost for run in replayed.runs] == [run.cost for run in made.runs]
    assert [run.pricing for run in replayed.runs] == [run.pricing for run in made.runs]
    assert [run.s3 for run in replayed.runs] == [run.s3 for run in made.runs]
    s3 = made.runs[1].s3
    assert s3 is not None and s3.put > 0 and s3.bytes > 0 and s3.hours > 0


def test_prices_in_a_document_are_plain_decimals():
    rates = as_json(document(load_journal(JOURNAL)))["runs"][1]["pricing"]["rates"]
    assert rates["request_usd"] == "0.0000002" and Decimal(rates["duration_gb_s_usd"]) == Decimal("0.0000166667")
