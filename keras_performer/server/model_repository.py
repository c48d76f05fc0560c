"""The models on disk: finds their versions and loads those that are to be served.

A model lives in `<base_path>/<version>/saved_model.pb`. A new version is loaded before
the old one is unloaded, and a version that cannot be loaded leaves the old one serving:
once a model is available it stays so, unless all its versions are taken away.
"""

import contextlib
import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from keras_performer.server.model_config import ModelConfig
from keras_performer.server.model_version import (
    AVAILABLE,
    END,
    LOADING,
    START,
    UNLOADING,
    ModelVersion,
    VersionStatus,
)
from keras_performer.server.servable import Servable
from keras_performer.server.serving_error import ServingError
from keras_performer.server.version_folders import check_versions, find_versions

_logger = logging.getLogger(__name__)


class ModelRepository:
    """All models of a server.

    Args:
        configs: the `ModelConfig` of each model.
        load_servable: function from the folder of a version to a `Servable`. It raises
            `ServingError` when the version cannot be loaded.
        poll_wait_seconds: time between two looks at the disk; 0 looks only in `start`.
        max_load_retries: further attempts to load a version that failed to load.
        load_retry_interval_seconds: time between two attempts.
    """

    def __init__(
        self,
        configs: Iterable[ModelConfig],
        load_servable: Callable[[Path], Servable],
        poll_wait_seconds: float = 1.0,
        max_load_retries: int = 5,
        load_retry_interval_seconds: float = 60.0,
    ) -> None:
        self._configs = {config.name: config for config in configs}
        self._load_servable = load_servable
        self._poll_wait_seconds = poll_wait_seconds
        self._max_load_retries = max_load_retries
        self._load_retry_interval_seconds = load_retry_interval_seconds
        self._versions: dict[str, dict[int, ModelVersion]] = {
            name: {} for name in self._configs
        }
        self._allow_labels_for_unavailable_versions = False
        self._updating = threading.RLock()  # held by whoever loads and unloads
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, allow_labels_for_unavailable_versions: bool = False) -> None:
        """Load every model, then keep watching the disk.

        Call `close` in the end, also after an error.

        Args:
            allow_labels_for_unavailable_versions: accept a label of a version that is
                not available.

        Raises:
            ValueError: a model has no version that can be served, or a label names a
                version that is not available.
        """
        self._allow_labels_for_unavailable_versions = (
            allow_labels_for_unavailable_versions
        )
        for config in self._configs.values():
            check_versions(config)
        self.poll()
        for config in self._configs.values():
            self._load_earlier(config)
        if failures := self.list_unavailable():
            raise ValueError(
                "Some models did not become available:\n" + "\n".join(failures)
            )
        for config in self._configs.values():
            if error := self._check_labels(config, {}):
                raise ValueError(
                    f"{error}. Correct the label, or set "
                    "allow_version_labels_for_unavailable_models."
                )
        if self._poll_wait_seconds > 0:
            self._thread = threading.Thread(
                target=self._watch, name="model-repository", daemon=True
            )
            self._thread.start()

    def close(self, wait_seconds: float = 5.0) -> None:
        """Stop watching and unload everything.

        Args:
            wait_seconds: longest time to wait for requests that are running; then they
                are broken off.
        """
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        end = time.monotonic() + wait_seconds
        for versions in self._versions.values():
            for version in versions.values():
                if version.state in (AVAILABLE, UNLOADING):
                    version.close(max(end - time.monotonic(), 0))

    def poll(self) -> None:
        """Look at the disk once, and load and unload what that asks for."""
        with self._updating:
            for config in self._configs.values():
                self._look_for_versions(config)
                self._load_wanted(config.name)
            self.unload_unwanted()

    def reload(self, configs: Iterable[ModelConfig]) -> list[str]:
        """Serve other models, or other versions of them, from now on.

        New versions are loaded first, then labels are moved, and then what is no longer
        wanted is unloaded. A model whose labels cannot be moved keeps the configuration
        that it had, and a new one gets no labels. A version that is served stays as it
        is, also where the same number is found in another folder.

        Args:
            configs: the `ModelConfig` of each model.

        Returns:
            List of what is wrong with the labels that could not be moved.
        """
        with self._updating:
            new = {config.name: config for config in configs}
            adopted = [self._adopt(config) for config in new.values()]
            for name in self._configs.keys() - new.keys():
                _logger.info("Removing model %s", name)
                for version in self._versions[name].values():
                    version.is_wanted = False
            self._configs = {name: self._configs[name] for name in new}
            self.unload_unwanted()
            return [error for error in adopted if error]

    def unload_unwanted(self) -> None:
        """Unload what is not to be served, as far as no request uses it any more."""
        with self._updating:
            for name in list(self._versions):
                self._unload_unwanted(name)

    def has_model(self, name: str) -> bool:
        """Whether a model of this name is to be served."""
        return name in self._configs

    def list_unavailable(self) -> list[str]:
        """Each version that could not be loaded, of models of which none serves."""
        failures = []
        for name in self._configs:
            if not self._has_available(name):
                failures += [
                    f"version {v.version} of {name}: {v.last_error}"
                    for v in self._versions[name].values()
                ] or [f"no version of {name} found"]
        return failures

    def count_states(self) -> dict[tuple[str, ...], int]:
        """`dict` from the name, version and state of each version to 1.

        Those that have ended are left out: their number grows for ever.
        """
        return {
            (name, str(number), state): 1
            for name, versions in list(self._versions.items())
            for number, version in versions.items()
            if (state := version.state) != END
        }

    def list_statuses(
        self, name: str, version: int | None = None
    ) -> list[VersionStatus]:
        """The status of one version or of all versions of a model, highest first.

        Args:
            name: the model.
            version: number of a version, or `None` for all.

        Returns:
            List of `VersionStatus`; unloaded and failed versions are among them.

        Raises:
            ServingError: `NOT_FOUND`.
        """
        versions = self._versions.get(name, {})
        if version is not None:
            if version not in versions:
                raise ServingError(
                    "NOT_FOUND", f"Could not find version {version} of model {name}"
                )
            return [versions[version].status]
        if not versions:
            raise ServingError(
                "NOT_FOUND", f"Could not find any versions of model {name}"
            )
        return [versions[number].status for number in sorted(versions, reverse=True)]

    @contextlib.contextmanager
    def borrow(
        self, name: str, version: int | None = None, label: str | None = None
    ) -> Iterator[tuple[int, Servable]]:
        """Use an available version; it is not unloaded before the block ends.

        Args:
            name: the model.
            version: number of a version; `None` takes the highest available one.
            label: label of a version, in place of the number.

        Yields:
            `(number, servable)`.

        Raises:
            ServingError: `NOT_FOUND`, when no such version is available;
                `INVALID_ARGUMENT`, when there is no such label.
        """
        if label is not None:
            version = self._resolve_label(name, label)
        borrowed, servable = self._enter(name, version)
        try:
            yield borrowed.version, servable
        finally:
            borrowed.leave()

    def _enter(self, name: str, version: int | None) -> tuple[ModelVersion, Servable]:
        with self._changed:  # or the old version could go between two looks
            versions = self._versions.get(name, {})
            numbers = sorted(versions, reverse=True) if version is None else [version]
            for number in numbers:
                candidate = versions.get(number)
                if candidate is None:
                    continue
                servable = candidate.try_enter()
                if servable is not None:
                    return candidate, servable
        which = f"Latest({name})" if version is None else f"Specific({name}, {version})"
        raise ServingError("NOT_FOUND", f"Servable not found for request: {which}")

    def _resolve_label(self, name: str, label: str) -> int:
        config = self._configs.get(name)
        if config is None or label not in config.labels:
            raise ServingError(
                "INVALID_ARGUMENT", f"Unrecognized servable version label: {label}"
            )
        return config.labels[label]

    def _watch(self) -> None:
        while not self._stop.wait(self._poll_wait_seconds):
            self.poll()

    def _look_for_versions(self, config: ModelConfig) -> None:
        try:
            found = find_versions(config.base_path)
        except OSError as error:
            _logger.warning(
                "Could not look for versions of model %s: %s", config.name, error
            )
        else:
            self._update_wanted(config, found)

    def _adopt(self, config: ModelConfig) -> str | None:
        """Take a new configuration of a model over, if its labels can be moved.

        Returns what is wrong with them otherwise.
        """
        name = config.name
        present = self._configs.get(name) or dataclasses.replace(config, labels={})
        self._versions.setdefault(name, {})
        self._look_for_versions(config)
        self._load_wanted(name)
        error = self._check_labels(config, present.labels)
        if error:
            _logger.error("%s. The model keeps its configuration.", error)
            config = present
            self._look_for_versions(config)
            self._load_wanted(name)
        elif present.base_path != config.base_path:
            for version in self._versions[name].values():
                if version.state == AVAILABLE and version.is_wanted:
                    _logger.warning(
                        "Version %d of model %s stays as it was loaded, from %s",
                        version.version,
                        name,
                        version.path,
                    )
        self._configs = {**self._configs, name: config}  # others may be reading
        return error

    def _update_wanted(self, config: ModelConfig, found: Mapping[int, Path]) -> None:
        wanted = config.policy(set(found))
        versions = dict(self._versions[config.name])
        for number, version in versions.items():
            if number not in wanted:
                version.is_wanted = False
        for number in wanted:
            known = versions.get(number)
            if known is None or (known.state == END and not known.is_wanted):
                versions[number] = ModelVersion(number, found[number], self._changed)
            else:
                known.is_wanted = True
        if not wanted and any(v.state == AVAILABLE for v in versions.values()):
            _logger.warning(
                "No versions of model %s found under %s any more",
                config.name,
                config.base_path,
            )
        self._versions[config.name] = versions  # replaced whole: others may be reading

    def _load_wanted(self, name: str) -> None:
        for _, version in sorted(self._versions[name].items(), reverse=True):
            if self._stop.is_set():
                return
            is_due = version.is_wanted and time.monotonic() >= version.next_attempt
            if version.state in (START, LOADING) and is_due:
                self._attempt_load(name, version)

    def _load_earlier(self, config: ModelConfig) -> None:
        """Where no version that is wanted can be loaded, load one from before."""
        versions = self._versions[config.name]
        failed = set(versions)
        while not self._has_available(config.name):
            found = find_versions(config.base_path)
            earlier = config.policy(set(found) - failed) - failed
            if not earlier:
                return
            number = max(earlier)
            failed.add(number)
            version = ModelVersion(number, found[number], self._changed)
            version.is_wanted = False  # any that is wanted takes its place
            self._versions[config.name] = {**versions, number: version}
            self._attempt_load(config.name, version)
            if version.state == AVAILABLE:
                _logger.warning(
                    "Serving version %d of model %s, as later ones could not be loaded",
                    number,
                    config.name,
                )

    def _has_available(self, name: str) -> bool:
        return any(v.state == AVAILABLE for v in self._versions[name].values())

    def _attempt_load(self, name: str, version: ModelVersion) -> None:
        try:
            version.load(self._load_servable)
        except ServingError as error:
            version.next_attempt = time.monotonic() + self._load_retry_interval_seconds
            attempts = 1 + self._max_load_retries
            _logger.error(
                "Could not load version %d of model %s (attempt %d of %d) from %s: %s",
                version.version,
                name,
                version.failed_attempts,
                attempts,
                version.path,
                error,
            )
            if version.failed_attempts >= attempts:
                version.give_up()
        else:
            _logger.info("Loaded version %d of model %s", version.version, name)

    def _unload_unwanted(self, name: str) -> None:
        versions = self._versions[name].values()
        for version in versions:
            if version.state in (START, LOADING) and not version.is_wanted:
                version.give_up()
        wanted = [version for version in versions if version.is_wanted]
        unwanted = sorted(
            (v for v in versions if not v.is_wanted and v.state == AVAILABLE),
            key=lambda version: version.version,
        )
        if wanted and not any(version.state == AVAILABLE for version in wanted):
            unwanted = unwanted[:-1]  # the last one serves until a new one can
        for version in unwanted:
            version.begin_unload()
        for version in versions:
            # One that requests still use is left to the next look.
            if version.state == UNLOADING and version.try_unload():
                _logger.info("Unloaded version %d of model %s", version.version, name)

    def _check_labels(
        self, config: ModelConfig, present: Mapping[str, int]
    ) -> str | None:
        """What is wrong with the labels of a configuration, if anything is."""
        versions = self._versions[config.name]
        served = [v for v in versions.values() if v.state == AVAILABLE]
        # Where none that is wanted could be loaded, the others stay.
        lasting = {v.version for v in served if v.is_wanted} or {
            v.version for v in served
        }
        for label, number in config.labels.items():
            if number in lasting:
                continue
            is_free = present.get(label, number) == number
            if not (self._allow_labels_for_unavailable_versions and is_free):
                return (
                    f"Request to assign label {label!r} to version {number} of model "
                    f"{config.name}, which is not currently available for inference"
                )
        return None
