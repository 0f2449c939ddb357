"""group_by, shuffled through a folder: what `processes` gain on it, against what joblib gains where nothing is shared.

python benchmarks/map_reduce.py [PAIRS]

The rows are the Census-Income (KDD) file's where $LBENCH_TEST_DATA (or ../shared/data) has it, else generated ones of
about as many bytes. A pair is two speedups, each over one core of the same kind: ours is the whole run on `sequential` over
that on `processes`, records, shuffle and merging included; joblib's is of as many equal tasks of CPU time.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from engine_run import EngineRun
from pairs import Peer, alternate, figure, peer_venv

from lbench.workloads.encoding import decode, encode
from lbench.workloads.map_reduce import MapReduceParams

__all__ = ["run"]

_HERE = Path(__file__).parent
_DATA = Path(os.environ.get("LBENCH_TEST_DATA", _HERE.parent / ".." / "shared" / "data"))
_KDD = _DATA / "census-income.data.zst"
_ROWS = 2_000_000  # generated, without the file
_TASKS, _SPIN_S = 16, 0.025  # joblib's: about what a mapper takes


def run(pairs: int = 15) -> list[dict[str, Any]]:
    """One figure (see `pairs.figure`)."""
    path = _KDD if _KDD.is_file() else None
    params = MapReduceParams() if path else MapReduceParams(rows=_ROWS)
    with (
        EngineRun("map_reduce", params, "sequential", path=path) as alone,
        EngineRun("map_reduce", params, "processes", path=path) as together,
        Peer(peer_venv("joblib", ["joblib==1.6.0"]), _HERE / "peers" / "joblib_speedup.py") as peer,
    ):
        expected = decode(encode(alone.workload.reference(params, alone.data)))

        def seconds(engine: EngineRun) -> float:
            taken, answer = engine.once()
            if not engine.workload.check(params, decode(encode(answer)), expected).ok:
                raise RuntimeError("lbench's answer is wrong: a time without a right answer means nothing")
            return taken

        ratios = alternate(
            lambda: seconds(alone) / seconds(together),
            lambda: float(peer.call(tasks=_TASKS, seconds=_SPIN_S)["speedup"]),
            pairs,
        )
        what = f"group_by of {alone.data.rows:,} rows x {alone.data.columns}: speedup on processes"
    return [figure(what, ratios, at_least=0.9, of="joblib's speedup on independent tasks")]


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]) if len(sys.argv) > 1 else 15), indent=1))
