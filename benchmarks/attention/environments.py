"""Virtual environments of the peers that cannot share the project's own.

An environment `NAME` is made in `benchmarks/.environments/NAME` from
`requirements/NAME.txt`, and then from `requirements/NAME.late.txt`, whose packages are
installed without their dependencies and built against what is already there. A late
package may fail to build: the reason is printed and kept, and the peer that needs it is
reported as absent.
"""

import os
import pathlib
import shutil
import subprocess
import sys

FOLDER = pathlib.Path(__file__).resolve().parent


def python_of(environment):
    """Returns the Python of an environment, which is made if it is not up to date.

    Args:
        environment: Name of a requirements file, or `None` for the running Python.

    Returns:
        Path of an executable.

    Raises:
        subprocess.CalledProcessError: If packages other than late ones do not install.
    """
    if environment is None:
        return pathlib.Path(sys.executable)
    folder = FOLDER.parent / ".environments" / environment
    python = folder / "bin" / "python"
    requirements = FOLDER / "requirements" / f"{environment}.txt"
    late = FOLDER / "requirements" / f"{environment}.late.txt"
    wanted = f"{sys.version}\n{requirements.read_text()}{late.read_text()}"
    stamp = folder / "installed"
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"Making {folder} (once)", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "-r", requirements], check=True
        )
        install_late(python, late, folder / "late.log")
        stamp.write_text(wanted)
    return python


def install_late(python, requirements, log):
    """Installs packages against what the environment has; keeps the log if it fails."""
    # Only the system's own compilers: with CUDA's on the path, the extensions of a
    # package would be built for a GPU, which the CPU build of PyTorch has no part of.
    path = os.pathsep.join([str(python.parent), "/usr/bin", "/bin"])
    finished = subprocess.run(
        [python, "-m", "pip", "install", "--no-deps", "--no-build-isolation"]
        + ["-r", requirements],
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if finished.returncode:
        log.write_text(finished.stdout)
        tail = "\n".join(finished.stdout.splitlines()[-15:])
        print(
            f"{requirements.name} does not install here, and the peers that need it "
            f"are left out. All of it is in {log}; remove {log.parent} to try again. "
            f"The end of it:\n{tail}",
            file=sys.stderr,
        )
