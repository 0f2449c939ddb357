"""What may travel arrives unchanged; what may not is refused; bytes from anywhere can do no more than fail."""

from __future__ import annotations

import datetime
import warnings
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lbench.errors import EncodingError
from lbench.workloads.encoding import decode, encode

UNHURRIED = settings(deadline=None)  # the machine may be busy

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=True)
    | TEXT
    | st.binary(max_size=40)
)
DTYPES = (
    hnp.boolean_dtypes()
    | hnp.integer_dtypes(endianness="?")
    | hnp.unsigned_integer_dtypes(endianness="?")
    | hnp.floating_dtypes(endianness="?", sizes=(16, 32, 64))
    | hnp.complex_number_dtypes(endianness="?", sizes=(64, 128))
    | hnp.byte_string_dtypes(endianness="?")
    | hnp.unicode_string_dtypes(endianness="?")
    | hnp.datetime64_dtypes(endianness="?")
    | hnp.timedelta64_dtypes(endianness="?")
)
ARRAYS = DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0)))
VALUES = st.recursive(
    SCALARS | ARRAYS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)


def same(one: Any, other: Any) -> bool:
    """Equal in value and in type; NaN equals NaN, and arrays agree to the bit."""
    if isinstance(one, np.ndarray):
        return (
            isinstance(other, np.ndarray)
            and one.dtype == other.dtype
            and one.shape == other.shape
            and one.tobytes() == other.tobytes()
        )
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return isinstance(other, dict) and list(one) == list(other) and all(same(one[k], other[k]) for k in one)
    return type(one) is type(other) and (one == other or (one != one and other != other))


@UNHURRIED
@given(VALUES)
def test_every_allowed_value_arrives_unchanged(value: Any) -> None:
    assert same(value, decode(encode(value)))


@UNHURRIED
@given(VALUES)
def test_any_buffer_can_be_decoded(value: Any) -> None:
    data = encode(value)
    assert same(value, decode(bytearray(data)))
    assert same(value, decode(memoryview(b"..." + data)[3:]))


@pytest.mark.parametrize(
    "array",
    [
        np.array(5.0),
        np.zeros(0),
        np.zeros((3, 0, 2), np.int8),
        np.zeros((1,) * 20),
        np.array(["é", "", "日本語", "a\0b"]),
        np.array([b"ab", b""]),
        np.arange(12).reshape(3, 4)[::2, ::-1],
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.array([1, 2], ">i4"),
        np.array(["2026-11-22", "NaT"], "M8[25s]"),
        np.broadcast_to(np.array([1, 2]), (3, 2)),
    ],
    ids=repr,
)
def test_arrays_of_every_dtype_keep_dtype_and_shape(array: np.ndarray) -> None:
    arrived = decode(encode(array))
    assert arrived.dtype == array.dtype
    assert arrived.shape == array.shape
    assert np.array_equal(arrived, array) or np.isnat(array).any()


def test_arrays_of_empty_texts_arrive() -> None:
    for dtype in "S0", "U0":
        assert decode(encode(np.zeros(3, dtype))).tolist() == np.zeros(3, dtype).tolist()


@UNHURRIED
@given(ARRAYS)
def test_a_decoded_array_cannot_be_written_to(array: np.ndarray) -> None:
    assert not decode(bytearray(encode(array))).flags.writeable


def test_a_large_array_is_not_copied() -> None:
    data = encode({"a": np.arange(100_000)})
    array = decode(data)["a"]
    assert np.shares_memory(array, np.frombuffer(data, np.uint8))


@pytest.mark.parametrize(
    ("scalar", "arrives"),
    [
        (np.int8(-3), -3),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.float32(0.5), 0.5),
        (np.float64(0.1), 0.1),
        (np.bool_(True), True),
        (np.str_("é"), "é"),
        (np.bytes_(b"x"), b"x"),
        ((1, 2), [1, 2]),
    ],
    ids=repr,
)
def test_numpy_scalars_and_tuples_arrive_as_their_plain_kin(scalar: Any, arrives: Any) -> None:
    decoded = decode(encode([scalar]))[0]
    assert decoded == arrives
    assert type(decoded) is type(arrives)


def test_a_struct_arrives_as_a_dict() -> None:
    class Point(msgspec.Struct):
        x: int
        y: np.ndarray

    arrived = decode(encode(Point(1, np.array([2.0]))))
    assert arrived["x"] == 1
    assert arrived["y"].tolist() == [2.0]


class Seen(msgspec.Struct):
    x: int
    seen: Any


@dataclass
class Plain:
    seen: Any


class Counted(dict[str, Any]):
    pass


CYCLE: list[Any] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    "value",
    [
        np.zeros(2, "i4,f4"),
        np.rec.array([(1, 2.0)]),
        np.array([object()]),
        np.array([1, "a"], dtype=object),
        np.zeros(2, np.longdouble) if np.dtype(np.longdouble).itemsize > 8 else np.array([None]),
        np.ma.masked_array([1, 2], [0, 1]),
        np.datetime64("2026-11-22"),
        np.void(b"a"),
        1 + 2j,
        object(),
        print,
        2**64,
        -(2**63) - 1,
        "\ud800",
        {"\ud800": 1},
        {"deep": [{"er": object()}]},
        memoryview(b"abcd")[::2],
        CYCLE,
    ],
    ids=lambda value: type(value).__name__,
)
def test_unsupported_values_are_refused(value: Any) -> None:
    with pytest.raises(EncodingError, match="cannot be sent"):
        encode({"inside": [value]})


@pytest.mark.parametrize(
    "value",
    [
        {"a"},
        frozenset(),
        [1, [2, {3}]],
        {"a": {"b": ({1},)}},
        {frozenset({1}): 2},
        Seen(1, {2}),
        Plain({1}),
        Counted(a={1}),
    ],
    ids=str,
)
def test_a_set_is_refused_at_any_depth(value: Any) -> None:
    with pytest.raises(EncodingError, match=r"a set cannot be sent.*sorted"):
        encode(value)


def test_a_whole_number_of_more_than_64_bits_says_how_to_send_it() -> None:
    with pytest.raises(EncodingError, match=r"beyond 64 bits cannot be sent: send it as a text or a float"):
        encode([2**70])


def decoded_or_refused(data: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            decode(data)
        except EncodingError as error:
            assert str(error).startswith("the bytes are not an lbench value")


@UNHURRIED
@given(st.binary(max_size=200))
def test_garbage_raises_an_encoding_error_and_nothing_else(data: bytes) -> None:
    decoded_or_refused(data)


@UNHURRIED
@given(VALUES, st.data())
def test_a_damaged_message_raises_an_encoding_error_and_nothing_else(value: Any, data: Any) -> None:
    message = bytearray(encode(value))
    for _ in range(data.draw(st.integers(1, 4))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    decoded_or_refused(bytes(message[: data.draw(st.integers(0, len(message)))]))
    decoded_or_refused(bytes(message))


@UNHURRIED
@given(VALUES)
def test_a_torn_or_overlong_message_is_refused(value: Any) -> None:
    message = encode(value)
    for data in message[:-1], message + b"\0":
        with pytest.raises(EncodingError):
            decode(data)


def extension(code: int, header: Any, body: bytes) -> bytes:
    packed = msgspec.msgpack.encode(header)
    return msgspec.msgpack.encode(msgspec.msgpack.Ext(code, len(packed).to_bytes(2, "little") + packed + body))


@UNHURRIED
@given(
    st.sampled_from(["O", "|O", "V8", "i4,i4", "(2,)i4", "{", "<f16", "a3", "<M8[0s]", "<M8[zz]", "<i3", "<U0", "|S0"])
    | st.text(max_size=12)
    | st.just("<i4"),
    st.lists(st.integers(-2, 3) | st.integers(2**31, 2**64 - 1), max_size=70),
    st.binary(max_size=32),
)
def test_a_forged_array_header_is_refused_or_harmless(dtype: str, shape: list[int], body: bytes) -> None:
    decoded_or_refused(extension(1, [dtype, shape], body))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x91" * 100_000,  # deeper than any stack
        b"\xdd\xff\xff\xff\xff",  # a list of four thousand million that are not there
        b"\xdf\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x01",
        b"\x81\x80\x01",  # a dict as a key
        b"\xa1\xff",  # no UTF-8
        b"\xd4\x01\x00",
        extension(2, ["<i4", [1]], b"1234"),
        extension(1, ["|O", [1]], b"12345678"),
        extension(1, ["<i4", [2]], b"1234"),
        extension(1, ["<i4", [-1]], b"1234"),
        extension(1, {"dtype": "<i4"}, b""),
    ],
    ids=lambda data: repr(data[:12]),
)
def test_known_attacks_are_refused(data: bytes) -> None:
    with pytest.raises(EncodingError):
        decode(data)


def test_python_dates_do_no_harm() -> None:
    assert isinstance(decode(b"\xd6\xff\0\0\0\0"), datetime.datetime)
