"""Content from outside that is nested too deeply to be read is damaged content: one line, and no fault of ours."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lbench.decoding import decode_json, decode_toml
from lbench.engine.backends.cluster.dask import check_dask
from lbench.engine.backends.settings import DaskSettings
from lbench.engine.emulator.api.requests import Publish, decode
from lbench.engine.emulator.core.errors import Refusal
from lbench.engine.export.document import read_document
from lbench.engine.export.document_file import read_file
from lbench.engine.session.labels import Meta, read_meta
from lbench.engine.session.view import load_folder
from lbench.engine.simulation.parameters import load_model
from lbench.errors import InputError
from lbench.workloads.function.payloads import read_payloads

DEEP = "[" * 100_000 + "]" * 100_000
VERSION_1 = Path(__file__).parent / "engine" / "session" / "version_1"


def nested(text: str) -> str:
    """A JSON object with one more, deep value."""
    return text.rstrip()[:-1] + f', "deep": {DEEP}}}'


def in_parameters() -> str:
    whole = json.loads((VERSION_1 / "session.json").read_text())
    whole["runs"][0]["params"] = {"deep": "MARK"}
    return json.dumps(whole).replace('"MARK"', DEEP)


@pytest.mark.parametrize("read", [read_document, read_file])
@pytest.mark.parametrize(
    "text",
    [DEEP, '{"a":' * 100_000, nested((VERSION_1 / "session.json").read_text()), in_parameters()],
    ids=["lists", "objects", "unknown", "parameters"],
)
def test_a_document(read: Callable[[Path], Any], text: str, tmp_path: Path) -> None:
    path = tmp_path / "session.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"^[^\n]*(nested too deeply|got `array`)[^\n]*$"):
        read(path)


@pytest.mark.parametrize("line", [0, 2, -1])
def test_a_journal(line: int, tmp_path: Path) -> None:
    lines = (VERSION_1 / "events.jsonl").read_text().splitlines()
    lines[line] = nested(lines[line])
    (tmp_path / "events.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=r"nested too deeply|not an lbench journal"):
        load_folder(tmp_path)


def test_labels(tmp_path: Path) -> None:
    (tmp_path / "meta.json").write_text(nested('{"name": "a"}'))
    assert read_meta(tmp_path) == Meta()


@pytest.mark.parametrize(
    ("name", "text", "read"),
    [
        ("model.toml", f"x = {DEEP}", lambda path: load_model(path)),
        ("scheduler.json", DEEP, lambda path: check_dask(DaskSettings(scheduler_file=path))),
        ("events.json", DEEP, lambda path: read_payloads(f"@{path}")),
    ],
    ids=["model", "scheduler", "payload"],
)
def test_a_named_file(name: str, text: str, read: Callable[[str], object], tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=r"^[^\n]*nested too deeply[^\n]*$"):
        read(str(tmp_path / name))


def test_a_request_to_the_emulator() -> None:
    with pytest.raises(Refusal, match="nested too deeply"):
        decode(nested('{"a": 1}').encode(), Publish, "PublishVersion")


@pytest.mark.parametrize("read", [decode_json, lambda text: decode_toml(f"x = {text}")])
def test_what_is_not_too_deep_is_read(read: Callable[[str], Any]) -> None:
    assert read("[[[1]]]") in ([[[1]]], {"x": [[[1]]]})
