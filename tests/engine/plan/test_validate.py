from __future__ import annotations

import pytest

from lbench.engine.plan.plan import BackendChoice, Plan
from lbench.engine.plan.validate import validate
from lbench.errors import InputError

LOCAL = [BackendChoice("processes", "processes")]


def plan(**fields):
    return Plan(**({"workload": "probe", "backends": LOCAL} | fields))


def test_a_good_plan_is_accepted():
    validate(plan())
    validate(plan(params={"kind": "sleep", "seconds": "0.5"}, tasks=7, repeats=1, warmup=2, retries=0))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"workload": "prob"}, "did you mean 'probe'"),
        ({"params": {"secs": 1}}, "unknown parameter 'secs'"),
        ({"params": {"seconds": -1}}, "seconds=-1"),
        ({"params": {"seconds": [1]}}, "seconds=1"),
        ({"params": {"tasks": 3}}, "parameter tasks is set by --tasks"),
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
def test_an_invalid_plan_is_an_error_of_one_line(fields, message):
    with pytest.raises(InputError) as caught:
        validate(plan(**fields))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
