"""What the peers of the local backends are given to do: the same as lbench's probe."""

import time


def noop(number):
    return number


def spin(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
