"""The published schema is the one that the code has."""

import json
from pathlib import Path

import jsonschema

from lbench.engine.export.schema import session_schema_text

PUBLISHED = Path(__file__).parents[2] / "docs" / "session.schema.json"


def test_the_published_schema_is_the_generated_one() -> None:
    assert PUBLISHED.read_text() == session_schema_text(), (
        "run `python -m lbench.engine.export.schema > docs/session.schema.json`"
    )


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(PUBLISHED.read_text()))
