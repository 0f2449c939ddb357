"""Parameters as a person types them: described, read, refused in plain words."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta

from lbench.errors import InputError, UnknownNameError
from lbench.workloads import registry
from lbench.workloads.model import Params
from lbench.workloads.parameters import fields, parse, settable

UNHURRIED = settings(deadline=None)  # the machine may be busy


class Sample(Params, frozen=True, kw_only=True):
    """A field of each kind."""

    count: Annotated[int, Meta(ge=1, le=1000, description="how many")] = 10
    share: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    depth: Annotated[int, Meta(ge=2)] | None = None
    even: Annotated[int, Meta(multiple_of=2)] = 2
    box: tuple[float, float] = (0.0, 1.0)
    sizes: Annotated[list[int], Meta(min_length=1, max_length=3)] = msgspec.field(default_factory=lambda: [1])
    mode: Annotated[Literal["fast", "exact"], Meta(description="how")] = "fast"
    level: Literal[1, 2] = 1
    loud: bool = False
    title: Annotated[str, Meta(min_length=2)] = "none"

    def __post_init__(self) -> None:
        if self.box[0] > self.box[1]:
            raise ValueError("box: give the smaller number first")
        if self.count == 13 and self.loud:
            raise ValueError("count and loud do not go together")


class Needy(Params, frozen=True, kw_only=True):
    """A field without a default."""

    path: str


def refused(struct: type[Params] = Sample, **texts: Any) -> str:
    with pytest.raises(InputError) as caught:
        parse(struct, texts)
    message = str(caught.value)
    assert "\n" not in message
    assert "`" not in message  # msgspec's own words
    return message


def test_the_fields_are_described_for_people() -> None:
    found = {field.name: field for field in fields(Sample)}
    assert list(found) == [*("count", "share", "depth", "even", "box", "sizes", "mode", "level", "loud", "title")]
    count, depth = found["count"], found["depth"]
    assert (count.type, count.default, count.meaning) == ("int", 10, "how many")
    assert (count.minimum, count.maximum, count.optional) == (1, 1000, False)
    assert (depth.type, depth.minimum, depth.default, depth.optional) == ("int", 2, None, True)
    assert (found["mode"].type, found["mode"].meaning) == ("choice", "how")
    assert sorted(found["mode"].choices) == ["exact", "fast"]
    assert (found["box"].type, found["box"].default) == ("numbers", (0.0, 1.0))
    assert (found["sizes"].type, found["sizes"].default) == ("numbers", [1])
    assert (found["loud"].type, found["title"].type) == ("yes or no", "text")


def test_the_runs_own_parameters_are_left_out_of_the_fields() -> None:
    assert not {"tasks", "seed"} & {field.name for field in fields(Sample)}
    with pytest.raises(UnknownNameError, match="unknown parameter 'tasks'"):
        parse(Sample, {"tasks": "3"})
    assert parse(Sample, {}, tasks=3, seed=9).tasks == 3


def test_texts_become_values() -> None:
    params = parse(
        Sample,
        {
            "count": "1_000",
            "share": "1e-3",
            "depth": "7",
            "box": "-1, 2.5",
            "sizes": "3,4",
            "mode": "exact",
            "level": "2",
            "loud": "Yes",
            "title": "no numbers: 12",
        },
    )
    assert params == Sample(
        count=1000,
        share=1e-3,
        depth=7,
        box=(-1.0, 2.5),
        sizes=[3, 4],
        mode="exact",
        level=2,
        loud=True,
        title="no numbers: 12",
    )


@pytest.mark.parametrize("text", ["", "none", "None", "null"])
def test_an_optional_parameter_can_be_unset(text: str) -> None:
    assert parse(Sample, {"depth": text}).depth is None


@pytest.mark.parametrize(("text", "value"), [("yes", True), ("on", True), ("1", True), ("FALSE", False), ("no", False)])
def test_yes_and_no_have_many_spellings(text: str, value: bool) -> None:
    assert parse(Sample, {"loud": text}).loud is value


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("count", "0", "must be at least 1"),
        ("count", "1001", "must be at most 1000"),
        ("count", "ten", "must be a whole number"),
        ("count", "1.5", "must be a whole number"),
        ("count", "", "must be a whole number"),
        ("share", "0", "must be more than 0"),
        ("share", "1", "must be less than 1"),
        ("share", "half", "must be a number"),
        ("share", "nan", "must be a number"),
        ("share", "inf", "must be a number"),
        ("depth", "1", "must be at least 2"),
        ("depth", "deep", "must be a whole number"),
        ("even", "3", "must be a multiple of 2"),
        ("box", "1", "must be 2 numbers separated by commas, got 1"),
        ("box", "1,x", "must be numbers separated by commas"),
        ("box", "2,1", "give the smaller number first"),
        ("sizes", "1,2,3,4", "must be at most 3 numbers separated by commas"),
        ("sizes", "1.5", "must be numbers separated by commas"),
        ("level", "3", "must be one of 1, 2"),
        ("loud", "perhaps", "must be yes or no"),
        ("title", "x", "must have at least 2 characters"),
    ],
)
def test_a_bad_text_gets_one_plain_line_that_repeats_it(name: str, text: str, words: str) -> None:
    assert refused(**{name: text}) == f"parameter {name}={text}: {words}"


def test_a_bad_choice_lists_all_choices() -> None:
    message = refused(mode="slow")
    assert message.startswith("parameter mode=slow: must be one of ")
    assert "fast" in message
    assert "exact" in message


def test_a_rule_over_several_fields_keeps_its_own_message() -> None:
    assert refused(count="13", loud="yes") == "parameters: count and loud do not go together"


def test_an_unknown_name_gets_the_nearest_one() -> None:
    assert refused(cuont="3") == "unknown parameter 'cuont': did you mean 'count'?"


def test_a_missing_parameter_is_named() -> None:
    assert refused(Needy) == "parameter path is required: it has no default"


def test_the_message_names_the_kind_of_setting() -> None:
    with pytest.raises(InputError, match=r"^backend setting count=0: must be at least 1$"):
        parse(Sample, {"count": "0"}, what="backend setting")


def test_a_long_text_is_not_repeated_in_full() -> None:
    assert len(refused(count="9" * 5000)) < 150


@UNHURRIED
@given(st.dictionaries(st.sampled_from([field.name for field in fields(Sample)]), st.text(max_size=8), max_size=4))
def test_any_texts_give_params_or_one_line(texts: dict[str, str]) -> None:
    try:
        params = parse(Sample, texts)
    except InputError as error:
        assert str(error)
    else:
        assert msgspec.convert(settable(params), Sample) == params


@UNHURRIED
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "count": st.integers(-5, 1005),
            "share": st.floats(),
            "depth": st.none() | st.integers(),
            "box": st.lists(st.floats(), max_size=3),
            "mode": st.sampled_from(["fast", "x", 3]),
            "loud": st.booleans() | st.none(),
        },
    )
)
def test_values_of_other_types_than_text_are_checked(values: dict[str, Any]) -> None:
    try:
        params = parse(Sample, values)
    except InputError as error:
        assert "`" not in str(error)
    else:
        assert all(settable(params)[name] == pytest.approx(value, nan_ok=True) for name, value in values.items())


@pytest.mark.parametrize("name", registry.names())
def test_every_workload_can_be_described_and_its_defaults_parse(name: str) -> None:
    struct = registry.describe(name).params
    assert all(field.meaning for field in fields(struct))
    assert parse(struct, {}) == struct()
    assert msgspec.json.decode(msgspec.json.encode(settable(struct()))) is not None
