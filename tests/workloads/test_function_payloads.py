"""The events of `function`: from a text, a file, or a file with one a line; used in turn, and no more often than asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lbench.errors import InputError
from lbench.workloads import registry
from lbench.workloads.function import FunctionParams
from lbench.workloads.function.job import INVOKE, WORKLOAD
from lbench.workloads.function.payloads import LARGEST_BYTES, check_payloads, read_payloads
from lbench.workloads.model import StageResults, Task


@pytest.mark.parametrize(
    ("name", "content", "events"),
    [
        ("event.json", '{\n "a": 1\n}\n', [b'{\n "a": 1\n}']),
        ("events.jsonl", '{"a": 1}\n\n[2]\n"three"\n', [b'{"a": 1}', b"[2]", b'"three"']),
        ("events.json", '{"a": 1}\n{"a": 2}\n', [b'{"a": 1}', b'{"a": 2}']),
        ("one.jsonl", "{}", [b"{}"]),
        ("number.json", "1", [b"1"]),
        ("mark.json", "\ufeff{}", [b"{}"]),
        ("mark.jsonl", "\ufeff{}\r\n[]\r\n", [b"{}", b"[]"]),
    ],
)
def test_a_file_is_one_event_or_one_event_a_line(name: str, content: str, events: list[bytes], tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    assert read_payloads(f"@{tmp_path / name}") == events


def test_a_file_in_utf16_is_sent_in_utf8(tmp_path: Path) -> None:
    (tmp_path / "event.json").write_bytes('{"ä": 1}'.encode("utf-16"))
    assert read_payloads(f"@{tmp_path / 'event.json'}") == ['{"ä": 1}'.encode()]


def test_a_text_is_the_event_itself() -> None:
    assert read_payloads('{"a": 1}') == [b'{"a": 1}'] and read_payloads("{}") == [b"{}"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no event"),
        (b" \n\n", "holds no event"),
        (b"{", "standard input, line 1, column 2: invalid JSON"),
        (b"{}\n{\n", "line 2, column 2: invalid JSON"),
        (b'"' + b"x" * LARGEST_BYTES + b'"', "must be at most 6,291,456 bytes for Lambda"),
        (b"\xff\xfe", "holds no event"),
        (b'{"s": "caf\xe9"}', "line 1, column 11: byte 0xe9 is not UTF-8"),
        (b'{\n  "records": [\n    {"id": 1},\n  ]\n}\n', "line 4, column 3: invalid JSON: trailing comma in array"),
        (b'{"a": 1}\r\n{"s": "\xff"}\r\n', "line 2, column 8: byte 0xff is not UTF-8"),
        (b"{'a': 1}", "line 1, column 2: invalid JSON: object keys must be strings"),
        (b'{"a": NaN}', "line 1, column 7: invalid JSON"),
        (b"// a remark\n{}", "line 1, column 1: invalid JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"\xff\xfe\xff", "is not UTF-16, as its byte order mark says"),
    ],
    ids=range(14),
)
def test_an_invalid_event_is_reported_with_its_place(content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        check_payloads(content, "standard input")
    assert "standard input" in str(caught.value)


def test_a_file_without_an_event_is_refused() -> None:
    with pytest.raises(InputError, match="holds no event"):
        check_payloads(b"\n \n", "standard input", lines=True)


@pytest.mark.parametrize("device", ["/dev/null", "/dev/zero"])
def test_a_device_or_a_pipe_is_not_read(device: str) -> None:
    with pytest.raises(InputError, match=r"the file cannot be read \(not a regular file\)"):
        read_payloads(f"@{device}")


def tasks_of(stage: list[Task]) -> list[bytes]:
    assert {task.function for task in stage} == {INVOKE}
    return [task.arguments["payload"] for task in stage]


def test_events_are_used_in_turn_and_there_is_no_answer(tmp_path: Path) -> None:
    (tmp_path / "e.jsonl").write_text("1\n2\n")
    job = WORKLOAD.job(FunctionParams(name="f", payload=f"@{tmp_path / 'e.jsonl'}", invocations=5), None)
    assert tasks_of(next(job)) == [b"1", b"2", b"1", b"2", b"1"]
    with pytest.raises(StopIteration) as end:
        job.send([True] * 5)
    assert end.value.value is None


def forced(samples: Any, invocations: int, places: int) -> list[int]:
    """The sizes of the batches."""
    job = WORKLOAD.job(FunctionParams(name="f", invocations=invocations, force_cold=True, allow_update=True), None)
    sizes, stage = [], next(job)
    while True:
        sizes.append(len(stage))
        results = StageResults([samples() for _ in stage], elapsed_s=1.0, task_s=None, overhead_s=None, places=places)
        try:
            stage = job.send(results)
        except StopIteration as end:
            assert end.value is None
            return sizes


def test_a_batch_is_as_large_as_the_number_of_places() -> None:
    assert forced(lambda: True, 10, 4) == [1, 4, 4, 1]


def test_discarded_calls_are_repeated_within_a_bound() -> None:
    answers = iter([False, True, False, True, True, True, True])
    assert sum(forced(lambda: next(answers), 4, 2)) == 6
    assert sum(forced(lambda: False, 4, 2)) == 12


def test_the_limit_counts_calls_that_may_be_repeated() -> None:
    forced = FunctionParams(name="f", invocations=10, force_cold=True, allow_update=True)
    assert [
        (limits.tasks, limits.sure) for limits in (WORKLOAD.limits(FunctionParams(name="f")), WORKLOAD.limits(forced))
    ] == [
        (100, True),
        (30, False),
    ]


def test_it_is_listed_apart_from_workloads_that_compute() -> None:
    assert "function" in registry.all_names() and "function" not in registry.names()
    assert not registry.has_answer("function") and registry.has_answer("probe") and registry.has_answer("./mine.py:job")
