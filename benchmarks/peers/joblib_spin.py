"""The peer of `processes` for CPU-bound tasks: joblib's default (loky), warm."""

import time

from joblib import Parallel, delayed
from pairs import serve
from work import spin

pool = Parallel(n_jobs=-1)


def answer(tasks, seconds):
    start = time.perf_counter()
    pool(delayed(spin)(seconds) for _ in range(tasks))
    return {"seconds": time.perf_counter() - start}


if __name__ == "__main__":
    serve(answer)
