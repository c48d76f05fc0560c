"""A server in a process of its own, for as long as a `with` block lasts."""

import dataclasses
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

from keras_performer.server.server_options import ServerOptions

_READY_LINE = re.compile(rb"^Serving .* at (https?://\S+)\n", re.MULTILINE)

_PEAK_MEMORY_LINE = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)

_STOP_TIMEOUT_SECONDS = 30


class ServerProcess:
    """A context manager that runs `serve` in a child process.

    The block begins when the models can be queried; on leaving it the server is told to
    stop and waited for.

    Args:
        options: a `ServerOptions`. With `rest_api_port=0` the server takes a free port.
        start_timeout: longest time in seconds to wait for the models.

    Raises:
        RuntimeError: the server ended instead of getting ready; the message holds what
            it wrote. Raised on entering the block.
        TimeoutError: it was not ready in time. Raised on entering the block.

    Example:

    ```python
    options = ServerOptions(
        model_name="documents",
        model_base_path="saved_models/documents",
        rest_api_port=0,
    )
    with ServerProcess(options) as server:
        predictions = predict(server.url, "documents", ["a long text"])
        print(server.peak_memory())
    ```
    """

    url: str
    _process: subprocess.Popen[bytes]
    _output: IO[bytes]

    def __init__(self, options: ServerOptions, start_timeout: float = 300.0) -> None:
        self._options = options
        self._start_timeout = start_timeout

    def __enter__(self) -> "ServerProcess":
        flags = [
            f"--{name}={value}"
            for name, value in dataclasses.asdict(self._options).items()
            if value is not None
        ]
        self._output = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "keras_performer", "serve", *flags],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": _get_python_path()},
        )
        try:
            self.url = self._wait_until_ready()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop()

    @property
    def pid(self) -> int:
        """Process id of the server."""
        return self._process.pid

    def wait(self, timeout: float) -> int:
        """Wait until the server has ended.

        Args:
            timeout: longest time in seconds to wait.

        Returns:
            Its exit code.

        Raises:
            TimeoutError: it is still running.
        """
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(
                f"The server was still running after {timeout:g} seconds."
            ) from error

    def read_output(self) -> str:
        """Everything that the server has written so far, as text."""
        return self._read_output().decode("utf-8", "replace")

    def peak_memory(self) -> int:
        """The most memory that the server has held at one time, in bytes.

        Returns:
            Peak resident set size in bytes.

        Raises:
            OSError: the system does not tell it under /proc, or the server has ended.
        """
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        found = _PEAK_MEMORY_LINE.search(status)
        if found is None:
            raise OSError(f"The server with process id {self.pid} has ended.")
        return int(found[1]) * 1024

    def _wait_until_ready(self) -> str:
        deadline = time.monotonic() + self._start_timeout
        while True:
            ended = self._process.poll() is not None
            ready = _READY_LINE.search(self._read_output())
            if ready:
                return ready[1].decode("ascii")
            if ended:
                raise RuntimeError(
                    f"The server ended with code {self._process.returncode} "
                    f"before it was ready:\n{self.read_output()}"
                )
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"The server was not ready within {self._start_timeout:g} "
                    f"seconds:\n{self.read_output()}"
                )
            time.sleep(0.05)

    def _read_output(self) -> bytes:
        # pread leaves the position alone that the child appends at.
        size = os.fstat(self._output.fileno()).st_size
        return os.pread(self._output.fileno(), size, 0)

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self.wait(_STOP_TIMEOUT_SECONDS)
        except TimeoutError:
            self._process.kill()
            self._process.wait()
        self._output.close()


def _get_python_path() -> str:
    """The child must find this package even where it is not installed."""
    root = str(Path(__file__).resolve().parents[2])
    present = os.environ.get("PYTHONPATH")
    return f"{root}{os.pathsep}{present}" if present else root
