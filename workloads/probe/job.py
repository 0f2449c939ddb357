"""The probe's job: one stage of equal tasks."""

from __future__ import annotations

from typing import Any

from lbench.workloads import functions
from lbench.workloads.model import Check, Job, Limits, Task, Workload
from lbench.workloads.probe import ProbeParams

__all__ = ["WORKLOAD"]


class Probe(Workload[ProbeParams]):
    """Equal tasks whose answer is known beforehand."""

    def job(self, params: ProbeParams, data: Any) -> Job:
        """One stage; the answer is the list of results."""
        count = self.limits(params).tasks or 0
        if params.kind == "spin" and params.threads > 1:
            return (
                yield [
                    Task("probe.spin", number=i, seconds=params.seconds, threads=params.threads) for i in range(count)
                ]
            )
        if params.kind in ("spin", "sleep", "spawn"):
            return (yield [Task(f"probe.{params.kind}", number=i, seconds=params.seconds) for i in range(count)])
        if params.kind == "kernels":
            return (yield [Task("probe.kernel", number=i) for i in range(count)])
        if params.kind == "carry":
            blob = bytes(params.size_bytes)
            return (yield [Task("probe.carry", number=i, blob=blob) for i in range(count)])
        return (yield [Task("probe.noop", number=i) for i in range(count)])

    def reference(self, params: ProbeParams, data: Any) -> list[Any]:
        """What the tasks must return."""
        count = self.limits(params).tasks or 0
        if params.kind == "kernels":
            from lbench.workloads.probe.kernels import KERNELS, run_kernel

            sums = [run_kernel(number) for number in range(len(KERNELS))]
            return [sums[number % len(sums)] for number in range(count)]
        return [bytes(params.size_bytes)] * count if params.kind == "carry" else list(range(count))

    def loop(self, params: ProbeParams, data: Any) -> list[Any]:
        """A plain loop over the tasks' functions."""
        return [functions.call(task.function, task.arguments) for task in next(self.job(params, data))]

    def reference_key(self, params: ProbeParams) -> dict[str, Any]:
        """All parameters: the answer is as long as there are tasks."""
        return {"tasks": self.limits(params).tasks, "kind": params.kind, "size_bytes": params.size_bytes}

    def check(self, params: ProbeParams, answer: Any, reference: Any) -> Check:
        """Equal to what was sent."""
        return Check(ok=answer == reference, how="each task returned what it was given")

    def limits(self, params: ProbeParams) -> Limits:
        carried = params.size_bytes if params.kind == "carry" else 0
        return Limits(tasks=params.tasks or (9 if params.kind == "kernels" else 100), largest_bytes=carried + 1024)


WORKLOAD = Probe()
