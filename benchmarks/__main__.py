"""`./dev bench [NAME ...]`: run the benchmarks, print their table, write benchmarks/results/*.json."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(_HERE))  # the peers' scripts share `pairs` by the same name

# What each file's figures are about; the order is that of running, the longest last.
MODULES = (
    "mandelbrot_kernels",
    "emulator_latency",
    "emulator_scale",
    "tls_fanout",
    "kmeans",
    "map_reduce",
    "driver_cpu",
    "s3_results",
    "explore",
    "package_cache",
    "record",
    "analysis_million",
    "report",
    "sweep_overhead",
    "alternating",
    "local_overhead",
    "clusters",
    "simulated",
    "tui_first_frame",
    "tui_million",
    "tui_keys",
    "tui_live",
)


def _row(figure: dict[str, Any]) -> str:
    mark = "✔" if figure["met"] else "✘"
    interval = f"{figure['low']:.3g} to {figure['high']:.3g}"
    text = f"{mark} {figure['figure']:<62} {figure['ratio']:>8.3g}  {interval:<18}"
    return f"{text} {figure['goal']} ({figure['pairs']} pairs)"


def main() -> None:
    """Run what was named, else everything."""
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *MODULES], metavar="NAME", help=", ".join(MODULES))
    parser.add_argument("--pairs", type=int, default=15)
    arguments = parser.parse_args()
    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
    results = _HERE / "results"
    results.mkdir(exist_ok=True)
    missed = 0
    print(f"  {'figure (median of pairs)':<62} {'ratio':>8}  {'95 %':<18} goal")
    for name in arguments.names or MODULES:
        figures = importlib.import_module(name).run(arguments.pairs)
        for figure in figures:
            missed += not figure["met"]
            print(_row(figure), flush=True)
        record = {
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "python": platform.python_version(),
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "figures": figures,
        }
        (results / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
