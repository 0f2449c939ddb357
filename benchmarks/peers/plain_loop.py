"""The peer of `sequential`: a plain loop in one process."""

import time

from pairs import serve
from work import spin


def answer(tasks, seconds):
    start = time.perf_counter()
    for _ in range(tasks):
        spin(seconds)
    return {"seconds": time.perf_counter() - start}


if __name__ == "__main__":
    serve(answer)
