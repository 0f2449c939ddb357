"""A peer of `processes` with little of its own: a warm multiprocessing.Pool that keeps no record and no order."""

import atexit
import multiprocessing
import os
import time

from pairs import serve
from work import noop

workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
pool = None


def answer(tasks):
    global pool
    if pool is None:
        pool = multiprocessing.get_context("spawn").Pool(workers)
        atexit.register(pool.terminate)
        list(pool.imap_unordered(noop, range(100)))
    start = time.perf_counter()
    results = list(pool.imap_unordered(noop, range(tasks), chunksize=1))
    seconds = time.perf_counter() - start
    assert sorted(results) == list(range(tasks))
    return {"seconds": seconds}


if __name__ == "__main__":
    serve(answer)
