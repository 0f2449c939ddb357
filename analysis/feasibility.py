"""Checks whether a job can run on AWS Lambda: a measured sample against each limit, with a verdict and a remedy."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Literal

import msgspec

from lbench.analysis.format import percent_text, seconds_text
from lbench.analysis.granularity import grain_notes
from lbench.config.limits import limits
from lbench.engine.sampling.model import Noticed, Sample
from lbench.engine.simulation.distributions import Distribution, Lognormal
from lbench.engine.simulation.parameters import lambda_model
from lbench.errors import count_text

__all__ = ["Feasibility", "Finding", "PackageWeight", "feasibility", "headroom_text", "summary_sentence"]

VerdictKind = Literal["fits", "tight", "no", "note"]

_TIGHT = 0.8  # of a limit
_MIB = 1 << 20
_NAMED = 3


class PackageWeight(msgspec.Struct, frozen=True, kw_only=True):
    """The deployment package; `zipped_bytes` is None where it was not built."""

    unzipped_bytes: int
    zipped_bytes: int | None
    largest: tuple[str, ...]  # its largest parts, by name
    basis: str  # how that is known, in a few words


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One row. `headroom` is the share of the limit that is left, None where there is nothing to count."""

    what: str
    measured: str
    limit: str
    verdict: VerdictKind
    headroom: float | None = None
    detail: str = ""  # how the measured figure was found
    remedy: str = ""
    value: float | None = None  # what was measured, and the limit, in `unit`
    most: float | None = None
    unit: str = ""


class Feasibility(msgspec.Struct, frozen=True, kw_only=True):
    """The rows, and what was looked at."""

    rows: list[Finding]
    notes: list[str]  # how the job is cut

    @property
    def possible(self) -> bool:
        """Whether nothing forbids it."""
        return all(row.verdict != "no" for row in self.rows)


def feasibility(sample: Sample, package: PackageWeight | None, core_ratio: Distribution | None = None) -> Feasibility:
    """Hold a sample against the limits of Lambda; `core_ratio`: vCPUs that a core here is worth (default: the model's)."""
    ratio = core_ratio or lambda_model().core_ratio
    rows = [_time(sample, ratio), _memory(sample), *_package(package), *_payloads(sample), _scratch(sample)]
    rows += [_concurrency(sample), *_noticed(sample.noticed or [])]
    notes = []
    for stage in sample.stages[:1]:
        notes = grain_notes(stage.compute_s, {"processes": sample.overhead_s}, stage.tasks, sample.workers)
    return Feasibility(rows=rows, notes=notes)


def _ends(ratio: Distribution) -> tuple[float, float]:
    """The median, and what 97.5 % of the draws are below."""
    return ratio.median, ratio.quantile(0.975) if isinstance(ratio, Lognormal) else ratio.median


def _verdict(share: float) -> VerdictKind:
    return "no" if share > 1 else "tight" if share > _TIGHT else "fits"


def _time(sample: Sample, ratio: Distribution) -> Finding:
    most_s = limits().timeout_max_s
    times = [(seconds, stage.wait) for stage in sample.stages for seconds in stage.compute_s]
    longest_s, wait = max([*times, (sample.longest_unended_s or 0.0, 0.0)])
    core, core_high = _ends(ratio)
    middle, high = (wait + (1 - wait) * one for one in (core, core_high))
    unended = sample.longest_unended_s is not None and longest_s == sample.longest_unended_s
    here = f"more than {seconds_text(longest_s)}" if unended else seconds_text(longest_s)
    of = "" if sample.complete else f" (of {sample.sampled_tasks:,} of {sample.known_tasks:,} tasks)"
    waits = f", {percent_text(wait)} of it waiting" if wait else ""
    share = longest_s * middle / most_s
    verdict = _verdict(longest_s * high / most_s)
    if verdict == "no" and share <= 1:
        verdict = "tight"
    pieces = math.ceil(longest_s * high / (most_s * _TIGHT))
    remedy = "" if verdict == "fits" else f"cut the tasks into {pieces} times as many"
    if unended and verdict == "fits":
        verdict, remedy = "tight", "it was stopped by the sample's limit: measure it whole with --for SECONDS"
    return Finding(
        what="longest task",
        measured=f"{'> ' if unended else ''}{seconds_text(longest_s * middle)} on a vCPU",
        limit=f"{most_s} s",
        headroom=1 - share,
        verdict=verdict,
        detail=f"{here} here{waits}{of}; a core of this machine is taken for {core:.2g} vCPUs, at most {core_high:.2g}",
        remedy=remedy,
        value=longest_s * middle,
        most=most_s,
        unit="s",
    )


def _memory(sample: Sample) -> Finding:
    peak = max((peak for stage in sample.stages for peak in stage.peak_mb), default=0)
    most, new = limits().memory_max_mb, limits().new_account_memory_mb
    limit = f"{most:,} MB"
    if not peak:
        return Finding(what="peak memory", measured="not measured", limit=limit, verdict="note")
    verdict = _verdict(peak / most)
    remedy = ""
    if verdict == "no":
        remedy = "cut the tasks smaller, or rent a machine with more memory (lbench estimate)"
    elif peak > new:
        verdict, remedy = "tight", f"a new account has {new:,} MB at most: ask AWS for more first"
    return Finding(
        what="peak memory",
        measured=f"{peak:,} MB",
        limit=limit,
        headroom=1 - peak / most,
        verdict=verdict,
        remedy=remedy,
        value=peak,
        most=most,
        unit="MB",
    )


def _package(package: PackageWeight | None) -> Iterator[Finding]:
    if package is None:
        return
    most, direct = limits().package_unzipped_max_bytes, limits().package_zipped_max_bytes
    share = package.unzipped_bytes / most
    verdict = _verdict(share)
    largest = ", ".join(package.largest[:_NAMED])
    yield Finding(
        what="package, unzipped",
        measured=f"{package.unzipped_bytes / _MIB:,.0f} MB",
        detail=package.basis,
        limit=f"{most // _MIB} MB",
        value=package.unzipped_bytes / _MIB,
        most=most / _MIB,
        unit="MB",
        headroom=1 - share,
        verdict=verdict,
        remedy=f"leave out a requirement; the largest are {largest}" if verdict == "no" else "",
    )
    if package.zipped_bytes is not None:
        over = package.zipped_bytes > direct
        yield Finding(
            what="package, zipped",
            measured=f"{package.zipped_bytes / _MIB:,.0f} MB",
            limit=f"{direct // _MIB} MB",
            value=package.zipped_bytes / _MIB,
            most=direct / _MIB,
            unit="MB",
            headroom=None if over else 1 - package.zipped_bytes / direct,
            verdict="note" if over else "fits",
            remedy="lbench deploy uploads it through S3" if over else "",
        )


def _payloads(sample: Sample) -> Iterator[Finding]:
    most, event = limits().payload_max_bytes, limits().event_max_bytes
    for what, sizes in (
        ("largest arguments", [size for stage in sample.stages for size in stage.request_bytes]),
        ("largest result", [size for stage in sample.stages for size in stage.response_bytes]),
    ):
        if not sizes:
            continue
        largest = max(sizes) * 4 / 3  # in base64
        by_s3 = "goes through S3: the time and the requests of a PUT and a GET for each task"
        remedy = by_s3 if largest > most else f"{by_s3} with --transport event" if largest > event else ""
        yield Finding(
            what=what,
            measured=_size(largest),
            limit=f"{most // _MIB} MB",
            value=largest / _MIB,
            most=most / _MIB,
            unit="MB",
            headroom=None if largest > most else 1 - largest / most,
            verdict="note" if largest > event else "fits",
            remedy=remedy,
        )


def _scratch(sample: Sample) -> Finding:
    free, most = limits().ephemeral_min_mb, limits().ephemeral_max_mb
    limit = f"{most:,} MB"
    if sample.scratch_bytes is None:
        return Finding(what="files in /tmp", measured="not measured", limit=limit, verdict="note")
    data_mb = sample.data_bytes / _MIB
    used = sample.scratch_bytes / _MIB + data_mb
    verdict = _verdict(used / most)
    remedy = ""
    if verdict != "no" and used > free:
        verdict, remedy = "note", f"deploy with --ephemeral {math.ceil(used / 64) * 64}: it is charged for"
    elif verdict == "no":
        remedy = "keep less in files at once"
    return Finding(
        what="files in /tmp",
        measured=f"{used:,.1f} MB",
        detail=f"{data_mb:,.1f} MB of it the data set" if data_mb >= 0.1 else "",
        value=used,
        most=most,
        unit="MB",
        limit=limit,
        headroom=1 - used / most,
        verdict=verdict,
        remedy=remedy,
    )


def _concurrency(sample: Sample) -> Finding:
    widest = max((stage.tasks for stage in sample.stages), default=0)
    most, new = limits().concurrency, int(lambda_model().concurrency_of_new_accounts.median)
    wait = "those above it wait for a free environment"
    return Finding(
        what="tasks at once",
        measured=f"{widest:,}",
        limit=f"{most:,}",
        value=widest,
        most=most,
        unit="tasks",
        headroom=None if widest > most else 1 - widest / most,
        verdict="note" if widest > new else "fits",
        remedy=(wait if widest > most else f"a new account has {new}: {wait}") if widest > new else "",
    )


def _noticed(noticed: list[Noticed]) -> Iterator[Finding]:
    hosts = [one.what for one in noticed if one.kind == "network"]
    if here := [one.what for one in noticed if one.kind == "port"]:
        yield Finding(
            what="ports of this machine",
            measured=_some(here, 1),
            limit="the task's own",
            verdict="note",
            detail=", ".join(here),
            remedy="what listens on this machine is not there on Lambda, unless the task starts it itself",
        )
    inside = [host for host in hosts if _is_private(host)]
    if inside:
        yield Finding(
            what="network",
            measured=_some(inside, 1),
            limit="internet",
            verdict="no",
            detail=", ".join(inside),
            remedy="a function reaches no private network unless it is put into a VPC, which lbench does not do",
        )
    elif hosts:
        yield Finding(
            what="network",
            measured=_some(hosts, 1),
            limit="internet",
            verdict="note",
            detail=", ".join(hosts),
            remedy="it can be reached from Lambda; each environment opens connections of its own",
        )
    if programs := [one.what for one in noticed if one.kind == "program"]:
        yield Finding(
            what="programs started",
            measured=_some(programs, 2),
            limit="the package",
            verdict="tight",
            detail=", ".join(programs),
            remedy="Lambda's image has Python, a shell and little else: put the program into the package",
        )
    if gpu := [one.what for one in noticed if one.kind == "gpu"]:
        yield Finding(
            what="GPU",
            measured=_some(gpu, 2),
            limit="none",
            verdict="no",
            detail=", ".join(gpu),
            remedy="Lambda has no GPU: compute on the processor, or rent a machine with one",
        )
    if written := [one.what for one in noticed if one.kind == "write"]:
        yield Finding(
            what="files written",
            measured=_some([_short(path) for path in written], 1),
            limit="/tmp only",
            verdict="no",
            detail=", ".join(written),
            remedy="everything but /tmp is read-only there: write below tempfile.gettempdir()",
        )


def _is_private(host: str) -> bool:
    name = host.rpartition(":")[0] or host
    try:
        return ipaddress.ip_address(name).is_private
    except ValueError:
        return "." not in name or name.endswith((".local", ".internal", ".lan"))


def _short(path: str) -> str:
    """A path with its last two parts only."""
    parts = PurePosixPath(path).parts
    return path if len(parts) <= _NAMED else f".../{'/'.join(parts[-2:])}"


def _some(names: list[str], shown: int) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _size(count: float) -> str:
    return f"{count / _MIB:,.1f} MB" if count >= _MIB / 10 else f"{count / 1024:,.1f} KB"


def headroom_text(headroom: float | None) -> str:
    """The share that is left: "94 %"; "–" where there is none to count."""
    if headroom is None or headroom < 0:
        return "–" if headroom is None else "none"
    return "> 99 %" if headroom > 0.99 else percent_text(headroom)


def summary_sentence(found: Feasibility, workload: str) -> str:
    """The verdict in one sentence."""
    bad = [row for row in found.rows if row.verdict == "no"]
    if bad:
        reasons = "; ".join(f"{row.what} ({row.measured}): {row.remedy}" for row in bad)
        return f"{workload} cannot run on AWS Lambda as it is: {reasons}."
    tight = [row.what for row in found.rows if row.verdict == "tight"]
    if tight:
        return f"{workload} can run on AWS Lambda; look at {count_text(len(tight), 'row')} first: {', '.join(tight)}."
    return f"{workload} can run on AWS Lambda: nothing here forbids it."
