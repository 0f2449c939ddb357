"""Functions recorded by SeBS at several memory sizes: their times at one size, from other sizes."""

from __future__ import annotations

import itertools
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lbench.engine.simulation.compute import Work, fit_work, speed
from lbench.engine.simulation.parameters import lambda_model
from lbench.engine.simulation.recordings.files import Recordings, read_rows
from lbench.engine.simulation.recordings.report import HIGH, LOW, Coverage, Figure, Report

Floats = NDArray[np.float64]

THREADS = {"411": 2.0}  # busy threads of a function, where it has more than one
# S3 requests of a warm call, reads and writes, by SeBS's source: boto3's download is a HEAD and a GET, and 311 lists and
# loads the 39 files of its data of 2020. 120 asks another host, of which nothing is known.
REQUESTS = {"210": (2, 1), "311": (79, 1), "411": (2, 0), "503": (0, 0)}
FIT_MB = (512.0, 1024.0)  # what memory laws are fitted on, where both are recorded; else on all sizes


def predict_functions(recordings: Recordings, base: Recordings, report: Report) -> None:
    """Predict calls of functions: medians and 90 % intervals at each memory size, and one size from another."""
    inside = count = inside_seen = count_seen = 0
    for path in recordings.of("function"):
        name = path.stem.removeprefix("sebs_")
        threads = THREADS.get(_number(name), 1.0)
        fitted_on = base.like("function", path)
        for kind in ("warm", "cold"):
            fit = _by_memory(fitted_on, kind)
            if all(size in fit for size in FIT_MB):
                fit = {size: fit[size] for size in FIT_MB}
            if len(fit) < 2:
                if fit:
                    report.left_out.append(f"{path.name}, {kind}: calls at two memory sizes are needed")
                continue
            # The quantiles follow the same law as the median; the odd calls are fitted, the even ones are predicted.
            odd = {size: times[1::2] for size, times in fit.items()}
            whole = fit_work({size: float(np.median(times)) for size, times in fit.items()}, threads)
            low, high = (
                fit_work({size: float(np.quantile(times, share)) for size, times in odd.items()}, threads)
                for share in (LOW, HIGH)
            )
            for size, times in sorted(_by_memory(path, kind).items()):
                seen = size in fit
                what = f"{name}, {kind}, {size:g} MB"
                report.figures["functions"].append(
                    Figure(what, float(np.median(times)), whole.seconds(size), seen=seen)
                )
                checked = times[0::2] if seen else times
                hits = int(((checked >= low.seconds(size)) & (checked <= high.seconds(size))).sum())
                if seen:
                    inside_seen, count_seen = inside_seen + hits, count_seen + len(checked)
                else:
                    inside, count = inside + hits, count + len(checked)
            if kind == "warm":
                _from_one_size(name, {size: float(np.median(times)) for size, times in fit.items()}, threads, report)
    if count_seen:
        report.coverage.append(Coverage("calls of functions (the other half)", inside_seen, count_seen))
    if count:
        report.coverage.append(Coverage("calls of functions at sizes not fitted", inside, count))


def _number(name: str) -> str:
    """SeBS's number of a function, as a part of a file's name; "": there is none."""
    return next((part for part in name.split("_") if len(part) == 3 and part.isdigit()), "")


def _from_one_size(name: str, medians_s: dict[float, float], threads: float, report: Report) -> None:
    """Predict one size from another one: all of it computing, or all but the S3 requests that its source makes."""
    requests = REQUESTS.get(_number(name))
    for one, other in itertools.permutations(sorted(medians_s), 2):
        what = f"{name}, {other:g} MB from {one:g}"
        laws = {"all of it computing": fit_work({one: medians_s[one]}, threads)}
        if requests is not None:
            wait_s = min(_requests_s(*requests), medians_s[one])
            cpu_s = (medians_s[one] - wait_s) * speed(one, threads)
            laws["its S3 requests known"] = Work(cpu_s=cpu_s, wait_s=wait_s, threads=threads)
        for law, work in laws.items():
            report.figures[f"functions from one size, {law}"].append(
                Figure(what, medians_s[other], work.seconds(other))
            )


def _requests_s(reads: int, writes: int) -> float:
    """The median time of so many S3 requests of a few bytes, one after the other."""
    rng, model = np.random.default_rng(1), lambda_model()
    sums = model.s3_get_s.draw(rng, (4000, reads)).sum(axis=1) + model.s3_put_s.draw(rng, (4000, writes)).sum(axis=1)
    return float(np.median(sums))


def _by_memory(path: Path, kind: str) -> dict[float, Floats]:
    found: dict[float, list[float]] = defaultdict(list)
    for row in read_rows(path, "memory", "exec_time", texts=("type",)):
        if row["type"] == kind and float(row["exec_time"]) > 0:
            found[float(row["memory"])].append(float(row["exec_time"]) / 1e6)
    return {size: np.array(times) for size, times in found.items()}
