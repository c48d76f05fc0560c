"""Times of runs that take turns, so that other work disturbs all alike."""

import time

TURN_SECONDS = 0.1
FEWEST_ROUNDS = 3


def turn(run, seconds=TURN_SECONDS, clock=time.process_time):
    """Runs for some seconds, at least once.

    Args:
        run: A function.
        seconds: How long; a run that takes longer is made once.
        clock: Function that returns the processor time used so far, in seconds.

    Returns:
        Dictionary of the wall time and the processor time of a run, in seconds.
    """
    runs, start, cpu = 0, time.perf_counter(), clock()
    while not runs or time.perf_counter() - start < seconds:
        run()
        runs += 1
    wall = time.perf_counter() - start
    return {"seconds": wall / runs, "cpu_seconds": (clock() - cpu) / runs}


def take_turns(turns, rounds, seconds):
    """Gives each a turn, round by round.

    Args:
        turns: Dictionary from a name to a function that returns what `turn` returns.
        rounds: Most rounds.
        seconds: No new round begins after so long; `FEWEST_ROUNDS` are always made.

    Returns:
        Dictionary from a name to `{"seconds": [...], "cpu_seconds": [...]}`, a number
        for each round.
    """
    times = {name: {"seconds": [], "cpu_seconds": []} for name in turns}
    start = time.monotonic()
    for number in range(rounds):
        for name, take in turns.items():
            for quantity, value in take().items():
                times[name][quantity].append(value)
        if number + 1 >= FEWEST_ROUNDS and time.monotonic() - start > seconds:
            break
    return times
