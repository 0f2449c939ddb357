"""What a person calls a session: its name and tags, beside the journal, which only its engine may write."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import msgspec

from lbench.errors import InputError

__all__ = ["META_NAME", "Meta", "read_meta", "tags_of", "write_meta"]

META_NAME = "meta.json"
_LONGEST = 120  # characters of a name or a tag


class Meta(msgspec.Struct, frozen=True, omit_defaults=True):
    """Given by a person, at any time. `name` None: as the session was called when it began."""

    name: str | None = None
    tags: list[str] = []


def read_meta(folder: Path) -> Meta:
    """What the session in `folder` is called; nothing where the file is missing or damaged: the record is the journal."""
    try:
        return msgspec.json.decode((folder / META_NAME).read_bytes(), type=Meta)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return Meta()


def write_meta(folder: Path, meta: Meta) -> None:
    """Keep it; the file is replaced in one step.

    Raises:
        InputError: it cannot be written, on a read-only disk say, or a text is too long.
    """
    for text in [meta.name or "", *meta.tags]:
        if len(text) > _LONGEST:
            raise InputError(f"a name or a tag has at most {_LONGEST} characters: {text[:20]}...")
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=f".{META_NAME}.", delete=False) as file:
            try:
                file.write(msgspec.json.encode(meta) + b"\n")
                file.flush()
                os.fchmod(file.fileno(), 0o600)
                Path(file.name).replace(folder / META_NAME)
            except OSError:
                with contextlib.suppress(OSError):
                    Path(file.name).unlink()
                raise
    except OSError as error:
        raise InputError(f"cannot write in {folder}: {error.strerror}") from None


def tags_of(text: str) -> list[str]:
    """Tags as a person types them: words with commas or spaces between them, each once."""
    return list(dict.fromkeys(text.replace(",", " ").split()))
