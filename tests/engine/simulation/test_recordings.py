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
        ("sebs_503.csv", f"{HEAD}\n0,warm,5\n", "line 2: memory must be at least 1, got 0"),
        ("sebs_503.csv", f"{HEAD}\n512,warm,-5\n", "line 2: exec_time must be at least 0, got -5"),
        ("x.csv", "Invocations,DeltaT,WarmContainers\n1,-1,1\n", "line 2: DeltaT must be at least 0, got -1"),
        ("x.csv", "ArrivalRate,ColdStartProbability\n0,0.1\n", "line 2: ArrivalRate must be at least 1e-09, got 0"),
        ("sebs_503.csv", "\x00\x01", ""),
        ("ps_16t_warm.csv", "func,start\ngenerate,1\n", "column end is missing"),
        ("skyrise_net_1.json", '{"runs": [{"parameters": {}}]}', "'metrics' is missing"),
        ("skyrise_net_1.json", "[", "not a recording of Skyrise's network benchmark"),
        ("other.csv", "a\n1\n", "no recordings that can be predicted"),
    ],
)
def test_a_file_that_is_no_recording_gets_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: str, line: str
) -> None:
    (tmp_path / name).write_text(content)
    assert main([str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert re.search(re.escape(line), message) and len(message.splitlines()) == 1


def flows(width: int, cold: str = "False") -> str:
    """Ten workflows: a call of 10 ms, then so many of a second, 5 ms apart."""
    lines = ["func,start,end,is_cold,request_id"]
    for flow in range(10):
        lines.append(f"generate,0,0.01,{cold},r{flow}")
        lines += [
            f"process,{0.1 + flow / 1000 + n / 200},{1.1 + flow / 1000 + n / 200},{cold},r{flow}" for n in range(width)
        ]
    return "\n".join(lines)


RECORDED = {  # of each kind, and a figure that must come out
    "functions": (calls(512, 1024, 2048), "x, warm, 2048 MB"),
    "payloads, warm": (
        "payload_size,connection_time,invocation_time,is_cold\n"
        + "\n".join(f"{size},0.3,{0.2 + size / 1e6},0" for size in (1000, 1e6, 2e6, 4e6) for _ in range(3)),
        "2 MB",
    ),
    "environments left after a pause, share of cases within half an environment": (
        "Invocations,DeltaT,WarmContainers\n8,1,8\n8,380,4\n8,760,2",
        "x",
    ),
    "fan-outs of Step Functions, makespan": (flows(4), "4 calls, warm"),
    "map-reduce, makespan": (
        "func,start,end,is_cold,request_id\n"
        + "\n".join(
            f"{stage},{place},{place + 0.9},False,r{flow}"
            for flow in range(4)
            for place, stage in enumerate(("split", "map", "shuffle", "reduce"))
        ),
        "x",
    ),
    "fan-out of Lithops": (
        "task,cold,submit_s,worker_start_s,status_seen_s,exec_s,gflops\n"
        + "\n".join(f"{n},true,0,0.3,11.0,10.0,19" for n in range(20)),
        "20 calls, makespan",
    ),
    "S3, 512 MB a call": (
        "task,cold,submit_s,worker_start_s,status_seen_s,exec_s,gflops,mb_s\n0,0,0,0.3,4,3,,170\n",
        "x",
    ),
    "S3, 1 KB": ("operation,p50,p90,p99,p99.9\nkRead,27,58,103,174\n", "GET p50"),
    "cold starts of single calls at random times": (
        "ArrivalRate,ColdStartProbability\n0.002,0.3\n",
        "7.2 calls an hour",
    ),
}


@pytest.mark.parametrize("section", RECORDED)
def test_each_kind_is_known_by_its_columns_in_any_order_with_others_beside_them(tmp_path: Path, section: str) -> None:
    content, what = RECORDED[section]
    rows = [line.split(",") for line in content.strip().splitlines()]
    turned = [[f'"a, {n}"', *reversed(row)] for n, row in enumerate(rows)]
    file, base = tmp_path / "x.csv", tmp_path / "others"
    file.write_bytes("\r\n".join(map(",".join, turned)).encode("utf-8-sig"))
    base.mkdir()
    (base / "wide.csv").write_text(flows(8))
    report = evaluate(file, fit=base)
    (found,) = [one for one in report.figures[section] if one.what == what]
    assert abs(found.error) < 0.5


def test_what_needs_other_recordings_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, content, line in (
        ("f.csv", calls(512), "f.csv, warm: calls at two memory sizes are needed"),
        ("w.csv", flows(4), "the fan-out of 4 calls: one of another width is needed (--fit)"),
        (
            "m.csv",
            RECORDED["map-reduce, makespan"][0],
            "m.csv: a warm fan-out of generate and process is needed (--fit)",
        ),
    ):
        (tmp_path / name).write_text(content)
        assert main([str(tmp_path / name)]) == 2
        assert f"left out: {line}\n" in capsys.readouterr().err
    assert main([str(tmp_path / "w.csv"), "--fit"]) == main(["--wrong"]) == main([]) == 2
    assert main([str(tmp_path / "absent.csv")]) == 2
