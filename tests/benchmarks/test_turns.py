"""Runs that take turns."""

from benchmarks.turns import FEWEST_ROUNDS, take_turns, turn


def test_they_take_turns_until_time_is_up():
    order = []

    def make(name):
        def run():
            order.append(name)

        return lambda: turn(run, seconds=0)

    times = take_turns({"a": make("a"), "b": make("b")}, rounds=9, seconds=0)
    assert order == ["a", "b"] * FEWEST_ROUNDS
    assert {len(x) for of in times.values() for x in of.values()} == {FEWEST_ROUNDS}


def test_time_is_that_of_a_run():
    ticks = iter([1.0, 4.0])
    assert turn(lambda: None, 0, clock=lambda: next(ticks))["cpu_seconds"] == 3.0
