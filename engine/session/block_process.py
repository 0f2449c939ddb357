"""Reads a large journal in processes of their own: they decode, and the reader applies columns.

Started as `python -m lbench.engine.session.block_process PATH PART PARTS`: it writes every PARTS-th block to its standard
output, each behind its length, and ends with its reader.
"""

from __future__ import annotations

import contextlib
import gc
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np

from lbench.engine.journal.reader import check_first
from lbench.engine.processes.lifeline import PARENT, die_with_parent
from lbench.engine.session.blocks import Block, Stretch, block_spans, checked, journal_blocks, read_block
from lbench.errors import SessionFileError

__all__ = ["blocks_of", "journal_blocks_apart", "reads_apart"]

_PROCESSES = 2  # more would wait for who applies their blocks
_LARGE_BYTES = 32_000_000  # of a journal that is read faster than processes start
_LENGTH = struct.Struct("<Q")


def _of_array(value: Any) -> tuple[str, bytes]:
    if not isinstance(value, np.ndarray):
        raise NotImplementedError(f"{type(value).__name__} cannot be sent")
    return value.dtype.str, value.tobytes()


def _to_array(kind: Any, value: Any) -> Any:
    return np.frombuffer(value[1], dtype=value[0])


_encoder = msgspec.msgpack.Encoder(enc_hook=_of_array)
_decoder: msgspec.msgpack.Decoder[Block] = msgspec.msgpack.Decoder(Block, dec_hook=_to_array)


def blocks_of(path: Path) -> Iterator[Block]:
    """A journal's events, read here or, of a large one, in processes of their own; as `journal_blocks`."""
    return journal_blocks_apart(path) if reads_apart(path) else journal_blocks(path)


def reads_apart(path: Path) -> bool:
    """Whether a journal is so large that processes of their own read it."""
    try:
        return path.stat().st_size > _LARGE_BYTES
    except OSError:
        return False  # reading it tells why


def journal_blocks_apart(path: Path, processes: int = _PROCESSES) -> Iterator[Block]:
    """As `journal_blocks`, read by so many processes; what one of them cannot read is read here.

    Raises:
        SessionFileError: it is no journal, of a newer version, or damaged in the middle.
    """
    try:
        with path.open("rb") as file, contextlib.ExitStack() as stack:
            check_first(path, file.readline())
            spans = block_spans(path)
            parts = [stack.enter_context(_part(path, number, processes)) for number in range(processes)]
            received = (
                _received(parts[number % processes]) or read_block(file, *span) for number, span in enumerate(spans)
            )
            yield from checked(path, received)
    except OSError as error:
        raise SessionFileError(f"{path} cannot be read: {error.strerror}") from None


@contextlib.contextmanager
def _part(path: Path, part: int, parts: int) -> Iterator[IO[bytes]]:
    """The blocks that a process sends; it ends with this context."""
    argv = [sys.executable, "-P", "-m", "lbench.engine.session.block_process", str(path), str(part), str(parts)]
    process = subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        process_group=0,
        env={**os.environ, PARENT: str(os.getpid())},
    )
    assert process.stdout is not None and process.stdin is not None
    try:
        yield process.stdout
    finally:
        process.kill()
        process.stdin.close()
        process.stdout.close()
        process.wait()


def _received(stream: IO[bytes]) -> Block | None:
    """The next block; None: the process has ended early."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    content = stream.read(*_LENGTH.unpack(head))
    return _decoder.decode(content) if len(content) == _LENGTH.unpack(head)[0] else None


def _send(path: Path, part: int, parts: int, stream: IO[bytes]) -> None:
    with path.open("rb") as file:
        for begin, end in block_spans(path)[part::parts]:
            block = read_block(file, begin, end)
            stretches = [step for step in block.steps or () if isinstance(step, Stretch)]
            for number, stretch in enumerate(stretches):
                stretch.kept, stretch.place = [], (str(path), begin, end, number)
            content = _encoder.encode(block)
            stream.write(_LENGTH.pack(len(content)) + content)
            stream.flush()


if __name__ == "__main__":
    die_with_parent()
    gc.disable()  # nothing here is a cycle, and looking for one takes a tenth of the time
    with contextlib.suppress(OSError, SessionFileError):  # the reader has gone, or reads the rest itself
        _send(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.stdout.buffer)
