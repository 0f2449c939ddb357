from __future__ import annotations

import pytest

from lbench.engine.backends import catalog
from lbench.engine.plan.parse import DEFAULT_BACKENDS, parse_backend
from lbench.errors import InputError


def test_a_name_alone_takes_the_defaults():
    choice = parse_backend("processes", {})
    assert (choice.name, choice.label) == ("processes", "processes")
    assert choice.settings == {"concurrency": None, "blas_threads": 1}


def test_settings_and_a_label_can_be_given():
    choice = parse_backend("emulated:memory=512,arch=arm64@small", {})
    assert (choice.name, choice.label) == ("emulated", "small")
    assert choice.settings["memory"] == 512 and choice.settings["arch"] == "arm64"


def test_defaults_apply_to_settings_that_the_text_leaves_out():
    defaults = {"concurrency": 3, "memory": 1024, "region": "eu-west-1"}
    assert parse_backend("processes", defaults).settings["concurrency"] == 3
    assert parse_backend("emulated:memory=2048", defaults).settings["memory"] == 2048
    assert parse_backend("emulated", defaults).settings["region"] == "eu-west-1"
    assert parse_backend("sequential", defaults).settings == {"blas_threads": 1}


def test_every_default_backend_can_be_parsed():
    for name in DEFAULT_BACKENDS:
        assert parse_backend(name, {}).name == name
    assert set(DEFAULT_BACKENDS) <= set(catalog.names())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("procesess", "did you mean 'processes'"),
        ("", "unknown backend ''"),
        (":", "unknown backend ''"),
        ("@x", "unknown backend ''"),
        ("processes:concurrency", "write settings as key=value"),
        ("processes:concurency=2", "did you mean 'concurrency'"),
        ("processes:concurrency=0", "concurrency=0"),
        ("processes:concurrency=two", "concurrency=two"),
        ("processes:concurrency=1e3", "concurrency=1e3"),
        ("processes:=2", "unknown processes setting ''"),
        ("sequential:concurrency=2", "unknown sequential setting 'concurrency'"),
        ("emulated:memory=64", "memory=64"),
        ("emulated:arch=sparc", "arch=sparc"),
        ("processes@", "a label must be 1 to 32"),
        ("processes@a b", "a label must be 1 to 32"),
        ("processes@" + "x" * 33, "a label must be 1 to 32"),
        ("processes@x\n", "a label must be 1 to 32"),
    ],
)
def test_an_invalid_backend_is_an_error_of_one_line(text, message):
    with pytest.raises(InputError) as caught:
        parse_backend(text, {})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value).replace("\\n", "")
