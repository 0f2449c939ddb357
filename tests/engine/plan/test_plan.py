from __future__ import annotations

import msgspec
import pytest

from lbench.engine.plan.parse import parse_backend
from lbench.engine.plan.plan import BackendChoice, Plan, resolve_params
from lbench.engine.plan.validate import validate
from lbench.errors import UnknownNameError

LOCAL = [BackendChoice("processes", "processes")]


def plan(**fields):
    return Plan(**({"workload": "probe", "backends": LOCAL} | fields))


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


def test_an_unknown_workload_is_an_error():
    with pytest.raises(UnknownNameError):
        resolve_params(plan(workload="x"))
