"""Measures peers beside each other: time in turns, memory in fresh processes."""

import dataclasses
import statistics
import sys
import time

from benchmarks.attention.worker_process import OverLimit, WorkerFailed, WorkerProcess
from benchmarks.turns import FEWEST_ROUNDS, TURN_SECONDS

OURS = "ours"
CHECK_LENGTH = 300
CHECKED_ROWS = 5
START_SECONDS = 300


class WrongAnswer(Exception):
    """A peer's answer is not what its formula gives."""


class Sweep:
    """Workers of one form of attention, measured at one point after the other.

    Args:
        form: `"bidirectional"` or `"causal"`.
        entries: `registry.Entry`s, ours among them; those that do not have the form
            are left out.
        threads: Threads of each worker.
        rounds: Most turns that a worker gets at a point.
        seconds: After so many seconds of turns at a point, no new round begins.
        limit_seconds: Longest time that a run may take.
        limit_bytes: Most memory that a worker may hold.
    """

    def __init__(
        self, form, entries, threads, rounds, seconds, limit_seconds, limit_bytes
    ):
        self.form = form
        self.rounds = rounds
        self.seconds = seconds
        self.limit_seconds = limit_seconds
        self.process_arguments = (form, threads, limit_seconds, limit_bytes)
        self.entries = [entry for entry in entries if form in entry.forms]
        self.workers = {}
        self.absent = {}
        self.versions = {}
        # Peers that a shorter length has already shown to be over a limit.
        self.over = {}

    def open(self):
        """Starts the workers and checks their answers and gradients at every row."""
        for entry in self.entries:
            worker = self.start(entry)
            try:
                self.versions[entry.name] = worker.ask("version")
                prepare(worker, "forward and backward", CHECK_LENGTH)
                check(entry, worker, range(CHECK_LENGTH))
            except WorkerFailed as error:
                if entry.is_ours:
                    raise
                self.absent[entry.name] = str(error).splitlines()[-1]
                log(f"{entry.title} is left out: it {error}")
            else:
                self.workers[entry.name] = worker

    def start(self, entry):
        worker = WorkerProcess(entry, *self.process_arguments)
        worker.limit_seconds = START_SECONDS
        return worker

    def close(self):
        for worker in self.workers.values():
            worker.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def configure(self, name, **options):
        """Makes a peer anew with other options, such as `features=64`."""
        for index, entry in enumerate(self.entries):
            if entry.name == name:
                options = {**entry.options, **options}
                self.entries[index] = dataclasses.replace(entry, options=options)
                self.workers[name].ask("make", options=options)

    def times(self, pass_name, length):
        """Times all peers at one point, in turns.

        Args:
            pass_name: One of `peers.peer.PASSES`.
            length: T.

        Returns:
            Dictionary from name to `{"seconds": [...], "cpu_seconds": [...]}`, one a
            round, or to `{"missing": reason}`.
        """
        log(f"{self.form}, {pass_name}, {length} tokens: time")
        results = {}
        for entry in self.present():
            results[entry.name] = {"seconds": [], "cpu_seconds": []}
            if (entry.name, pass_name) in self.over:
                results[entry.name] = {"missing": self.over[entry.name, pass_name]}
            else:
                self.attempt(entry, pass_name, results, self.make_ready, length)
        start = time.monotonic()
        for number in range(self.rounds):
            for entry in self.present():
                if "missing" not in results[entry.name]:
                    self.attempt(entry, pass_name, results, self.turn)
            enough = number + 1 >= FEWEST_ROUNDS
            if enough and time.monotonic() - start > self.seconds:
                break
        return results

    def attempt(self, entry, pass_name, results, action, *arguments):
        """Does something with a worker; notes why where it is over a limit or fails."""
        try:
            action(entry, pass_name, results[entry.name], *arguments)
        except (OverLimit, WorkerFailed) as error:
            if entry.is_ours:
                raise
            lines = str(error).splitlines()
            # TensorFlow says so in the middle of its message.
            out_of_memory = any("OOM" in line for line in lines)
            reason = "out of memory" if out_of_memory else lines[-1]
            if isinstance(error, OverLimit):
                reason = f"over the limit ({reason})"
            log(f"{entry.title}: {error}")
            self.over[entry.name, pass_name] = reason
            results[entry.name] = {"missing": reason}
            self.workers[entry.name] = self.start(entry)

    def make_ready(self, entry, pass_name, result, length):
        """Lets a worker make inputs, run once and be checked."""
        worker = self.workers[entry.name]
        worker.ask("inputs", pass_name=pass_name, length=length)
        worker.limit_seconds = self.limit_seconds
        worker.ask("run")
        worker.limit_seconds = START_SECONDS
        check(entry, worker, some_rows(length))

    def turn(self, entry, pass_name, result):
        """Adds a turn of one worker to its result."""
        turn = self.workers[entry.name].ask("turn", seconds=TURN_SECONDS)
        result["seconds"].append(turn["seconds"])
        result["cpu_seconds"].append(turn["cpu_seconds"])

    def present(self):
        return [entry for entry in self.entries if entry.name not in self.absent]

    def memory(self, pass_name, length, names):
        """Measures what a run needs beside its inputs, each in a new process.

        Args:
            pass_name: One of `peers.peer.PASSES`.
            length: T.
            names: Peers to measure.

        Returns:
            Dictionary from name to bytes, of the peers that are not over a limit.
        """
        log(f"{self.form}, {pass_name}, {length} tokens: memory")
        results = {}
        for entry in self.present():
            if entry.name not in names:
                continue
            with self.start(entry) as worker:
                try:
                    results[entry.name] = worker.ask(
                        "extra_memory", pass_name=pass_name, length=length
                    )
                except OverLimit as error:
                    log(f"{entry.title}: {error}")
        return results

    def traces(self, pass_name, lengths):
        """Returns the median seconds of tracing ours, for each length."""
        worker = self.workers[OURS]
        return {
            length: statistics.median(
                worker.ask("trace", pass_name=pass_name, length=length)
                for _ in range(FEWEST_ROUNDS)
            )
            for length in lengths
        }

    def limits(self):
        """Returns the rates of each framework, from ours and one peer of PyTorch."""
        log("the machine's rates")
        rates = {"TensorFlow": self.workers[OURS].ask("limits")}
        for entry in self.present():
            if entry.environment == "torch":
                rates["PyTorch"] = self.workers[entry.name].ask("limits")
                break
        return rates


def prepare(worker, pass_name, length):
    worker.ask("inputs", pass_name=pass_name, length=length)
    worker.ask("run")


def check(entry, worker, rows):
    """Raises an error where rows of a worker's answer are not what they should be."""
    refuse_wrong(entry.title, worker.ask("check", rows=list(rows)))


def refuse_wrong(title, errors):
    """Raises `WrongAnswer` where what `reference.check` found is over a tolerance."""
    for what, (error, tolerance) in errors.items():
        if not error <= tolerance:  # also where it is not a number
            raise WrongAnswer(
                f"{title}: relative error {error:.2g} in its {what}, expected at "
                f"most {tolerance:g}."
            )


def some_rows(length, number=CHECKED_ROWS):
    """Returns a handful of positions, the first and the last among them."""
    return sorted({i * (length - 1) // (number - 1) for i in range(number)})


def log(message):
    print(message, file=sys.stderr, flush=True)
