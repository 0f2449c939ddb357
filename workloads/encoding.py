"""The one binary encoding of arguments and results: MessagePack with an extension for arrays.

What can be sent: None, bool, int (64 bits), float, str, bytes, numpy arrays and scalars, and lists, dicts and
msgspec Structs of these. A Struct or a tuple arrives as a dict or a list. A set is refused: it would arrive as a list
in an order that differs from process to process, and so would the answer. Nothing in the bytes names code, so decoding
what a stranger sent can do no more than fail.

An array is extension 1: the header's length (uint16, little-endian), a MessagePack header `[dtype, shape]`,
and the array's bytes in C order. It is decoded without a copy, as a read-only view of the message.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from lbench.errors import EncodingError

__all__ = ["decode", "encode"]

_ARRAY = 1
# The dtypes that can be sent, by `dtype.str`: plain bytes of the same meaning on every machine. So no objects, no
# records, and no long double (80 bits in 16 bytes on x86-64, 128 bits on arm64).
_DTYPE = re.compile(
    r"\|b1|[<>|][iu][1248]|[<>]f[248]|[<>]c(8|16)|[<>]U[1-9]\d*|\|S[1-9]\d*|[<>][mM]8\[([1-9]\d*)?[A-Za-z]+\]"
)
_Header = tuple[str, tuple[Annotated[int, msgspec.Meta(ge=0)], ...]]


def _encode_array(array: NDArray[Any]) -> msgspec.msgpack.Ext:
    if array.dtype.kind in "SU" and not array.dtype.itemsize:
        array = array.astype(f"{array.dtype.kind}1")  # nothing but empty texts, of 0 bytes each
    if not _DTYPE.fullmatch(array.dtype.str):
        raise EncodingError(f"an array of dtype {array.dtype} cannot be sent: use numbers, bytes or fixed text")
    # An array is masked only where numpy.ma was imported; looking there would import it, in the first task's time.
    if "numpy.ma" in sys.modules and isinstance(array, np.ma.MaskedArray):
        raise EncodingError("a masked array cannot be sent: send the data and the mask as two arrays")
    header = msgspec.msgpack.encode([array.dtype.str, array.shape])
    return msgspec.msgpack.Ext(_ARRAY, b"".join((len(header).to_bytes(2, "little"), header, array.tobytes())))


def _enc_hook(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return _encode_array(value)
    if isinstance(value, np.generic) and value.dtype.kind in "biufSU" and not isinstance(value, np.longdouble):
        return value.item()
    kind = type(value).__name__
    article = "an" if kind[0].lower() in "aeiou" else "a"
    raise EncodingError(f"{article} {kind} cannot be sent: return numbers, text, bytes, arrays, lists or dicts")


def _ext_hook(code: int, data: memoryview) -> Any:
    if code != _ARRAY:
        raise EncodingError(f"the bytes are not an lbench value: unknown extension {code}")
    end = 2 + int.from_bytes(data[:2], "little")
    dtype_name, shape = msgspec.msgpack.decode(data[2:end], type=_Header)
    if not _DTYPE.fullmatch(dtype_name):
        raise EncodingError("the bytes are not an lbench value: an array of a dtype that is not supported")
    dtype = np.dtype(dtype_name)
    if math.prod(shape) * dtype.itemsize != len(data) - end:
        raise EncodingError("the bytes are not an lbench value: an array's size does not fit its header")
    array = np.frombuffer(data[end:], dtype=dtype).reshape(shape)
    array.flags.writeable = False
    return array


_encoder = msgspec.msgpack.Encoder(enc_hook=_enc_hook)
_decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(ext_hook=_ext_hook)


_PLAIN = frozenset({type(None), bool, int, float, str, bytes, np.ndarray, np.float64, np.int64})


def _has_set(parts: Iterable[Any]) -> bool:
    """Whether a set is in them: msgspec writes it as a list. Asked after it has encoded them: so nothing holds itself."""
    for part in parts:
        kind = type(part)
        if kind in _PLAIN:
            continue
        if kind is list or kind is tuple:
            inside = part
        elif kind is dict:
            inside = part.values()
            if not _PLAIN.issuperset(map(type, part)) and _has_set(part):
                return True
        elif isinstance(part, (set, frozenset)):
            return True
        elif isinstance(part, dict):
            inside = [*part, *part.values()]
        elif isinstance(part, (list, tuple)):
            inside = part
        else:
            names: Any = getattr(part, "__struct_fields__", None) or getattr(part, "__dataclass_fields__", ())
            inside = [getattr(part, name, None) for name in names]
        if not _PLAIN.issuperset(map(type, inside)) and _has_set(inside):
            return True
    return False


def encode(value: Any) -> bytes:
    """Encode a value.

    Raises:
        EncodingError: the value, or something inside it, is of a type that cannot be sent.
    """
    try:
        encoded = _encoder.encode(value)
        unordered = type(value) not in _PLAIN and _has_set((value,))
    except OverflowError:
        raise EncodingError("a whole number beyond 64 bits cannot be sent: send it as a text or a float") from None
    except (msgspec.MsgspecError, BufferError, RecursionError, TypeError, ValueError) as error:
        raise EncodingError(f"a value cannot be sent: {error}") from error
    if unordered:
        raise EncodingError("a set cannot be sent, as its order differs between processes: send sorted(...) of it")
    return encoded


def decode(data: bytes | bytearray | memoryview) -> Any:
    """Decode a value; arrays are read-only views of `data`.

    Raises:
        EncodingError: the bytes are not an encoded value.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, MemoryError, OverflowError, RecursionError, TypeError, ValueError) as error:
        raise EncodingError(f"the bytes are not an lbench value: {error}") from error
