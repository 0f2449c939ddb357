from __future__ import annotations

import msgspec
import pytest

from lbench.engine.backends import catalog
from lbench.engine.plan.parse import DEFAULT_BACKENDS, parse_backend
from lbench.engine.plan.plan import BackendChoice, Plan, resolve_params
from lbench.engine.plan.validate import validate
from lbench.errors import InputError, UnknownNameError

LOCAL = [BackendChoice("processes", "processes")]


def plan(**fields):
    return Plan(**({"workload": "probe", "backends": LOCAL} | fields))


# -- a backend as it is typed


def test_a_name_alone_takes_the_defaults():
    choice = parse_backend("processes", {})
    assert (choice.name, choice.label) == ("processes", "processes")
    assert choice.settings == {"concurrency": None, "blas_threads": 1}


def test_settings_and_a_label_can_be_given():
    choice = parse_backend("emulated:memory=512,arch=arm64@small", {})
    assert (choice.name, choice.label) == ("emulated", "small")
    assert choice.settings["memory"] == 512 and choice.settings["arch"] == "arm64"


def test_defaults_fill_what_the_backend_knows_and_the_text_does_not_say():
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
    ("text", "told"),
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
def test_what_cannot_be_a_backend_is_told_in_one_line(text, told):
    with pytest.raises(InputError) as caught:
        parse_backend(text, {})
    assert told in str(caught.value)
    assert "\n" not in str(caught.value).replace("\\n", "")


# -- a plan


def test_a_good_plan_is_accepted():
    validate(plan())
    validate(plan(params={"kind": "sleep", "seconds": "0.5"}, tasks=7, repeats=1, warmup=2, retries=0))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"workload": "prob"}, "did you mean 'probe'"),
        ({"params": {"secs": 1}}, "unknown parameter 'secs'"),
        ({"params": {"seconds": -1}}, "seconds=-1"),
        ({"params": {"seconds": [1]}}, "seconds=1"),
        ({"params": {"tasks": 3}}, "'tasks'"),
        ({"repeats": 0}, "--repeats must be at least 1, got 0"),
        ({"warmup": -1}, "--warmup must be at least 0, got -1"),
        ({"retries": -1}, "--retries must be at least 0, got -1"),
        ({"tasks": 0}, "--tasks must be at least 1, got 0"),
        ({"timeout_s": 0.0}, "--timeout must be above 0 and at most 900 seconds, as on Lambda, got 0"),
        ({"timeout_s": 901.0}, "--timeout must be above 0 and at most 900 seconds, as on Lambda, got 901"),
        ({"timeout_s": float("nan")}, "--timeout must be above 0 and at most 900 seconds, as on Lambda, got nan"),
        ({"backends": []}, "no backend"),
        ({"backends": LOCAL * 2}, "two backends have the label 'processes'"),
        ({"backends": [BackendChoice("nowhere", "x")]}, "unknown backend 'nowhere'"),
        ({"backends": [BackendChoice("processes", "x", {"speed": 1})]}, "unknown processes setting 'speed'"),
        (
            {"backends": [BackendChoice("emulated", "x", {"region": "mars-1"})]},
            "no verified prices for region 'mars-1'",
        ),
        ({"data": "loans.csv"}, "probe reads no data"),
        ({"picture": "x.png"}, "probe has no picture"),
        ({"workload": "random_forest", "data": "/no/such.csv"}, "there is no such file"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(fields, told):
    with pytest.raises(InputError) as caught:
        validate(plan(**fields))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_plan_travels_to_the_engine_and_back():
    there = plan(params={"seconds": 0.5}, seed=2**40, backends=[parse_backend("emulated:memory=512@e", {})])
    back = msgspec.convert(msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(there))), Plan)
    assert back == there
    validate(back)


def test_a_plan_with_fields_of_another_version_is_refused():
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert({"workload": "probe", "nonsense": 0.9}, Plan)


def test_the_runs_own_parameters_reach_the_workload():
    params = resolve_params(plan(tasks=7, seed=3))
    assert (params.tasks, params.seed) == (7, 3)


def test_a_plan_for_an_unknown_workload_says_which_there_are():
    with pytest.raises(UnknownNameError):
        resolve_params(plan(workload="x"))
