"""Every form of REPORT that Lambda is known to have written is read; nothing that imitates one is believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbench.engine.backends.lambda_.report_line import Report, last_report, parse_line

# Real lines from public files (2019 to 2026), by the number under which they were collected.
LINES = {
    1: (
        b"REPORT RequestId: .........6c09f5\tDuration: 2.14 ms\tBilled Duration: 100 ms \tMemory Siz"
        b"e: 1024 MB\tMax Memory Used: 18 MB\t"
    ),
    2: (
        b"REPORT RequestId: 76269889-7d50-4d6d-a3f1-9b4f5322f47c\tDuration: 14.97 ms\tBilled Duratio"
        b"n: 15 ms\tMemory Size: 128 MB\tMax Memory Used: 67 MB\t\n"
    ),
    3: (
        b"REPORT RequestId: 32f5cbf1-dd22-422a-a566-8965da5a3465\tDuration: 8.40 ms\tBilled Duration"
        b": 9 ms\tMemory Size: 128 MB\tMax Memory Used: 66 MB\tInit Duration: 170.13 ms\t"
    ),
    4: (
        b"REPORT RequestId: 2e61afe8-1d2c-4a67-9858-6d4ea8ba49f0\tDuration: 7192.17 ms\tBilled Durat"
        b"ion: 7200 ms\tMemory Size: 128 MB\tMax Memory Used: 80 MB\tInit Duration: 163.01 ms\t"
    ),
    5: (
        b"REPORT RequestId: 426db50d-3478-40e9-99b4-e515012f47ef\tDuration: 1.57 ms\tBilled Duration"
        b": 490 ms\tMemory Size: 128 MB\tMax Memory Used: 81 MB\tInit Duration: 487.97 ms"
    ),
    6: (
        b"REPORT RequestId: 72e452af-9de0-4b81-94d4-203b311e345d\tDuration: 8959.28 ms\tBilled Durat"
        b"ion: 10163 ms\tMemory Size: 4096 MB\tMax Memory Used: 159 MB\tInit Duration: 1202.75 ms\t"
    ),
    7: (
        b"REPORT RequestId: cc98d7d8-bd6d-4de2-8c36-2b565485b61d\tDuration: 276.68 ms\tBilled Durati"
        b"on: 889 ms\tMemory Size: 512 MB\tMax Memory Used: 90 MB\tInit Duration: 611.77 ms\t\nXRAY "
        b"TraceId: 1-68f7d85d-0f0bfbbe2ab8f94854bf83a8\tSegmentId: 9c54e4124923ee8f\tSampled: true\t"
        b"\n"
    ),
    8: (
        b"REPORT RequestId: 8d5958b5-559f-43f3-b278-b71dd7dd0e01\tDuration: 2.46 ms\tBilled Duration"
        b": 417 ms\tMemory Size: 1024 MB\tMax Memory Used: 95 MB\tInit Duration: 413.61 ms\t\nXRAY T"
        b"raceId: 1-6ac7c67a-1c0aa43118a5d54708c0da61\tSegmentId: 2d54219895e821dd\tSampled: true"
    ),
    9: (
        b"REPORT RequestId: 054d8776-b852-42f6-a1a6-752552daea41\tDuration: 600000.00 ms\tBilled Dur"
        b"ation: 600000 ms\tMemory Size: 1024 MB\tMax Memory Used: 1024 MB\tStatus: timeout\nXRAY Tr"
        b"aceId: 1-6ac7d63f-0104e99861c65c8039f183da\tSegmentId: 7c4eb6a6d56f2a27\tSampled: true"
    ),
    10: (
        b"REPORT RequestId: 1f60b20c-8ed7-41ed-9945-08dcafcc74ee\tDuration: 3000.00 ms\tBilled Durat"
        b"ion: 3403 ms\tMemory Size: 128 MB\tMax Memory Used: 73 MB\tInit Duration: 402.04 ms\tStatu"
        b"s: timeout"
    ),
    11: (
        b"REPORT RequestId: 806ab12b-e660-4a4a-8d9a-eee01e457f98\tDuration: 376256.59 ms\tBilled Dur"
        b"ation: 376257 ms\tMemory Size: 10239 MB\tMax Memory Used: 10239 MB\tInit Duration: 551.73 "
        b"ms\tStatus: error\tError Type: Runtime.OutOfMemory"
    ),
    12: (
        b"REPORT RequestId: fa4e6a1f-083b-573d-ace2-090d2b00a3ac  Duration: 6954.19 ms  Billed Durat"
        b"ion: 6955 ms  Memory Size: 1024 MB  Max Memory Used: 1023 MB  Status: error  Error Type: R"
        b"untime.OutOfMemory"
    ),
    13: (
        b"REPORT RequestId: b771fecc-1b53-4faf-922d-1d74357b1676\tDuration: 306.34 ms\tBilled Durati"
        b"on: 610 ms\tMemory Size: 3009 MB\tMax Memory Used: 155 MB\tRestore Duration: 511.25 ms\tBi"
        b"lled Restore Duration: 303 ms\t"
    ),
    14: (
        b"REPORT RequestId: 24addd09-6e64-49fb-b187-94ba9b60b59a Duration: 127.10 ms Billed Duration"
        b": 154 ms Memory Size: 2048 MB Max Memory Used: 212 MB Restore Duration: 325.93 ms Billed R"
        b"estore Duration: 26 ms XRAY TraceId: 1-66d978e5-56c7378e556e94b5461da07c SegmentId: 29c383"
        b"9e6ecb5895 Sampled: true"
    ),
    15: (
        b"REPORT RequestId: 5b866fb1-7154-4af6-8078-6ef6ca4c2ddd Duration: 133.61 ms Billed Duration"
        b": 214 ms Memory Size: 128 MB Max Memory Used: 31 MB Init Duration: 80.00 ms Status: error "
        b"Error Type: Runtime.ExitError"
    ),
    16: (
        b"REPORT RequestId: a597fb7c-1e97-495b-87fb-e490e48a23de\tInit Duration: 3.02 ms\tDuration: "
        b"675.96 ms\tBilled Duration: 676 ms\tMemory Size: 3008 MB\tMax Memory Used: 3008 MB"
    ),
    17: (b"INIT_REPORT Init Duration: 154.03 ms\tPhase: init\tStatus: error\tError Type: Runtime.ExitError"),
    18: b"INIT_REPORT Init Duration: 3003.83 ms   Phase: invoke   Status: timeout",
    19: b"INIT_REPORT Init Duration: 9999.10ms Status: timeout",
    20: (
        b"INIT_START Runtime Version: python:3.12.mainlinev2.v18\tRuntime Version ARN: arn:aws:lambd"
        b"a:us-east-1::runtime:9819e0b13863c84a43e11f5c724871d909046d3cfb807eeb19460c63f974f26f"
    ),
    21: (
        b'{"time":"2026-10-08T07:30:29.470Z","type":"platform.report","record":{"requestId":"79b5e81'
        b'f-9cdd-4145-b1f6-7c50ef8a2a36","metrics":{"durationMs":1233.96,"billedDurationMs":1698,"me'
        b'morySizeMB":256,"maxMemoryUsedMB":123,"initDurationMs":463.512},"status":"success"}}'
    ),
    22: (
        b'{"time":"2024-06-17T17:23:55.826Z","type":"platform.report","record":{"requestId":"40f6c62'
        b'2-67a3-4159-97f2-ce364a0cb7a8","metrics":{"durationMs":18.593,"billedDurationMs":19,"memor'
        b'ySizeMB":2048,"maxMemoryUsedMB":246},"status":"success"}}'
    ),
    23: (
        b'{"time":"2026-07-09T06:05:50.581Z","type":"platform.report","record":{"requestId":"aec7a52'
        b'9-47f9-4090-be01-c9ed91bf83cf","metrics":{"durationMs":5000.0,"billedDurationMs":5000,"mem'
        b'orySizeMB":128,"maxMemoryUsedMB":94},"status":"timeout"}}'
    ),
}


def first(number: int) -> Report | None:
    return parse_line(LINES[number].split(b"\n")[0])


def report(request_id: str | None, **values: object) -> Report:
    return Report(request_id, **values)  # type: ignore[arg-type]


EXPECTED = {
    1: report(".........6c09f5", duration_ms=2.14, billed_ms=100, memory_mb=1024, max_memory_mb=18),
    2: report(
        "76269889-7d50-4d6d-a3f1-9b4f5322f47c",
        duration_ms=14.97,
        billed_ms=15,
        memory_mb=128,
        max_memory_mb=67,
    ),
    3: report(
        "32f5cbf1-dd22-422a-a566-8965da5a3465",
        duration_ms=8.40,
        billed_ms=9,
        memory_mb=128,
        max_memory_mb=66,
        init_ms=170.13,
    ),
    4: report(
        "2e61afe8-1d2c-4a67-9858-6d4ea8ba49f0",
        duration_ms=7192.17,
        billed_ms=7200,
        memory_mb=128,
        max_memory_mb=80,
        init_ms=163.01,
    ),
    5: report(
        "426db50d-3478-40e9-99b4-e515012f47ef",
        duration_ms=1.57,
        billed_ms=490,
        memory_mb=128,
        max_memory_mb=81,
        init_ms=487.97,
    ),
    6: report(
        "72e452af-9de0-4b81-94d4-203b311e345d",
        duration_ms=8959.28,
        billed_ms=10163,
        memory_mb=4096,
        max_memory_mb=159,
        init_ms=1202.75,
    ),
    7: report(
        "cc98d7d8-bd6d-4de2-8c36-2b565485b61d",
        duration_ms=276.68,
        billed_ms=889,
        memory_mb=512,
        max_memory_mb=90,
        init_ms=611.77,
    ),
    8: report(
        "8d5958b5-559f-43f3-b278-b71dd7dd0e01",
        duration_ms=2.46,
        billed_ms=417,
        memory_mb=1024,
        max_memory_mb=95,
        init_ms=413.61,
    ),
    9: report(
        "054d8776-b852-42f6-a1a6-752552daea41",
        duration_ms=600000.0,
        billed_ms=600000,
        memory_mb=1024,
        max_memory_mb=1024,
        status="timeout",
    ),
    10: report(
        "1f60b20c-8ed7-41ed-9945-08dcafcc74ee",
        duration_ms=3000.0,
        billed_ms=3403,
        memory_mb=128,
        max_memory_mb=73,
        init_ms=402.04,
        status="timeout",
    ),
    11: report(
        "806ab12b-e660-4a4a-8d9a-eee01e457f98",
        duration_ms=376256.59,
        billed_ms=376257,
        memory_mb=10239,
        max_memory_mb=10239,
        init_ms=551.73,
        status="error",
        error_type="Runtime.OutOfMemory",
    ),
    12: report(
        "fa4e6a1f-083b-573d-ace2-090d2b00a3ac",
        duration_ms=6954.19,
        billed_ms=6955,
        memory_mb=1024,
        max_memory_mb=1023,
        status="error",
        error_type="Runtime.OutOfMemory",
    ),
    13: report(
        "b771fecc-1b53-4faf-922d-1d74357b1676",
        duration_ms=306.34,
        billed_ms=610,
        memory_mb=3009,
        max_memory_mb=155,
        restore_ms=511.25,
        billed_restore_ms=303,
    ),
    14: report(
        "24addd09-6e64-49fb-b187-94ba9b60b59a",
        duration_ms=127.10,
        billed_ms=154,
        memory_mb=2048,
        max_memory_mb=212,
        restore_ms=325.93,
        billed_restore_ms=26,
    ),
    15: report(
        "5b866fb1-7154-4af6-8078-6ef6ca4c2ddd",
        duration_ms=133.61,
        billed_ms=214,
        memory_mb=128,
        max_memory_mb=31,
        init_ms=80.0,
        status="error",
        error_type="Runtime.ExitError",
    ),
    16: report(
        "a597fb7c-1e97-495b-87fb-e490e48a23de",
        duration_ms=675.96,
        billed_ms=676,
        memory_mb=3008,
        max_memory_mb=3008,
        init_ms=3.02,
    ),
    17: report(None, init_ms=154.03, phase="init", status="error", error_type="Runtime.ExitError"),
    18: report(None, init_ms=3003.83, phase="invoke", status="timeout"),
    19: report(None, init_ms=9999.10, status="timeout"),
    20: None,  # INIT_START: no report
    21: report(
        "79b5e81f-9cdd-4145-b1f6-7c50ef8a2a36",
        duration_ms=1233.96,
        billed_ms=1698,
        memory_mb=256,
        max_memory_mb=123,
        init_ms=463.512,
    ),
    22: report(
        "40f6c622-67a3-4159-97f2-ce364a0cb7a8",
        duration_ms=18.593,
        billed_ms=19,
        memory_mb=2048,
        max_memory_mb=246,
    ),
    23: report(
        "aec7a529-47f9-4090-be01-c9ed91bf83cf",
        duration_ms=5000.0,
        billed_ms=5000,
        memory_mb=128,
        max_memory_mb=94,
        status="timeout",
    ),
}


@pytest.mark.parametrize("number", sorted(LINES))
def test_real_line_is_read(number: int) -> None:
    assert first(number) == EXPECTED[number]


@pytest.mark.parametrize("number", [n for n, line in LINES.items() if b"REPORT RequestId" in line or n > 20])
def test_a_report_is_found_in_the_tail_among_what_the_application_wrote(number: int) -> None:
    expected = EXPECTED[number]
    assert expected is not None and expected.request_id is not None
    name = expected.request_id.encode()
    imitation = (
        b"cut off at the front\nREPORT RequestId: " + name + b"\tDuration: 1.00 ms\tBilled Duration: 1 ms\n"
        b"REPORT RequestId: somebody-else\tDuration: 2.00 ms\tBilled Duration: 2 ms\n"
        b'{"type":"platform.report","record":{"requestId":"' + name + b'","metrics":{"billedDurationMs":3}}}\n'
        b"the function says REPORT RequestId: " + name + b"\n"
    )
    assert last_report(imitation + LINES[number] + b"\n", expected.request_id) == expected


def test_the_last_report_is_the_true_one_whatever_forms_are_mixed() -> None:
    name = "79b5e81f-9cdd-4145-b1f6-7c50ef8a2a36"
    text = b"REPORT RequestId: " + name.encode() + b"\tDuration: 1.00 ms\tBilled Duration: 1 ms\t\n"
    assert last_report(text + LINES[21], name) == EXPECTED[21]
    found = last_report(LINES[21] + b"\n" + text, name)
    assert found is not None and found.billed_ms == 1


def test_a_report_of_another_request_is_not_taken() -> None:
    assert last_report(LINES[2], "another") is None
    assert last_report(LINES[21], "another") is None
    assert last_report(LINES[2], None) == EXPECTED[2]


@given(st.binary(max_size=300) | st.text(max_size=100).map(lambda t: b"REPORT RequestId: " + t.encode()))
def test_no_log_breaks_the_reader(tail: bytes) -> None:
    last_report(tail, "x")
    last_report(tail, None)


NAME = "79b5e81f-9cdd-4145-b1f6-7c50ef8a2a36"
TEXT = (
    f"REPORT RequestId: {NAME}\tDuration: %s ms\tBilled Duration: %s ms\tMemory Size: 128 MB\tMax Memory Used: 9 MB\t"
)
JSON = (
    f'{{"time":"2026-10-08T07:30:29.470Z","type":"platform.report","record":{{"requestId":"{NAME}","metrics":'
    '{"durationMs":%s,"billedDurationMs":%s,"memorySizeMB":128,"maxMemoryUsedMB":9},"status":"success"}}'
)
END = f"END RequestId: {NAME}"

FORGERIES = {
    "the same request": TEXT % ("1", "1"),
    "the same request, JSON": JSON % ("1", "1"),
    "another request": (TEXT % ("1", "1")).replace(NAME, "somebody-else"),
    "no number": TEXT % ("x", "x"),
    "a huge number": JSON % ("1e400", "1e400"),
    "half a line": (TEXT % ("1", "1"))[:60],
    "with an end of its own": f"{END}\n{TEXT % ('1', '1')}\nXRAY TraceId: 1-2-3\tSegmentId: 4\tSampled: true",
    "JSON in JSON": '{"message":%r}' % (JSON % ("1", "1")),
    "deep JSON": '{"type":"platform.report","record":' + "[" * 3000,
    "unfinished": 'x {"time":',
    "bytes": "\x00\ufffd\r",
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES)
@pytest.mark.parametrize("true", [f"{END}\n{TEXT % ('6.1', '7')}\n", f"{JSON % ('6.1', '7')}\n"], ids=["text", "JSON"])
@pytest.mark.parametrize("glue", ["\n", ""], ids=["lines", "no end of line"])
def test_what_imitates_a_report_is_not_believed_beside_the_true_one(forgery: str, true: str, glue: str) -> None:
    found = last_report((forgery + glue + true).encode()[-4096:], NAME)
    assert found is not None and (found.billed_ms, found.memory_mb, found.max_memory_mb) == (7, 128, 9)


@given(
    noise=st.lists(st.sampled_from([*FORGERIES.values(), "a line\n" * 50, "é" * 2000, ""])).map("\n".join),
    form=st.sampled_from([f"{END}\n{TEXT % ('6.1', '7')}\n", f"{JSON % ('6.1', '7')}\n"]),
    kept=st.integers(min_value=400, max_value=4096),
)
def test_a_tail_that_begins_in_the_middle_of_a_line_ends_with_the_true_report(noise: str, form: str, kept: int) -> None:
    found = last_report((noise + "\n" + form).encode()[-kept:], NAME)
    assert found is not None and found.billed_ms == 7


@pytest.mark.parametrize("form", [TEXT % ("6.1", "7"), JSON % ("6.1", "7")], ids=["text", "JSON"])
def test_a_report_that_is_cut_off_itself_is_none(form: str) -> None:
    for cut in range(1, len(form)):
        assert last_report(form[cut:].encode(), NAME) is None
