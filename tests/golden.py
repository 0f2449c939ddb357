"""Every figure of a session's report, from its exported CSV and JSON alone: numpy and `decimal`, nothing of lbench.

    python tests/golden.py session.json session.csv

Written from docs/statistics.md and AWS's way of billing, not from the code that it checks. Makespans, answers and prices
are in the JSON only; all else is recomputed from the CSV's invocations.
"""

from __future__ import annotations

import csv
import json
import math
import statistics
import sys
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal, getcontext
from pathlib import Path
from typing import Any

import numpy as np

NONE = "–"
GB = 1024**3


# Text: three digits


def three(value: float) -> str:
    """Three digits, and all before the point."""
    decimals = next((n for limit, n in ((0.9995, 3), (9.995, 2), (99.95, 1)) if abs(value) < limit), 0)
    return f"{value:,.{decimals}f}"


def ms(value: float) -> str:
    """Milliseconds; seconds from ten on."""
    if value >= 9999.5:
        return f"{three(value / 1000)} s"
    return f"{value:.2f} ms" if value < 9.995 else f"{three(value)} ms"


def seconds(value: float) -> str:
    """A makespan."""
    return ms(value * 1000) if value < 0.9995 else f"{three(value)} s"


def seconds_interval(value: float, ends: tuple[float, float] | None) -> str:
    """Both ends in the value's unit."""
    if ends is None:
        return NONE
    in_ms = value < 0.9995
    low, high = (end * 1000 if in_ms else end for end in ends)
    return f"{low:.2f}–{high:.2f}" if in_ms and high < 9.995 else f"{three(low)}–{three(high)}"


def times(value: float) -> str:
    """A ratio: two digits below 0.1."""
    return f"{value:.2g}" if 0 < value < 0.0995 else f"{value:.2f}" if value < 9.995 else three(value)


def usd(amount: Decimal) -> str:
    """Cents, or two digits below a dollar."""
    if not amount:
        return "$0"
    digits = max(2, 1 - amount.adjusted())
    text = f"{amount.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP):,f}"
    whole, _, rest = text.partition(".")
    return f"${whole}.{rest.rstrip('0').ljust(2, '0')}"


# Statistics


def t_quantile(degrees: int) -> float:
    """Where 95 % of Student's distribution lie on both sides of 0, by integrating its density."""
    x = np.linspace(0, 400, 4_000_001)
    density = (1 + x**2 / degrees) ** (-(degrees + 1) / 2)
    scale = math.gamma((degrees + 1) / 2) / math.gamma(degrees / 2) / math.sqrt(degrees * math.pi)
    mass = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)]) * (x[1] - x[0]) * scale * 2
    return float(np.interp(0.95, mass, x))


def expanded(resampled: Any, count: int) -> tuple[float, float]:
    """The percentile interval, expanded for few values (Hesterberg 2015, 5.3)."""
    z = math.sqrt(count / (count - 1)) * t_quantile(count - 1)
    tail = math.erfc(z / math.sqrt(2)) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return float(low), float(high)


def resampled_medians(values: list[float], generator: Any) -> Any:
    """Of 4,000 resamples."""
    picks = generator.integers(0, len(values), (4000, len(values)), dtype=np.int32)
    return np.median(np.sort(values)[picks], axis=1)


def median_interval(values: list[float]) -> tuple[float, float] | None:
    """None, a range, order statistics, or a bootstrap, by the number of values."""
    ordered, count = sorted(values), len(values)
    if count < 2:
        return None
    if count < 6:
        return ordered[0], ordered[-1]
    if count < 20:
        cut = 0
        while 2 * sum(math.comb(count, k) for k in range(cut + 2)) <= 0.05 * 2**count:
            cut += 1
        return ordered[cut], ordered[-1 - cut]
    return expanded(resampled_medians(values, np.random.default_rng(1)), count)


def ratio_interval(over: list[float], under: list[float]) -> tuple[float, float] | None:
    """Of runs without rounds: none, least to greatest, or both resampled."""
    count = min(len(over), len(under))
    if count < 2:
        return None
    if count < 6:
        return min(over) / max(under), max(over) / min(under)
    generator = np.random.default_rng(1)
    top = resampled_medians(over, generator)
    return expanded(top / resampled_medians(under, generator), count)


def quantile_intervals(repeats: list[list[float]], shares: list[float]) -> list[tuple[float, float] | None]:
    """Over the invocations of several repeats, at both levels."""
    count = len(repeats)
    if count < 2:
        return [None for _ in shares]
    pooled = [float(np.quantile(np.concatenate(repeats), share)) for share in shares]
    if count < 6:
        own = [[float(np.quantile(one, share)) for one in repeats] for share in shares]
        return [(min(*few, whole), max(*few, whole)) for few, whole in zip(own, pooled, strict=True)]
    ordered = [np.sort(one) for one in repeats]
    sizes = np.array([len(one) for one in ordered])
    generator = np.random.default_rng(1)
    found = []
    for _ in range(1000):
        chosen = generator.integers(0, count, count)
        draws = np.split(generator.random(int(sizes[chosen].sum())), np.cumsum(sizes[chosen])[:-1])
        values = [ordered[c][(u * sizes[c]).astype(int)] for c, u in zip(chosen, draws, strict=True)]
        found.append(np.quantile(np.concatenate(values), shares))
    ends = [expanded(column, count) for column in np.array(found).T]
    return [(min(low, whole), max(high, whole)) for (low, high), whole in zip(ends, pooled, strict=True)]


# Money


def bill(run: dict[str, Any], rows: list[dict[str, str]]) -> dict[str, Decimal]:
    """What AWS charges for a run, item by item: its invocations are in the CSV, its prices in the JSON."""
    pricing, rates = (
        run["pricing"],
        {name: Decimal(text) for name, text in run["pricing"]["rates"].items() if is_number(text)},
    )
    billed = sum(int(row["billed_ms"]) for row in rows)
    cold = sum(row["cold"] == "true" for row in rows)
    gb = Decimal(pricing["memory_mb"]) / 1024
    spare_gb = Decimal(max(0, pricing["ephemeral_mb"] - 512)) / 1024
    # AWS's own lines with 26 bytes for each: START, END, REPORT; a cold start's; the mark of the handler
    lines = 270 + 3 * 26 + (170 + 26 if pricing["marked"] else 0)
    log = len(rows) * lines + cold * (215 + 26) + sum(int(row["printed_bytes"] or 0) for row in rows)
    log += sum(len(row["log_tail"].encode()) for row in rows)
    received = sum(int(row["response_bytes"] or 0) for row in rows)
    s3 = run["s3"]
    stored = rates["s3_storage_gb_month_usd"] * s3["bytes"] * math.ceil(run["makespan_s"]) / GB / (30 * 86_400)
    return {
        "requests": rates["request_usd"] * len(rows),
        "duration": rates["duration_gb_s_usd"] * gb * billed / 1000,
        "storage": rates["storage_gb_s_usd"] * spare_gb * billed / 1000,
        "transfer": rates["transfer_gb_usd"] * received / GB,
        "s3": rates["s3_put_usd"] * s3["put"]
        + rates["s3_get_usd"] * s3["get"]
        + stored.quantize(Decimal("1e-18"), rounding=ROUND_CEILING),
        "logs": rates["logs_gb_usd"] * log / GB,
    }


def is_number(text: Any) -> bool:
    """Whether it is a price."""
    return isinstance(text, str) and text.replace(".", "", 1).isdigit()


def rent(run: dict[str, Any]) -> Decimal | None:
    """Of a machine equal to this one, or of the workers of a cluster, by the millisecond; None: no price was given."""
    pricing = run["pricing"]
    if pricing["worker_usd_per_hour"]:
        hourly, seconds = pricing["worker_usd_per_hour"], run["worker_s"]
    else:
        hourly, seconds = pricing["rent_usd_per_hour"], run["makespan_s"]
    if hourly is None:
        return None
    return (Decimal(hourly) * Decimal(round(seconds * 1000)) / 3_600_000).quantize(Decimal("1e-12"))


# The report


class Side:
    """The runs of one line of the table: of one backend, cold or warm."""

    def __init__(
        self, label: str, cold: bool | None, runs: list[dict[str, Any]], rows: dict[str, list[dict[str, str]]]
    ) -> None:
        self.name = label if cold is None else f"{label} {'cold' if cold else 'warm'}"
        self.label, self.cold, self.runs = label, cold, runs
        self.rows = [row for run in runs for row in rows[run["id"]]]
        self.makespans = [float(run["makespan_s"]) for run in runs]
        self.bills = [bill(run, rows[run["id"]]) for run in runs if run["pricing"]["rates"]]
        self.rounds = {
            run["repeat"] if run["round"] is None else run["round"]: run["makespan_s"]
            for run in runs
            if run["schedule"] == "alternating"
        }

    def against(self, base: Side) -> tuple[float, tuple[float, float] | None]:
        """The speedup against the baseline, by rounds where there are two, and its interval."""
        shared = [number for number in self.rounds if number in base.rounds]
        if len(shared) > 1:
            ratios = [base.rounds[number] / self.rounds[number] for number in shared]
            return float(np.median(ratios)), median_interval(ratios)
        value = float(np.median(base.makespans)) / float(np.median(self.makespans))
        return value, ratio_interval(base.makespans, self.makespans)


def all_new(rows: list[dict[str, str]]) -> bool | None:
    """Whether each environment of a run had its cold start in it; None where there are no cold starts."""
    cold = {row["environment"] for row in rows if row["cold"] == "true"}
    return cold == {row["environment"] for row in rows} if any(row["cold"] for row in rows) else None


def report(document: dict[str, Any], rows: list[dict[str, str]]) -> tuple[str, dict[str, dict[str, str]]]:
    """The baseline's label; and each line's name with its cells as the report must show them."""
    of_run: dict[str, list[dict[str, str]]] = {run["id"]: [] for run in document["runs"]}
    for row in rows:
        of_run[row["run"]].append(row)
    counted = [run for run in document["runs"] if not run["warmup"] and run["status"] == "ok" and not run["paused"]]
    labels = list(dict.fromkeys(run["label"] for run in document["runs"]))
    sides = [
        Side(label, cold, chosen, of_run)
        for label in labels
        for cold in (True, False, None)
        if (chosen := [run for run in counted if run["label"] == label and all_new(of_run[run["id"]]) is cold])
    ]
    base = next(side for label in ("loop", "sequential", *labels) for side in reversed(sides) if side.label == label)
    table = {}
    for side in sides:
        warm = [row for row in rows_of(side.label, counted, of_run) if row["cold"] != "true"]
        durations = [float(row["compute_ms"]) for row in warm]
        value = float(np.median(side.makespans))
        speedup, ends = (1.0, None) if side is base else side.against(base)
        inits = [float(row["init_ms"]) for row in side.rows if row["cold"] == "true"]
        cv = float(np.std(durations, ddof=1) / np.mean(durations)) if len(durations) > 1 else None
        totals = [sum(items.values(), Decimal(0)) for items in side.bills]
        table[side.name] = {
            "RUNS": f"✔ {len(side.runs)}/{len(side.runs)}",
            "MAKESPAN": seconds(value),
            "MAKESPAN interval": seconds_interval(value, median_interval(side.makespans)),
            "SPEEDUP": f"{times(speedup)}×",
            "SPEEDUP interval": NONE if ends is None else f"{times(ends[0])}–{times(ends[1])}",
            "p50": NONE if side.cold or not durations else ms(float(np.quantile(durations, 0.5))),
            "p99": NONE if side.cold or len(durations) < 300 else ms(float(np.quantile(durations, 0.99))),
            "CV": NONE if side.cold or cv is None else f"{cv * 100:.{1 if cv < 0.00995 else 0}f} %",
            "COLD": NONE if side.cold is None else str(len(inits)),
            "INIT": ms(float(np.median(inits))) if inits else NONE,
            "PEAK": peak(rows_of(side.label, counted, of_run)),
            "COST": usd(statistics.median(totals)) if totals else cluster_cost(side.runs),
            "ANSWER": answer([run["answer"] for run in counted if run["label"] == side.label]),
        }
    return base.label, table


def cluster_cost(runs: list[dict[str, Any]]) -> str:
    """What the workers of a cluster cost: their time, where their price was given; a dash for this machine."""
    rents = [found for run in runs if (found := rent(run)) is not None]
    if runs[0]["pricing"]["worker_usd_per_hour"]:
        return usd(statistics.median(rents))
    return NONE if rents else "no price"


def answer(found: list[dict[str, Any] | None]) -> str:
    """Of a backend's runs that ended well; an answer without a digest was not computed."""
    if all(one is not None and not one["digest"] for one in found):
        return "not computed"
    verdicts = [None if one is None else one["ok"] for one in found]
    return "✘ wrong" if False in verdicts else "✔ same" if all(verdicts) else "? not checked"


def peak(rows: list[dict[str, str]]) -> str:
    """The most memory that an invocation reports: of its process here, of its environment on Lambda."""
    known = [int(row[name]) for row in rows for name in ("peak_rss_mb", "max_memory_mb") if row[name]]
    return f"{max(known):,} MB" if known else NONE


def rows_of(label: str, runs: list[dict[str, Any]], of_run: dict[str, list[dict[str, str]]]) -> list[dict[str, str]]:
    """All invocations of a backend that ended well."""
    return [row for run in runs if run["label"] == label for row in of_run[run["id"]] if row["status"] == "ok"]


def sentences(document: dict[str, Any], rows: list[dict[str, str]]) -> list[str]:
    """Pieces of the text below the table that hold figures: quantiles with their intervals, and rents."""
    counted = [run for run in document["runs"] if not run["warmup"] and run["status"] == "ok" and not run["paused"]]
    found = []
    for label in dict.fromkeys(run["label"] for run in counted):
        own = [run for run in counted if run["label"] == label]
        repeats = []
        for run in own:
            ok = [row for row in rows if row["run"] == run["id"] and row["status"] == "ok" and row["cold"] != "true"]
            repeats.append([float(row["compute_ms"]) for row in ok])
        repeats = [one for one in repeats if one]
        pooled = np.concatenate(repeats)
        known = [(name, q, 3 / (1 - q)) for name, q in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999))]
        shown = [(name, q) for name, q, least in known if q == 0.5 or len(pooled) >= round(least)]
        parts = []
        for (name, q), ends in zip(shown, quantile_intervals(repeats, [q for _, q in shown]), strict=True):
            if ends is not None:
                kind = "95 %" if len(repeats) >= 6 else f"range of {len(repeats)}"
                parts.append(f"{name} {ms(float(np.quantile(pooled, q)))} ({kind}: {ms(ends[0])}–{ms(ends[1])})")
        if parts:
            found.append(f"warm invocations of {label}: {', '.join(parts)}")
        if own[0]["pricing"]["rent_usd_per_hour"] and not own[0]["pricing"]["worker_usd_per_hour"]:
            warm = [run for run in own if not all_new([row for row in rows if row["run"] == run["id"]])]
            rents = [amount for run in warm or own if (amount := rent(run)) is not None]
            found.append(f"{label} {usd(statistics.median(rents))}")
    return found


def differences(document: dict[str, Any], rows: list[dict[str, str]]) -> list[str]:
    """Amounts of the JSON and the CSV, to the last digit, that the invocations do not give."""
    wrong = []
    runs = {run["id"]: run for run in document["runs"]}
    for name, run in runs.items():
        own = [row for row in rows if row["run"] == name]
        if run["pricing"]["rates"]:
            want = bill(run, own)
            have = {item: Decimal(run["cost"]["items"][item]) for item in want}
            if have != want or Decimal(run["cost"]["usd"]) != sum(want.values(), Decimal(0)):
                wrong.append(f"{name}: {have} is {want}")
        else:
            shown = run["cost"]["items"]["machine_rent"]
            if (None if shown is None else Decimal(shown)) != rent(run):
                wrong.append(f"{name}: {shown} is {rent(run)}")
        if run["cold"] is not all_new(own):
            wrong.append(f"{name}: cold={run['cold']}")
        if max(float(row["returned_s"]) for row in own) > run["makespan_s"] + 1e-6:
            wrong.append(f"{name}: ends before its last invocation")
    for row in rows:
        run = runs[row["run"]]
        if rates := run["pricing"]["rates"]:
            gb_s = Decimal(run["pricing"]["memory_mb"]) / 1024 * int(row["billed_ms"]) / 1000
            cost = Decimal(rates["request_usd"]) + Decimal(rates["duration_gb_s_usd"]) * gb_s
            if Decimal(row["usd"]) != cost:
                wrong.append(f"{row['run']} {row['task']}: {row['usd']} is {cost}")
    return wrong


def main() -> None:
    """Print all figures of an exported session."""
    getcontext().prec = 100
    document = json.loads(Path(sys.argv[1]).read_text())
    with Path(sys.argv[2]).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    base, table = report(document, rows)
    json.dump(
        {"base": base, "table": table, "text": sentences(document, rows), "wrong": differences(document, rows)},
        sys.stdout,
    )


if __name__ == "__main__":
    main()
