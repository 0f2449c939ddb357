"""A session's name and tags, in a file beside the journal: only the engine may write to the journal."""

from __future__ import annotations

from pathlib import Path

import msgspec

from lbench.config.folders import write_whole
from lbench.decoding import decode_with
from lbench.errors import InputError, visible_json

__all__ = ["META_NAME", "Meta", "check_label", "read_meta", "tags_of", "write_meta"]

META_NAME = "meta.json"
_LONGEST = 120  # characters of a name or a tag


class Meta(msgspec.Struct, frozen=True, omit_defaults=True):
    """A session's name and tags, given by a person at any time. `name` None: the name at its start."""

    name: str | None = None
    tags: list[str] = []


_decoder = msgspec.json.Decoder(Meta)


def read_meta(folder: Path) -> Meta:
    """The labels of the session in `folder`; empty if the file is missing or damaged."""
    try:
        return decode_with(_decoder, visible_json((folder / META_NAME).read_bytes()))
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return Meta()


def write_meta(folder: Path, meta: Meta) -> None:
    """Write the labels; the file is replaced in one step.

    Raises:
        InputError: it cannot be written, on a read-only disk say, or a text is too long.
    """
    for text in [meta.name or "", *meta.tags]:
        check_label(text)
    try:
        write_whole(folder / META_NAME, msgspec.json.encode(meta) + b"\n")
    except OSError as error:
        raise InputError(f"cannot write in {folder}: {error.strerror}") from None


def check_label(text: str) -> None:
    """Check a name or a tag.

    Raises:
        InputError: it is too long.
    """
    if len(text) > _LONGEST:
        raise InputError(f"a name or a tag must have at most {_LONGEST} characters, got {len(text):,}: {text[:20]}...")


def tags_of(text: str) -> list[str]:
    """Tags as a person types them: words with commas or spaces between them, each once."""
    return list(dict.fromkeys(text.replace(",", " ").split()))
