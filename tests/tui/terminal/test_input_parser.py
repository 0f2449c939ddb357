"""What is made of the bytes that a terminal sends."""

import pytest
from textual.events import Event, Key, MouseDown, Paste

from lbench.tui.terminal.input_parser import InputParser


def read(*blocks: bytes) -> list[str]:
    """The events, each as its text: what came block by block, and then nothing more."""
    received = InputParser()
    events = [event for block in blocks for event in received.feed(block)]
    while received.holding:
        events += received.tick()
    return [_text(event) for event in events if isinstance(event, Event)]


def _text(event: Event) -> str:
    if isinstance(event, Key):
        return event.key
    if isinstance(event, Paste):
        return f"paste {event.text!r}"
    return f"click {event.x:g} {event.y:g}" if isinstance(event, MouseDown) else type(event).__name__


@pytest.mark.parametrize(
    ("data", "events"),
    [
        (b"a\xffb", ["a", "replacement_character", "b"]),
        (b"\xe9q", ["replacement_character", "q"]),
        (b"\x1b[200~caf\xe9\x1b[201~\r", ["paste 'caf�'", "enter"]),
        (b"\x1b[99999999ua", ["a"]),  # a key beyond the last character
        (b"\x1b[1;1:3ua", ["a"]),
        (b"\x1b[99999999999999999999999ua", ["a"]),
    ],
)
def test_what_cannot_be_read_ends_nothing_and_takes_no_key_with_it(data: bytes, events: list[str]) -> None:
    assert read(data) == events


@pytest.mark.parametrize(
    ("pasted", "text"),
    [
        (
            b"\x1b[31mquit\x1b[0m, and much more text than the parser looks ahead for",
            "quit, and much more text than the parser looks ahead for",
        ),
        (b"1\x1b]0;title\x072\x00\x07\x7f3", "123"),
        (b"first\r\nsecond\rthird", "first\nsecond\nthird"),
        (b"\r\n\n10\r\n", "10\n"),
        ("名前🎉 [red]x[/]".encode(), "名前🎉 [red]x[/]"),
        (b"", ""),
        (b"\x1b", ""),
    ],
)
def test_a_paste_is_one_text_whatever_it_holds(pasted: bytes, text: str) -> None:
    assert read(b"x\x1b[200~" + pasted + b"\x1b[201~\r") == ["x", f"paste {text!r}", "enter"]


def test_a_paste_may_come_in_any_pieces() -> None:
    data = "w\x1b[200~é\x1b[1mb\n\x1b[201~\r\x1b[<0;3;4M\x1b[200~2\x1b[201~q".encode()
    whole = ["w", "paste 'éb\\n'", "enter", "click 2 3", "paste '2'", "q"]
    assert read(data) == whole
    for size in (1, 2, 3, 5, 7):
        assert read(*(data[at : at + size] for at in range(0, len(data), size))) == whole


@pytest.mark.parametrize(
    ("data", "events"),
    [
        (b"\x1b4", ["escape", "4"]),
        (b"\x1bQx", ["escape", "Q", "x"]),
        (b"\x1b\x1b[A", ["escape", "up"]),
        (b"\x1bb", ["ctrl+left"]),
        (b"\x1b\x7f", ["ctrl+w"]),
        (b"\x1b[1;3A", ["alt+up"]),
    ],
)
def test_a_letter_soon_after_escape_loses_neither(data: bytes, events: list[str]) -> None:
    assert read(data) == events


def test_escape_is_a_key_once_nothing_follows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0
    monkeypatch.setattr("textual._parser.get_time", lambda: now_s)
    received = InputParser()
    assert not list(received.feed(b"\x1b")) and received.holding
    assert not list(received.tick()) and not received.holding
    now_s = 1.0
    assert [event.key for event in received.tick() if isinstance(event, Key)] == ["escape"]
    assert [event.key for event in received.feed(b"4") if isinstance(event, Key)] == ["4"]
