"""What joblib (loky, warm) gains on a job that needs no talking: equal tasks of CPU time, on all cores against on one."""

import time

from joblib import Parallel, delayed
from pairs import serve
from work import spin

many = Parallel(n_jobs=-1)
one = Parallel(n_jobs=1)


def measured(pool, tasks, seconds):
    start = time.perf_counter()
    pool(delayed(spin)(seconds) for _ in range(tasks))
    return time.perf_counter() - start


def answer(tasks, seconds):
    alone = measured(one, tasks, seconds)
    return {"speedup": alone / measured(many, tasks, seconds)}


if __name__ == "__main__":
    serve(answer)
