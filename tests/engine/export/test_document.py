from __future__ import annotations

import json
import re

import jsonschema
import msgspec
import pytest

from lbench.config.prices import rates
from lbench.engine.export.document import document, encode_document
from lbench.engine.export.schema import session_schema
from lbench.engine.journal.events import (
    JOURNAL_VERSION,
    Answered,
    Dispatched,
    EnvironmentSeen,
    Returned,
    RunEnded,
    RunPlanned,
    RunStarted,
    SessionEnded,
    SessionStarted,
    StageEnded,
    StageStarted,
    Warned,
)
from lbench.engine.machine.fingerprint import Environment, fingerprint
from lbench.engine.model import Answer, DataInfo, Document, Driver, ErrorInfo, LambdaEnvironment, Pricing
from lbench.engine.session.view import fold

_BOOM = ErrorInfo("Boom", "it went wrong", True)
_STATUSES = ("ok", "error", "throttled", "timeout", "cancelled", None)


def session(backend="emulated", status="ok", environment=None, data=None, billed=True):
    """One run with an invocation of every status; nothing is known of it but what must be."""
    pricing = Pricing()
    if backend == "emulated":
        pricing = Pricing(rates=rates("us-east-1", "x86_64"), memory_mb=512, bound_usd="0.000001", deadline_s=60.0)
    yield SessionStarted(
        "id", "name", "2026-01-01T00:00:00.000+00:00", "0", environment or Environment(), "lbench.journal",
        JOURNAL_VERSION,
    )  # fmt: skip
    yield RunPlanned("r1", "probe", {"kind": "noop"}, 1, backend, "a label", "emulated", 0, False, "isolated", None)
    yield RunStarted("r1", "2026-01-01T00:00:01.000+00:00", 0.25, {"concurrency": 2}, None, False, "d", None, pricing,
                     data=data)  # fmt: skip
    yield StageStarted("r1", 0, len(_STATUSES), 0.0)
    for n, ending in enumerate(_STATUSES):
        yield Dispatched("r1", n, 0, n, 0, 0.0, 0.5, None)
        if ending is not None:
            bad = ending not in ("ok", "cancelled")
            ms = 3 if billed and ending in ("ok", "error", "timeout") else None
            yield Returned("r1", n, ending, 1.5, error=_BOOM if bad else None, log_tail="END" if bad else None,
                           billed_ms=ms, billed_source="report" if ms else None)  # fmt: skip
    if status == "ok":
        yield StageEnded("r1", 0, 1.5)
    yield EnvironmentSeen("r1", LambdaEnvironment("e1"))
    if status is not None:
        driver = Driver(0.1, 0.01, 0.01, 0.0, None, None)
        yield RunEnded("r1", status, 1.5 if status == "ok" else None, driver, None if status == "ok" else "why")
    if status == "ok":
        yield Answered("r1", Answer(True, "equal", "d", {"accuracy": 0.5}))
    yield Warned("unsteady", "few repeats", "r1")
    yield SessionEnded(status == "ok")


def exported(**fields):
    return json.loads(encode_document(document(fold(session(**fields)))))


@pytest.mark.parametrize("status", ["ok", "failed", "cancelled", None])
@pytest.mark.parametrize("backend", ["processes", "emulated"])
def test_every_document_is_valid_against_the_schema(backend, status):
    data = DataInfo("loans.csv", "d", 3, 2, 100, ["1 row dropped"])
    content = exported(backend=backend, status=status, environment=fingerprint(), data=data)
    jsonschema.Draft202012Validator(session_schema()).validate(content)


def test_the_schema_refuses_what_is_no_session():
    content = exported()
    content["runs"][0]["cost"]["usd"] = "1e-7"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(session_schema()).validate(content)


def test_a_document_comes_back_as_it_was():
    made = document(fold(session()))
    assert msgspec.json.decode(encode_document(made), type=Document) == made


def test_all_fields_of_the_contract_are_there():
    content = exported(data=DataInfo("g", "d", 1, 1, 1))
    run = content["runs"][0]
    assert {"format", "version", "id", "name", "tags", "created", "lbench_version", "complete", "environment", "runs",
            "warnings"} <= set(content)  # fmt: skip
    assert set(
        [
            "id",
            "workload",
            "params",
            "seed",
            "tasks",
            "backend",
            "label",
            "origin",
            "backend_settings",
            "transport",
            "oversubscribed",
            "data",
            "code_digest",
            "package_digest",
            "repeat",
            "warmup",
            "schedule",
            "overlaps",
            "sweep",
            "status",
            "error",
            "started",
            "setup_s",
            "makespan_s",
            "answer",
            "driver",
            "cost",
            "stages",
            "environments",
            "machine_samples",
            "invocations",
        ]
    ) <= set(run)
    assert set(
        [
            "stage",
            "task",
            "attempt",
            "hedge_of",
            "environment",
            "cold",
            "status",
            "queued_s",
            "dispatched_s",
            "started_s",
            "finished_s",
            "returned_s",
            "connect_ms",
            "init_ms",
            "fetch_ms",
            "compute_ms",
            "billed_ms",
            "billed_source",
            "memory_mb",
            "max_memory_mb",
            "request_bytes",
            "response_bytes",
            "via_s3",
            "usd",
            "request_id",
            "log_tail",
            "error",
        ]
    ) <= set(run["invocations"][0])
    assert set(["cpu_s", "encode_s", "decode_s", "merge_s", "loop_lag_p99_ms", "loop_lag_max_ms"]) <= set(run["driver"])
    assert set(["usd", "bound_usd", "items", "region", "architecture", "price_date", "price_source"]) <= set(
        run["cost"]
    )
    assert set(["requests", "duration", "storage", "transfer", "s3", "logs", "machine_rent"]) <= set(
        run["cost"]["items"]
    )
    assert {"source", "digest", "rows", "columns", "bytes"} <= set(run["data"])
    assert {"code", "text", "run"} <= set(content["warnings"][0])


def test_an_invocation_tells_how_it_ended_and_why():
    invocations = exported()["runs"][0]["invocations"]
    assert [invocation["status"] for invocation in invocations] == list(_STATUSES)
    for invocation in invocations:
        bad = invocation["status"] in ("error", "throttled", "timeout")
        assert (invocation["error"] is not None) == bad
        assert (invocation["log_tail"] is not None) == bad


def test_what_was_not_measured_is_null_and_never_0():
    run = exported(backend="processes", billed=False)["runs"][0]
    known = {"stage", "task", "attempt", "status", "queued_s", "dispatched_s", "returned_s", "error", "log_tail"}
    for invocation in run["invocations"]:
        for name, value in invocation.items():
            assert name in known or value is None, (name, value)
    assert run["driver"]["loop_lag_p99_ms"] is None
    assert all(value is None for name, value in run["environments"][0].items() if name != "id")
    assert run["cost"]["usd"] is None
    assert run["data"] is None and run["transport"] is None and run["package_digest"] is None
    assert all(value in (None, {}) for value in exported()["environment"].values())


def test_a_run_without_an_end_has_no_makespan_no_driver_and_no_answer():
    view = fold(session(status=None))
    view.engine_gone()
    run = json.loads(encode_document(document(view)))["runs"][0]
    assert run["status"] == "interrupted"
    assert run["makespan_s"] is run["driver"] is run["answer"] is None
    assert run["stages"][0]["finished_s"] is None


def test_a_run_that_failed_has_no_makespan_but_its_cost():
    run = exported(status="failed")["runs"][0]
    assert run["makespan_s"] is None and run["error"] == "why"
    assert run["cost"]["usd"] is not None


def test_money_is_plain_decimal_text():
    run = exported()["runs"][0]
    cost = {**run["cost"]["items"], "usd": run["cost"]["usd"], "bound_usd": run["cost"]["bound_usd"]}
    texts = [text for text in cost.values() if text is not None]
    texts += [invocation["usd"] for invocation in run["invocations"] if invocation["usd"] is not None]
    assert len(texts) >= 7
    for text in texts:
        assert isinstance(text, str) and re.fullmatch(r"\d+(\.\d*[1-9])?", text), text
    assert cost["bound_usd"] == "0.000001"
