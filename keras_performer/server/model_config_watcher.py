"""Looks at the model configuration file again and again, and takes changes over."""

import logging
import os
import threading
from pathlib import Path

from keras_performer.server.model_config import read_model_config_file
from keras_performer.server.model_repository import ModelRepository

_logger = logging.getLogger(__name__)


class ModelConfigWatcher:
    """Keeps a repository as a file with a `ModelServerConfig` message asks for.

    A file that cannot be read or does not fit changes nothing.

    Args:
        path: the file, as the repository was started with.
        repository: a `ModelRepository` that was started.
        poll_wait_seconds: time between two looks at the file.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        repository: ModelRepository,
        poll_wait_seconds: float,
    ) -> None:
        self._path = Path(path)
        self._repository = repository
        self._poll_wait_seconds = poll_wait_seconds
        self._adopted = self._read()
        self._last_error = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._watch, name="model-config-watcher", daemon=True
        )

    def start(self) -> None:
        """Look in a thread, until `close` is called."""
        self._thread.start()

    def close(self) -> None:
        """Stop looking."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def poll(self) -> None:
        """Look once."""
        content = self._read()
        if content is not None and content == self._adopted:
            self._repository.unload_unwanted()
            return
        try:
            configs = read_model_config_file(self._path)
        except ValueError as error:
            if str(error) != self._last_error:
                _logger.error("The models stay as they are. %s", error)
            self._last_error = str(error)
            return
        self._last_error = ""
        _logger.info("Reading the models of %s anew", self._path)
        # What could not be done is tried again at the next look.
        self._adopted = None if self._repository.reload(configs) else content

    def _read(self) -> bytes | None:
        try:
            return self._path.read_bytes()
        except OSError:
            return None

    def _watch(self) -> None:
        while not self._stop.wait(self._poll_wait_seconds):
            self.poll()
