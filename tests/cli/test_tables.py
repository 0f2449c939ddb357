"""Tables align, and drop their least columns where the room is short."""

from rich.text import Text

from lbench.cli.tables import Column, fitting, table_lines


def columns() -> list[Column]:
    return [
        Column("NAME", cells=[Text("a"), Text("much longer")]),
        Column("COUNT", rank=1, justify="right", cells=[Text("1"), Text("200")]),
        Column("LEAST", rank=2, cells=[Text("x"), Text("yy")]),
        Column("EMPTY", rank=1, cells=[Text("–"), Text("")]),
        Column("ASCII", rank=1, cells=[Text("-"), Text("-")]),
    ]


def plain(width: int) -> list[str]:
    return [line.plain for line in table_lines(columns(), width)]


def test_columns_align_and_an_empty_one_is_not_shown() -> None:
    assert plain(80) == ["NAME         COUNT  LEAST", "a                1  x", "much longer    200  yy"]


def test_the_least_columns_go_first_and_the_first_one_never() -> None:
    assert plain(20) == ["NAME         COUNT", "a                1", "much longer    200"]
    assert [column.title for column in fitting(columns(), 5)] == ["NAME"]


def test_the_last_column_wraps_under_itself() -> None:
    wrapping = [Column("A", cells=[Text("a")]), Column("TEXT", wrap=True, cells=[Text("some words that are too long")])]
    lines = [line.plain for line in table_lines(wrapping, 24)]
    assert lines == ["A  TEXT", "a  some words that are", "   too long"]
