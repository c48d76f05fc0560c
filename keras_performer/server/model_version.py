"""The life of one version: from its discovery on disk until it is unloaded."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from keras_performer.server.servable import Servable
from keras_performer.server.serving_error import ServingError

# The states, in the order a version passes through them.
START = "START"  # found on disk
LOADING = "LOADING"  # being loaded, or waiting for the next attempt
AVAILABLE = "AVAILABLE"  # answers requests
UNLOADING = "UNLOADING"  # answers the requests it has, takes no new ones
END = "END"  # unloaded, or failed for good


@dataclass(frozen=True)
class VersionStatus:
    """The state of a version, and the error that led to it."""

    version: int
    state: str
    error: ServingError | None = None


class ModelVersion:
    """A version and the requests that are using it.

    Any thread may use a version; only the thread that manages the model loads and
    unloads it.

    Args:
        version: its number.
        path: its folder.
        changed: `threading.Condition` shared by all versions of a repository. While
            a thread holds it, no version changes its state.
    """

    def __init__(
        self, version: int, path: str | Path, changed: threading.Condition
    ) -> None:
        self.version = version
        self.path = Path(path)
        self.is_wanted = True  # on disk, and picked by the version policy
        self.failed_attempts = 0
        self.next_attempt = 0.0  # on the clock of time.monotonic
        self.last_error: ServingError | None = None
        self._changed = changed
        self._state = START
        self._error: ServingError | None = None
        self._servable: Servable | None = None
        self._users = 0

    @property
    def status(self) -> VersionStatus:
        """The present `VersionStatus`."""
        with self._changed:
            return VersionStatus(self.version, self._state, self._error)

    @property
    def state(self) -> str:
        """The present state."""
        return self.status.state

    def load(self, load_servable: Callable[[Path], Servable]) -> None:
        """Try once to load; on success the version is available.

        Args:
            load_servable: function from the version's folder to a `Servable`.

        Raises:
            ServingError: as `load_servable` does. The version stays in `LOADING`.
        """
        self._set(LOADING)
        try:
            servable = load_servable(self.path)
        except ServingError as error:
            self.failed_attempts += 1
            self.last_error = error
            raise
        with self._changed:
            self._servable = servable
            self._state = AVAILABLE

    def give_up(self) -> None:
        """End a version that could not be loaded, with its last error."""
        self._set(END, self.last_error)

    def begin_unload(self) -> None:
        """Take no new requests."""
        self._set(UNLOADING)

    def try_unload(self) -> bool:
        """Free the model if no request is running.

        Returns:
            Whether it is free now.
        """
        with self._changed:
            if self._users:
                return False
            servable, self._servable = self._servable, None
        if servable is not None:
            servable.close()
        self._set(END)
        return True

    def close(self, seconds: float) -> None:
        """Take no new requests, and free the model when those that run have ended.

        Args:
            seconds: longest time to wait for them; then they are broken off.
        """
        self.begin_unload()
        with self._changed:
            self._changed.wait_for(lambda: self._users == 0, seconds)
            servable, self._servable = self._servable, None
        if servable is not None:
            servable.close()
        self._set(END)

    def try_enter(self) -> Servable | None:
        """Begin to use the version.

        Returns:
            Its `Servable`, or `None` when the version is not available. After a
            `Servable` was returned, `leave` must be called.
        """
        with self._changed:
            if self._state != AVAILABLE:
                return None
            self._users += 1
            return self._servable

    def leave(self) -> None:
        """End the use that a successful `try_enter` began."""
        with self._changed:
            self._users -= 1
            self._changed.notify_all()

    def _set(self, state: str, error: ServingError | None = None) -> None:
        with self._changed:
            self._state = state
            self._error = error
