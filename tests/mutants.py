"""Faults put into the package on purpose, and the test of `make test` that sees each.

A suite is chosen by what it would miss. Each mutant below replaces one piece of code, as
a slip of the hand would; the named test, run alone against it, has to fail. `make
test-mutants` runs them all, `python tests/mutants.py -k causal` some of them.

    $ python tests/mutants.py --list
"""

import argparse
import concurrent.futures
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "keras_performer"
# What pytest exits with where tests ran and some failed.
TESTS_FAILED = 1


class Mutant(NamedTuple):
    """One replacement in a file of the package, and the test that sees it."""

    path: str  # below keras_performer/
    code: str  # stands exactly once in the file
    replacement: str
    killed_by: str  # below tests/

    @property
    def name(self):
        """What the mutant is called in reports."""
        return f"{self.path}: {self.code.strip()} -> {self.replacement.strip()}"

    def apply(self, source):
        """The source of the file with the fault in it.

        Raises:
            ValueError: If the code does not stand exactly once in the source.
        """
        if self.code == self.replacement or source.count(self.code) != 1:
            raise ValueError(
                f"The code of a mutant must stand exactly once in its file, and must "
                f"change. Received: {self.name!r}, found {source.count(self.code)} times"
            )
        return source.replace(self.code, self.replacement)


MUTANTS = ()


def run(mutant):
    """Whether a mutant's test fails, the seconds that it took, and what it printed."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / PACKAGE.name
        shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        path = copy / mutant.path
        path.write_text(mutant.apply(path.read_text("utf-8")), encoding="utf-8")
        done = subprocess.run(
            [
                # Not `-m pytest`, which would put this checkout before the copy.
                Path(sys.executable).with_name("pytest"),
                *("-q", "-x", "-n", "0", "-p", "no:cacheprovider", "-m", ""),
                ROOT / "tests" / mutant.killed_by,
            ],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    seconds = time.monotonic() - started
    return done.returncode == TESTS_FAILED, seconds, done.stdout


def main():
    """Runs the mutants; exits with the number of those that lived."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-k", default="", help="only those whose name or test has this")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time")
    parser.add_argument("--list", action="store_true", help="name them, run none")
    arguments = parser.parse_args()
    chosen = [m for m in MUTANTS if arguments.k in f"{m.name} {m.killed_by}"]
    if arguments.list:
        for mutant in chosen:
            print(f"{mutant.name}\n    {mutant.killed_by}")
        return 0
    lived = 0
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        for mutant, (died, seconds, output) in zip(
            chosen, pool.map(run, chosen), strict=True
        ):
            print(f"{'died' if died else 'LIVED'} {seconds:5.1f} s  {mutant.name}")
            if not died:
                lived += 1
                print(output)
    print(f"{len(chosen) - lived} died, {lived} lived")
    return lived


if __name__ == "__main__":
    sys.exit(main())
