"""The peer of `processes`: a warm ProcessPoolExecutor."""

import atexit
import os
import time
from concurrent.futures import ProcessPoolExecutor

from pairs import serve
from work import noop, spin

workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
pool = None


def answer(tasks, seconds=None):
    global pool
    if pool is None:
        pool = ProcessPoolExecutor(workers)
        atexit.register(pool.shutdown)
        list(pool.map(noop, range(100)))
    start = time.perf_counter()
    if seconds is not None:
        list(pool.map(spin, [seconds] * tasks, chunksize=1))
        return {"seconds": time.perf_counter() - start}
    results = list(pool.map(noop, range(tasks), chunksize=1))
    seconds = time.perf_counter() - start
    assert results == list(range(tasks))
    return {"seconds": seconds}


if __name__ == "__main__":
    serve(answer)
