"""The other end of a worker: starts it, asks it, and stops it at its limits."""

import json
import os
import pathlib
import select
import subprocess
import tempfile
import time

from benchmarks import memory
from benchmarks.attention import environments

ROOT = pathlib.Path(__file__).resolve().parents[2]
POLL_SECONDS = 0.02
# A process is ended before the machine has less left than this.
SPARE_BYTES = 2**29


class OverLimit(Exception):
    """A command took longer, or more memory, than it may."""


class WorkerFailed(Exception):
    """A worker ended by itself: its peer is absent, does not work or was killed."""


class WorkerProcess:
    """One peer in one form, in a process of its own environment.

    Args:
        entry: The peer's `registry.Entry`.
        form: `"bidirectional"` or `"causal"`.
        threads: Number of threads it may use.
        limit_seconds: Longest time that a command may take.
        limit_bytes: Most memory that the process may hold.
    """

    def __init__(self, entry, form, threads, limit_seconds, limit_bytes):
        self.limit_seconds = limit_seconds
        self.limit_bytes = limit_bytes
        self.messages = tempfile.TemporaryFile(mode="w+")  # noqa: SIM115  (see close)
        python = environments.python_of(entry.environment)
        self.process = subprocess.Popen(
            [python, "-m", "benchmarks.attention.peers.worker", entry.path, form]
            + [json.dumps(entry.options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.messages,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "OMP_NUM_THREADS": str(threads),
                "KERAS_BACKEND": "tensorflow",
                "CUDA_VISIBLE_DEVICES": "",
                "TF_CPP_MIN_LOG_LEVEL": "2",
            },
        )

    def ask(self, command, **arguments):
        """Sends a command and returns its answer.

        Raises:
            OverLimit: If it takes too long or too much memory; the process is ended.
            WorkerFailed: If the process ended before it answered.
        """
        line = json.dumps({"command": command, **arguments})
        try:
            self.process.stdin.write(f"{line}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise self.failure() from None
        deadline = time.monotonic() + self.limit_seconds
        while not select.select([self.process.stdout], [], [], POLL_SECONDS)[0]:
            if time.monotonic() > deadline:
                self.close()
                raise OverLimit(f"> {self.limit_seconds:g} s")
            if memory.resident(self.process.pid) > self.limit_bytes:
                self.close()
                raise OverLimit(f"> {self.limit_bytes / 2**30:.0f} GiB")
            if memory.available() < SPARE_BYTES:
                self.close()
                raise OverLimit("the machine's memory")
        answer = self.process.stdout.readline()
        if not answer:
            raise self.failure()
        return json.loads(answer)

    def failure(self):
        """Returns the error that tells why the process ended."""
        code = self.process.wait()
        self.messages.seek(0)
        lines = self.messages.read().split("\n")
        last = "\n".join(line for line in lines[-15:] if line.strip())
        self.close()
        return WorkerFailed(f"ended with code {code}:\n{last}")

    def close(self):
        """Ends the process."""
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self.messages.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()
