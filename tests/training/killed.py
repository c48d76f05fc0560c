"""Runs a script that kills itself, with the signal that nothing catches."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import keras_performer

# The owner of a function, its name, and the call that is the last.
_PROGRAM = """
import os, runpy, signal, sys
import keras

script, owner, name, when, *arguments = sys.argv[1:]
owner = {"os": os, "Callbacks": keras.callbacks.CallbackList}[owner]
function, calls = getattr(owner, name), []

def killed(*arguments, **options):
    calls.append(arguments)
    if len(calls) == int(when):
        os.kill(os.getpid(), signal.SIGKILL)
    return function(*arguments, **options)

setattr(owner, name, killed)
sys.argv = [script, *arguments]
runpy.run_path(script, run_name="__main__")
"""


def run_killed(script, arguments, owner, name, when):
    """Runs `script`, which lies beside this file, until a call of a function."""
    here = Path(__file__).parent
    paths = [str(here), str(Path(keras_performer.__file__).parents[1])]
    command = [here / script, owner, name, when, *arguments]
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *map(str, command)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        timeout=300,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
