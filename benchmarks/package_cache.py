"""What the package's cache saves.

python benchmarks/package_cache.py [PAIRS]
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from pairs import alternate, figure, timed

from lbench.lambda_src.package import build
from lbench.lambda_src.targets import choose_target

__all__ = ["run"]


def run(pairs: int = 15) -> list[dict[str, Any]]:
    """One figure: the whole package from a warm cache, against making it (pip's own cache is left as it is)."""
    target = choose_target()
    before = os.environ.get("XDG_CACHE_HOME")
    with tempfile.TemporaryDirectory(prefix="lbench-benchmark-") as folder:
        warm_home, cold_home = Path(folder) / "warm", Path(folder) / "cold"

        def warm() -> None:
            os.environ["XDG_CACHE_HOME"] = str(warm_home)
            if not build(target).cached:
                raise RuntimeError("the cache was not used: a time without it means nothing")

        def cold() -> float:
            shutil.rmtree(cold_home, ignore_errors=True)
            os.environ["XDG_CACHE_HOME"] = str(cold_home)
            return timed(lambda: build(target))()

        try:
            os.environ["XDG_CACHE_HOME"] = str(warm_home)
            build(target)
            ratios = alternate(timed(warm), cold, pairs)
        finally:
            if before is None:
                del os.environ["XDG_CACHE_HOME"]
            else:
                os.environ["XDG_CACHE_HOME"] = before
    return [figure(f"package for {target} from a warm cache", ratios, at_most=0.1, of="the time to make it")]


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]) if len(sys.argv) > 1 else 15), indent=2))
