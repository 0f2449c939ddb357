"""A text file's lines, whether it is plain, .gz or .zst: never more than a piece of it in memory.

What cannot be decoded exactly is refused with its line and byte: a character that is replaced or dropped could make two
texts one.
"""

from __future__ import annotations

import codecs
import errno
import hashlib
import os
import re
import stat
import sys
import zlib
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from lbench.errors import BYTE_ORDER_MARKS, DataFileError, InputError

__all__ = ["LONGEST_LINE", "TextFile", "check_regular", "checked_encoding", "text_lines", "why_no_file"]

LONGEST_LINE = 1 << 24  # characters
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_NOT_TEXT = {
    b"PK\x03\x04": "a zip archive or a spreadsheet: unpack it, or save it as CSV",
    b"PAR1": "a Parquet file: save it as CSV",
    b"BZh": "compressed with bzip2: unpack it",
    b"\xfd7zXZ": "compressed with xz: unpack it",
    b"7z\xbc\xaf": "a 7z archive: unpack it",
    b"Rar!": "a rar archive: unpack it",
    b"\x1f\x9d": "compressed with compress: unpack it",
    b"\x04\x22\x4d\x18": "compressed with lz4: unpack it",
    b"\xd0\xcf\x11\xe0": "a spreadsheet: save it as CSV",
    b"SQLite format 3": "a database: export its table as CSV",
    b"\x89HDF": "an HDF5 file: save its table as CSV",
    b"ARROW1": "an Arrow file: save it as CSV",
    b"%PDF-": "a PDF document: save its table as CSV",
    b"version https://git-lfs": "the pointer of a file in Git LFS: fetch the file itself with git lfs pull",
    b"<!DOCTYPE": "a web page: fetch the file itself",
    b"<!doctype": "a web page: fetch the file itself",
    b"<html": "a web page: fetch the file itself",
}
_MARKS = BYTE_ORDER_MARKS | {b"\xef\xbb\xbf": "utf-8-sig"}
_PLAIN_PIECE = 1 << 18
_PACKED_PIECE = 1 << 13
_MOST_AT_ONCE = 1 << 22  # unpacked bytes: a piece may hold 100 times more
_SMALL = 1 << 28  # unpacked bytes: below it no ratio is suspicious
_RATIO = 500  # unpacked to packed bytes; tables reach some 50
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)")


def checked_encoding(name: str) -> str:
    """The encoding's name as Python knows it.

    Raises:
        InputError: there is none of that name, or it is not one of texts.
    """
    try:
        info = codecs.lookup(name)
        text = info._is_text_encoding and info.incrementaldecoder is not None
        text = text and isinstance("a,1\n".encode(name), bytes) and info.name.replace("-", "_") not in _ESCAPES
    except (LookupError, ValueError, UnicodeError):
        text = False
    if not text:
        raise InputError(f"--encoding {name[:40]!r} must be a text encoding, for example latin-1, cp1252 or utf-16-le")
    return info.name


_ESCAPES = frozenset(("unicode_escape", "raw_unicode_escape", "idna", "punycode", "undefined", "mbcs", "oem"))


def text_lines(text: str, *, final: bool = False) -> tuple[list[str], str]:
    """The whole lines of a text with their ends (LF, CR LF or CR), and what is left.

    Unless it is final, a CR at its very end is left too: an LF may follow.
    """
    if text.count("\r") == text.count("\r\n"):
        lines = text.split("\n")
        rest = lines.pop()
        return [line + "\n" for line in lines], rest
    held = "\r" if text.endswith("\r") and not final else ""
    whole = text[: len(text) - len(held)]
    lines = _LINE.findall(whole)
    return lines, whole[sum(map(len, lines)) :] + held


def check_regular(path: Path) -> None:
    """Look at a file that a person named before it is opened.

    Raises:
        OSError: there is none, or it is a pipe, a device or a socket: one waits for a writer, whatever signal comes, and
            another has no end.
    """
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, "not a regular file")


def why_no_file(path: Path) -> str:
    """What a path that is no regular file is: a pipe would be read up by whoever looks first."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - replaced in a test
    except PermissionError as error:
        return f"it cannot be read: {error.strerror}"
    except (OSError, ValueError):  # of a name that no file can have, too
        return "there is no such file"
    return "that is a folder: name a file in it" if stat.S_ISDIR(mode) else "it is not a regular file: save it as one"


class TextFile:
    """Iterates over a file's lines, line ends kept; `digest()` is the SHA-256 of the file's own bytes.

    Without an encoding it is UTF-8, or UTF-16 or UTF-32 by its byte order mark. `kind` is what messages ask for; `by_name`:
    whether they may ask for the encoding's name. `watch` is called with the file's bytes that were read so far.

    Raises:
        DataFileError: the file is missing, unreadable, empty, not text, not in this encoding, its compression ends too
            early, or it unpacks to far more than data do.
        InputError: the encoding is unknown.
    """

    def __init__(
        self,
        path: Path,
        *,
        kind: str = "CSV",
        encoding: str | None = None,
        by_name: bool = True,
        watch: Callable[[int], None] | None = None,
    ) -> None:
        self.path = path
        self._by_name = by_name
        self.encoding = None if encoding is None else checked_encoding(encoding)
        self.lost = 0  # U+FFFD in the text: characters that were lost before this file was written
        self._kind = kind
        self._what = "CSV text file" if kind == "CSV" else f"{kind} file"
        self._hash = hashlib.sha256()
        self._packed = 0
        self._watch = watch

    def digest(self) -> str:
        """SHA-256 in hex of what was read; of the whole file once the lines have come to their end."""
        return self._hash.hexdigest()

    @property
    def origin(self) -> str:
        """The file's name and, unless it is UTF-8, its encoding."""
        known = self.encoding in (None, "utf-8", "utf-8-sig")
        return self.path.name if known else f"{self.path.name} ({self.encoding})"

    @property
    def notes(self) -> list[str]:
        """What a reader of the file should know of its text."""
        if not self.lost:
            return []
        return [f"{self.lost:,} characters were lost before this file was written (U+FFFD): texts may be merged by it"]

    def __iter__(self) -> Generator[str, None, None]:
        try:
            with self.path.open("rb") as file:
                before = os.fstat(file.fileno())
                yield from self._lines(self._unpacked(file))
                after = os.fstat(file.fileno())
            if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
                raise DataFileError(f"{self.path} was changed while it was read: wait until it is written, or copy it")
        except IsADirectoryError:
            raise DataFileError(f"{self.path} is a folder: name the {self._kind} file in it") from None
        except FileNotFoundError:
            raise DataFileError(f"{self.path} does not exist: name a {self._kind} file, or leave out --data") from None
        except (OSError, ValueError) as error:  # a path with a zero byte is a ValueError
            why = getattr(error, "strerror", None) or error
            raise DataFileError(f"{self.path} cannot be read: {why}") from None

    def _lines(self, pieces: Iterator[bytes]) -> Iterator[str]:
        start = b""
        for piece in pieces:
            start += piece
            if len(start) >= 4:
                break
        if not start:
            raise self._nothing()
        decode = self._decoder(start)
        number = 0
        rest = ""
        piece = start
        empty = True
        while True:
            text = decode(piece, not piece, rest, number)
            if "\0" in text:
                raise self._zero_bytes()
            self.lost += text.count("\ufffd")
            empty = empty and not text
            lines, rest = text_lines(rest + text, final=not piece)
            if len(rest) > LONGEST_LINE:
                raise DataFileError(
                    f"{self.path}, line {number + len(lines) + 1:,}: must have at most {LONGEST_LINE:,} characters, or "
                    f"this is not a {self._what}"
                )
            number += len(lines)
            yield from lines
            if not piece:
                break
            piece = next(pieces, b"")
        if rest:
            yield rest
        if empty:  # but for a byte order mark
            raise self._nothing()

    def _nothing(self) -> DataFileError:
        return DataFileError(f"{self.path} is empty: name a {self._kind} file, or leave out --data")

    def _decoder(self, start: bytes) -> Any:
        """A function (bytes, final, text of the line so far, lines before) that gives the bytes' text."""
        marked = next((name for mark, name in _MARKS.items() if start.startswith(mark)), None)
        if self.encoding is None:
            self.encoding = marked or "utf-8"
        elif marked == "utf-8-sig" or (marked and not self.encoding.startswith(marked)):
            if codecs.lookup(marked).name not in (self.encoding, f"{self.encoding}-sig"):
                raise DataFileError(
                    f"{self.path} begins with the byte order mark of {marked.removesuffix('-sig').upper()}, "
                    f"and not of {self.encoding}: leave out --encoding"
                )
            self.encoding = marked
        self._refuse_binary(start)
        encoding = self.encoding
        decoder = codecs.getincrementaldecoder(encoding)("strict")

        def decode(piece: bytes, final: bool, rest: str, number: int) -> str:
            try:
                return decoder.decode(piece, final)
            except UnicodeDecodeError as error:
                raise self._undecodable(error, rest, number) from None
            except UnicodeError as error:  # of UTF-16 and the like, when they begin or end wrongly
                raise DataFileError(f"{self.path} is not {encoding} text ({error}): {self._remedy()}") from None

        return decode

    def _undecodable(self, error: UnicodeDecodeError, rest: str, number: int) -> DataFileError:
        encoding = (self.encoding or "utf-8").removesuffix("-sig")
        if b"\0" in error.object and not encoding.startswith(("utf-16", "utf-32")):
            return self._zero_bytes()
        lines, rest = text_lines(rest + error.object[: error.start].decode(encoding, "ignore"), final=True)
        before = number + len(lines)
        place = len(rest.encode(encoding, "ignore")) + 1
        byte = f"0x{error.object[error.start]:02x}"
        return DataFileError(
            f"{self.path}, line {before + 1:,}, byte {place:,}: {byte} is not {encoding.upper()}: {self._remedy()}"
        )

    def _zero_bytes(self) -> DataFileError:
        mend = "give --encoding utf-16-le" if self._by_name else "save it as UTF-8"
        return DataFileError(
            f"{self.path} is not a {self._what} (it holds zero bytes): is it damaged, or UTF-16 without a byte order "
            f"mark (then {mend})?"
        )

    def _remedy(self) -> str:
        named = ", or name its encoding, for example --encoding latin-1 or cp1252" if self._by_name else ""
        return f"save it as UTF-8{named}"

    def _refuse_binary(self, start: bytes) -> None:
        for magic, what in _NOT_TEXT.items():
            if start.startswith(magic):
                raise DataFileError(f"{self.path} is {what}")
        text = start[:4096].decode(self.encoding or "utf-8", "replace")
        if sum(char < " " and char not in "\t\r\n\f\0" for char in text) > len(text) // 20:
            raise DataFileError(f"{self.path} is not a {self._what}: name a {self._kind} file (plain, .gz or .zst)")

    # -- bytes

    def _raw(self, file: BinaryIO, size: int) -> Iterator[bytes]:
        while piece := file.read(size):
            self._hash.update(piece)
            self._packed += len(piece)
            if self._watch is not None:
                self._watch(self._packed)
            yield piece

    def _unpacked(self, file: BinaryIO) -> Iterator[bytes]:
        start = file.read(4)
        file.seek(0)
        if start.startswith(_GZIP):
            return self._inflate(
                self._raw(file, _PACKED_PIECE), "gzip", partial(zlib.decompressobj, wbits=31), (zlib.error,)
            )
        if start == _ZSTD:
            try:
                if sys.version_info >= (3, 14):  # of the driver only: Lambda never reads a CSV
                    from compression import zstd
                else:
                    from backports import zstd
            except ImportError:
                raise DataFileError(
                    f"{self.path} needs the package backports.zstd: install it, or unpack the file with zstd -d"
                ) from None
            return self._inflate(self._raw(file, _PACKED_PIECE), "zstd", zstd.ZstdDecompressor, (zstd.ZstdError,))
        return self._raw(file, _PLAIN_PIECE)

    def _inflate(
        self, pieces: Iterator[bytes], kind: str, make: Any, errors: tuple[type[Exception], ...]
    ) -> Iterator[bytes]:
        unpacker = make()
        size = 0
        try:
            for packed in pieces:
                piece = packed
                more = True
                while more:  # several members in one file are one text
                    if unpacker.eof:
                        piece = piece.lstrip(b"\0")  # padding
                        if not piece:
                            break
                        unpacker = make()
                    if body := unpacker.decompress(piece, _MOST_AT_ONCE):
                        size += len(body)
                        self._refuse_bomb(size)
                        yield body
                    if unpacker.eof:
                        piece = unpacker.unused_data
                        more = bool(piece)
                    else:  # zlib hands back what it did not take; zstd keeps it
                        piece = getattr(unpacker, "unconsumed_tail", b"")
                        more = bool(piece) or len(body) == _MOST_AT_ONCE
        except errors as error:
            raise DataFileError(f"{self.path} is damaged: its {kind} data cannot be unpacked ({error})") from None
        if not unpacker.eof:
            raise DataFileError(f"{self.path} is cut short: its {kind} data ends too early; fetch it again")

    def _refuse_bomb(self, size: int) -> None:
        if size > _SMALL and size > _RATIO * self._packed:
            raise DataFileError(
                f"{self.path} unpacks to more than {_RATIO} times its size ({self._packed:,} bytes to more than "
                f"{size:,}): data never do; unpack it yourself if it is right all the same"
            )
