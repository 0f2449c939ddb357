"""Recordings in their authors' formats: other sizes and failed calls are read, what is none gets one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lbench.engine.simulation.recordings.__main__ import main
from lbench.engine.simulation.recordings.evaluate import evaluate

HEAD = "memory,type,exec_time"


def calls(*sizes: int, extra: str = "") -> str:
    """Calls of a function that waits 0.1 s and computes 0.2 s on a vCPU."""
    lines = [f"{size},warm,{1e6 * (0.1 + 0.2 * 1769 / size) + number}" for size in sizes for number in range(20)]
    return "\n".join([HEAD, *lines, extra]) + "\n"


def test_a_function_is_predicted_at_sizes_that_were_not_fitted(tmp_path: Path) -> None:
    (tmp_path / "sebs_503.csv").write_text(calls(256, 512, 1024, extra="512,warm,\n"), encoding="utf-8-sig")
    report = evaluate(tmp_path)
    (unseen,) = [one for one in report.figures["functions"] if not one.seen]
    assert unseen.what == "503, warm, 256 MB"
    assert abs(unseen.error) < 0.01
    (tmp_path / "sebs_503.csv").write_text(calls(256, 768))
    assert {one.seen for one in evaluate(tmp_path).figures["functions"]} == {True}


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("sebs_503.csv", "memory,type\n512,warm\n", "column exec_time is missing; there are memory, type"),
        ("sebs_503.csv", f"{HEAD}\n512,warm,soon\n", "line 2: memory, exec_time must be numbers"),
        ("sebs_503.csv", "\x00\x01", ""),
        ("ps_16t_warm.csv", "func,start\ngenerate,1\n", "column end is missing"),
        ("skyrise_net_1.json", '{"runs": [{"parameters": {}}]}', "'metrics' is missing"),
        ("skyrise_net_1.json", "[", "not a recording of Skyrise's network benchmark"),
        ("other.csv", "a\n1\n", "has no recordings that can be predicted"),
    ],
)
def test_a_file_that_is_no_recording_gets_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: str, line: str
) -> None:
    (tmp_path / name).write_text(content)
    assert main([str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert re.search(re.escape(line), message) and len(message.splitlines()) == 1
