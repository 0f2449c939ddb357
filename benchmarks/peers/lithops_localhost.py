"""The peer of a whole run: Lithops on localhost, version 1 (a process a task); it talks to nobody."""

import sys
import time

from lithops import FunctionExecutor
from pairs import serve
from work import noop

executor = FunctionExecutor(
    config={
        "lithops": {
            "backend": "localhost",
            "storage": "localhost",
            "telemetry": False,
            "log_level": "ERROR",
            "data_cleaner": False,  # a process that outlives us: the whole folder is removed instead
        },
        "localhost": {"version": 1, "runtime": sys.executable},
    }
)


def answer(tasks):
    start = time.perf_counter()
    futures = executor.map(noop, range(tasks))
    results = executor.get_result(futures)
    seconds = time.perf_counter() - start
    assert results == list(range(tasks))
    return {"seconds": seconds}


if __name__ == "__main__":
    serve(answer)
