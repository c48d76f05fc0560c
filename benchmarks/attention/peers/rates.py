"""Rates that a machine reaches: what the limit of any implementation is made of."""

import time

from benchmarks.attention.peers.peer import FEATURES, HEAD_DIM, HEADS

REPEATS = 20


def square_size():
    """Rows of the square matrices whose product shows the machine's peak."""
    return 2048


def batched_shapes():
    """Shapes of a product as attention has it: positions by features, for each head."""
    return (HEADS, 1024, HEAD_DIM), (HEADS, HEAD_DIM, FEATURES)


def best_rate(run, operations):
    """Returns operations a second of the fastest of some runs."""
    run()
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return operations / min(seconds)
