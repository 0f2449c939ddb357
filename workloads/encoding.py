"""The one binary encoding of arguments and results: MessagePack with an extension for arrays.

What may travel: None, bool, int (64 bits), float, str, bytes, numpy arrays and scalars, and lists, dicts and
msgspec Structs of these. A Struct or a tuple arrives as a dict or a list. Nothing in the bytes names code, so
decoding what a stranger sent can do no more than fail.

An array is extension 1: a MessagePack header `[dtype, shape]` and then its bytes in C order, decoded without a
copy as a read-only view of the message.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from lbench.errors import EncodingError

__all__ = ["decode", "encode"]

_ARRAY = 1
_KINDS = "biufcSUmM"  # dtype kinds that are plain bytes; never object


def _encode_array(array: NDArray[Any]) -> msgspec.msgpack.Ext:
    if array.dtype.kind not in _KINDS:
        raise EncodingError(f"an array of dtype {array.dtype} cannot travel: use numbers, bytes or fixed text")
    header = msgspec.msgpack.encode([array.dtype.str, array.shape])
    return msgspec.msgpack.Ext(_ARRAY, header + array.tobytes())


def _enc_hook(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return _encode_array(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, memoryview):
        return bytes(value)
    raise EncodingError(f"a {type(value).__name__} cannot travel: return numbers, text, bytes, arrays, lists or dicts")


def _header_length(data: memoryview) -> int:
    # fixarray(2), str dtype, array shape of unsigned ints: walk it rather than guess.
    def skip(at: int) -> int:
        tag = data[at]
        if tag <= 0x7F:
            return at + 1
        if 0x90 <= tag <= 0x9F:
            end = at + 1
            for _ in range(tag & 0x0F):
                end = skip(end)
            return end
        if 0xA0 <= tag <= 0xBF:
            return at + 1 + (tag & 0x1F)
        sizes = {0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9}
        if tag not in sizes:
            raise EncodingError("the bytes are not an lbench value: bad array header")
        return at + sizes[tag]

    return skip(0)


def _ext_hook(code: int, data: memoryview) -> Any:
    if code != _ARRAY:
        raise EncodingError(f"the bytes are not an lbench value: unknown extension {code}")
    end = _header_length(data)
    dtype_name, shape = msgspec.msgpack.decode(data[:end], type=tuple[str, tuple[int, ...]])
    dtype = np.dtype(dtype_name)
    if dtype.kind not in _KINDS or math.prod(shape) * dtype.itemsize != len(data) - end:
        raise EncodingError("the bytes are not an lbench value: an array's size does not fit its header")
    return np.frombuffer(data[end:], dtype=dtype).reshape(shape)


_encoder = msgspec.msgpack.Encoder(enc_hook=_enc_hook)
_decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(ext_hook=_ext_hook)


def encode(value: Any) -> bytes:
    """Encode a value.

    Raises:
        EncodingError: the value, or something inside it, is of a type that cannot travel.
    """
    try:
        return _encoder.encode(value)
    except (msgspec.MsgspecError, OverflowError, RecursionError, TypeError) as error:
        raise EncodingError(f"a value cannot travel: {error}") from error


def decode(data: bytes | bytearray | memoryview) -> Any:
    """Decode a value; arrays are read-only views of `data`.

    Raises:
        EncodingError: the bytes are not an encoded value.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, ValueError, TypeError, IndexError, RecursionError) as error:
        raise EncodingError(f"the bytes are not an lbench value: {error}") from error
