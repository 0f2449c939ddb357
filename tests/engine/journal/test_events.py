from __future__ import annotations

import json
import typing

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbench.engine.journal import events
from lbench.engine.journal.events import Dispatched, Returned, RunEnded, decode_event, encode_lines
from lbench.engine.model import ErrorInfo

# What a terminal would obey is spelled out when it is read: tests/test_control_characters.py.
_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Zl", "Zp")), max_size=20)
_SECONDS = st.floats(0, 1e6)


@settings(max_examples=60, deadline=None)
@given(st.builds(Returned, run=_TEXT, n=st.integers(0, 10**9), returned_s=_SECONDS, environment=st.none() | _TEXT,
                 compute_ms=st.none() | _SECONDS, log_tail=st.none() | _TEXT,
                 error=st.none() | st.builds(ErrorInfo, _TEXT, _TEXT, st.booleans())))  # fmt: skip
def test_an_event_comes_back_from_its_line_as_it_was(event):
    line = encode_lines([event])
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert decode_event(line) == event


@pytest.mark.parametrize("kind", typing.get_args(events.Event), ids=lambda kind: kind.__name__)
def test_every_kind_of_event_names_itself_first_and_is_public(kind):
    assert kind.__name__ in events.__all__
    fields = msgspec.structs.fields(kind)
    values = {field.name: _any_value(field.type) for field in fields if field.required}
    values |= {name: "2026-11-22T10:00:00Z" for name in ("created", "started") if name in values}
    line = encode_lines([kind(**values)])
    assert next(iter(json.loads(line))) == "event"
    assert decode_event(line) == kind(**values)


def _any_value(kind):
    known = {str: "x", int: 1, float: 1.5, bool: True, dict: {}}
    if kind in known:
        return known[kind]
    origin = typing.get_origin(kind)
    if origin is typing.Annotated:
        return _any_value(typing.get_args(kind)[0])
    if origin is typing.Literal:
        return typing.get_args(kind)[0]
    if origin in (dict, list):
        return origin()
    if origin is not None:  # X | None
        return None
    return kind(**{f.name: _any_value(f.type) for f in msgspec.structs.fields(kind) if f.required})


def test_what_is_not_known_takes_no_room():
    line = encode_lines([Returned(run="r1", n=0, status="cancelled", returned_s=1.0)])
    assert line == b'{"event":"returned","run":"r1","n":0,"status":"cancelled","returned_s":1.0}\n'


@pytest.mark.parametrize(
    "line",
    [b"", b"null", b'{"event":"other"}', b'{"event":"returned","run":"r1"}', b'{"event":"returned","run":1,"n":0}',
     b'{"run":"r1","n":0,"event":"returned","status":"odd","returned_s":1}',
     b'{"event":"stage_end","run":"r1","index":0,"at_s":1e300}'],
)  # fmt: skip
def test_a_line_that_is_no_event_is_refused(line):
    with pytest.raises(msgspec.MsgspecError):
        decode_event(line)


def test_a_later_lbench_may_add_fields():
    event = decode_event(b'{"event":"phase","text":"x","since":1}')
    assert event.text == "x"


def test_lone_surrogates_are_escaped_at_every_depth():
    ended = RunEnded("r1", "failed", None, None, error="caf\udce9")
    begun = Dispatched("r1", 0, 0, 0, 0, 0.0, 0.0)
    first, second = (decode_event(line) for line in encode_lines([begun, ended]).splitlines())
    assert first == begun
    assert second.error == "caf\\udce9"


@pytest.mark.parametrize("created", ["", "yesterday", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00"])
def test_an_invalid_time_is_refused(created, fakes):
    head = events.SessionStarted(id="s", name="s", created=created, lbench_version="0", environment=fakes.machine)
    with pytest.raises(msgspec.ValidationError, match="is not an ISO 8601 time"):
        decode_event(encode_lines([head]))


@pytest.mark.parametrize(
    "pricing",
    [{"max_usd": "much"}, {"rent_usd_per_hour": "1e3"}, {"bound_usd": 1}, {"rates": "NaN"}, {"rates": "1e99"}],
)
def test_money_that_is_no_plain_decimal_is_refused(pricing):
    rates = {"region": "r", "architecture": "a", "duration_gb_s_usd": pricing.get("rates", "1"), "request_usd": "1"}
    damaged = pricing | {"rates": rates | {"storage_gb_s_usd": "1"}}
    started = events.RunStarted("r1", "2026-11-22T10:00:00Z", None, {}, None, False, "", None, events.Pricing())
    line = json.dumps(json.loads(encode_lines([started])) | {"pricing": damaged}).encode()
    with pytest.raises(msgspec.ValidationError):
        decode_event(line)
