"""The kernels that compare cores: the same sums everywhere, in turns."""

from __future__ import annotations

from lbench.workloads import registry
from lbench.workloads.parameters import parse
from lbench.workloads.probe import ProbeParams
from lbench.workloads.probe.kernels import KERNELS, run_kernel


def test_each_kernel_has_one_sum_whatever_computes_it() -> None:
    sums = dict(zip(KERNELS, map(run_kernel, range(3)), strict=True))
    assert sums == {"python": 1_547_156_166, "blas": 19_327_297_593, "memory": 536_197_129_929}


def test_a_run_takes_them_in_turns_and_is_checked() -> None:
    params = parse(ProbeParams, {"kind": "kernels"}, tasks=4)
    workload = registry.load(registry.describe("probe"))
    tasks = next(workload.job(params, None))
    assert [task.arguments["number"] for task in tasks] == [0, 1, 2, 3]
    reference = workload.reference(params, None)
    assert reference[0] == reference[3] != reference[1]
    assert workload.limits(parse(ProbeParams, {"kind": "kernels"})).tasks == 9
