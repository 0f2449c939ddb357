"""A text file's lines, whether it is plain, .gz or .zst: never more than a piece of it in memory."""

from __future__ import annotations

import codecs
import hashlib
import sys
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from lbench.errors import DataFileError

__all__ = ["TextFile"]

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_NOT_TEXT = {
    b"PK\x03\x04": "a zip archive or a spreadsheet: unpack it, or save it as CSV",
    b"PAR1": "a Parquet file: save it as CSV",
    b"BZh": "compressed with bzip2: unpack it",
    b"\xfd7zXZ": "compressed with xz: unpack it",
    b"\xff\xfe": "UTF-16 text: save it as UTF-8",
    b"\xfe\xff": "UTF-16 text: save it as UTF-8",
}
_PLAIN_PIECE = 1 << 18
_PACKED_PIECE = 1 << 13  # small: what a piece unpacks to is held whole
_LONGEST_LINE = 1 << 24  # characters


class TextFile:
    """Iterates over a file's lines, line ends kept; `digest()` is the SHA-256 of the file's own bytes.

    Bytes that are no UTF-8 are replaced (they occur in remarks, which nobody uses), or refused where `strict`; a file
    that is not text at all is refused. `kind` is what the messages ask for.

    Raises:
        DataFileError: the file is missing, unreadable, empty, not text, or its compression ends too early.
    """

    def __init__(self, path: Path, *, kind: str = "CSV", strict: bool = False) -> None:
        self.path = path
        self._kind = kind
        self._what = "CSV text file" if kind == "CSV" else f"{kind} file"
        self._strict = strict
        self._hash = hashlib.sha256()

    def digest(self) -> str:
        """SHA-256 in hex of what was read; of the whole file once the lines have come to their end."""
        return self._hash.hexdigest()

    def __iter__(self) -> Generator[str, None, None]:
        try:
            with self.path.open("rb") as file:
                yield from self._lines(self._unpacked(file))
        except IsADirectoryError:
            raise DataFileError(f"{self.path} is a folder: name the {self._kind} file in it") from None
        except FileNotFoundError:
            raise DataFileError(f"{self.path} does not exist: name a {self._kind} file, or leave out --data") from None
        except OSError as error:
            raise DataFileError(f"{self.path} cannot be read: {error.strerror or error}") from None

    def _lines(self, pieces: Iterator[bytes]) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8-sig")("strict" if self._strict else "replace")
        rest = ""
        first = True
        number = 1

        def decode(piece: bytes, final: bool = False) -> str:
            try:
                return decoder.decode(piece, final)
            except UnicodeDecodeError as error:
                line = number + error.object[: error.start].count(b"\n")
                told = f"line {line:,} has the byte 0x{error.object[error.start]:02x}"
                raise DataFileError(f"{self.path} is not UTF-8 ({told}): save it as UTF-8") from None

        for piece in pieces:
            if first and piece:
                self._refuse_binary(piece)
                first = False
            if b"\0" in piece:
                raise DataFileError(f"{self.path} is not a {self._what} (it holds zero bytes): is it damaged?")
            lines = (rest + decode(piece)).split("\n")
            number += len(lines) - 1
            rest = lines.pop()
            if len(rest) > _LONGEST_LINE:
                raise DataFileError(f"{self.path} is not a {self._what}: it has no line ends")
            for line in lines:
                yield line + "\n"
        rest += decode(b"", final=True)
        if rest:
            yield rest
        elif first:
            raise DataFileError(f"{self.path} is empty: name a {self._kind} file, or leave out --data")

    def _refuse_binary(self, start: bytes) -> None:
        for magic, what in _NOT_TEXT.items():
            if start.startswith(magic):
                raise DataFileError(f"{self.path} is {what}")
        head = start[:4096]
        control = sum(byte < 32 and byte not in b"\t\r\n\f" for byte in head)
        invalid = head.decode("utf-8", "replace").count("\ufffd")
        if control + invalid > len(head) // 20:
            raise DataFileError(f"{self.path} is not a {self._what}: name a {self._kind} file (plain, .gz or .zst)")

    def _raw(self, file: BinaryIO, size: int) -> Iterator[bytes]:
        while piece := file.read(size):
            self._hash.update(piece)
            yield piece

    def _unpacked(self, file: BinaryIO) -> Iterator[bytes]:
        start = file.read(4)
        file.seek(0)
        if start.startswith(_GZIP):
            return self._inflate(file, "gzip", lambda: zlib.decompressobj(wbits=31), (zlib.error,))
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
            return self._inflate(file, "zstd", zstd.ZstdDecompressor, (zstd.ZstdError,))
        return self._raw(file, _PLAIN_PIECE)

    def _inflate(self, file: BinaryIO, kind: str, make: Any, errors: tuple[type[Exception], ...]) -> Iterator[bytes]:
        unpacker = make()
        try:
            for piece in self._raw(file, _PACKED_PIECE):
                while piece:  # several members in one file are one text
                    if unpacker.eof:
                        unpacker = make()
                    yield unpacker.decompress(piece)
                    piece = unpacker.unused_data if unpacker.eof else b""
        except errors as error:
            raise DataFileError(f"{self.path} is damaged: its {kind} data cannot be unpacked ({error})") from None
        if not unpacker.eof:
            raise DataFileError(f"{self.path} is cut short: its {kind} data ends too early; fetch it again")
