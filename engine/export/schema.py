"""The JSON Schema of the session document: `python -m lbench.engine.export.schema` writes it to standard output.

docs/session.schema.json is its output; a test compares them.
"""

from __future__ import annotations

import sys
from typing import Any

import msgspec

from lbench.engine.model import VERSION, Document

__all__ = ["session_schema", "session_schema_text"]


def session_schema() -> dict[str, Any]:
    """The schema, draft 2020-12. What a later version adds is allowed for: other fields are no error."""
    schema = msgspec.json.schema(Document)
    head = schema["$defs"]["Document"]  # these two have defaults in the code only
    head["required"] = ["format", "version", *head["required"]]
    head["properties"]["version"] = {"type": "integer", "minimum": 1}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"lbench.session, version {VERSION}",
        **schema,
    }


def session_schema_text() -> str:
    """The schema as the file holds it."""
    return msgspec.json.format(msgspec.json.encode(session_schema()), indent=2).decode() + "\n"


if __name__ == "__main__":
    sys.stdout.write(session_schema_text())
