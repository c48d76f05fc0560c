"""The settings of a server, named as TensorFlow Serving names its flags."""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class ServerOptions:
    """What to serve, and where to listen.

    Names, meanings and defaults are TensorFlow Serving's, so that a command line moves
    from one server to the other. The differences: `rest_api_port=0` takes a free port
    instead of switching HTTP off, and `rest_api_host`, which TensorFlow Serving does
    not have (it listens on every interface), keeps the server on this machine.

    Args:
        model_name: name in the URL of the single model at `model_base_path`.
        model_base_path: folder that holds the numbered version folders of one model.
        model_config_file: text file with a `ModelServerConfig` message, for several
            models, version policies and version labels. Give either this or
            `model_base_path`.
        rest_api_port: port for HTTP. 0 takes a free one; the ready line tells which.
        rest_api_host: address to listen on. Use `"0.0.0.0"` for every interface.
        rest_api_num_threads: requests computed at the same time. `None` takes four
            for each processor.
        rest_api_timeout_in_ms: longest time one request may compute. 0 sets no limit.
        file_system_poll_wait_seconds: time between two looks for new versions. 0 looks
            once, at the start.
        max_num_load_retries: further attempts to load a version that failed to load
            while the server is running.
        load_retry_interval_micros: time between two such attempts.
        enable_model_warmup: replay the requests recorded in a version's
            `assets.extra/tf_serving_warmup_requests` before it is served.
        allow_version_labels_for_unavailable_models: accept a label for a version that
            could not be loaded at the start.

    Raises:
        ValueError: an argument is out of range, or two arguments contradict.

    >>> ServerOptions(model_base_path="saved_models/documents").rest_api_port
    8501
    """

    model_name: str = "default"
    model_base_path: str | os.PathLike[str] | None = None
    model_config_file: str | os.PathLike[str] | None = None
    rest_api_port: int = 8501
    rest_api_host: str = "127.0.0.1"
    rest_api_num_threads: int | None = None
    rest_api_timeout_in_ms: int = 30_000
    file_system_poll_wait_seconds: float = 1
    max_num_load_retries: int = 5
    load_retry_interval_micros: int = 60_000_000
    enable_model_warmup: bool = True
    allow_version_labels_for_unavailable_models: bool = False

    def __post_init__(self) -> None:
        if not self.model_base_path and not self.model_config_file:
            raise ValueError(
                "Nothing to serve: model_base_path and model_config_file are both "
                "empty. Pass the folder that holds a model's numbered versions as "
                "model_base_path, or a ModelServerConfig text file as "
                "model_config_file."
            )
        if self.model_config_file and (
            self.model_base_path or self.model_name != "default"
        ):
            raise ValueError(
                f"model_config_file={str(self.model_config_file)!r} names the models "
                f"itself, so model_name={self.model_name!r} and "
                f"model_base_path={self.model_base_path!r} would be ignored. "
                "Pass one or the other."
            )
        if not self.model_name:
            raise ValueError("model_name is empty; pass the name to use in the URL.")
        if not 0 <= self.rest_api_port <= 65535:
            raise ValueError(
                f"rest_api_port={self.rest_api_port} is not a port; "
                "expected 0 (any free port) to 65535."
            )
        if self.rest_api_num_threads is not None and self.rest_api_num_threads < 1:
            raise ValueError(
                f"rest_api_num_threads={self.rest_api_num_threads} leaves no thread "
                "to compute on; pass 1 or more, or None to choose by processors."
            )
        for name in (
            "rest_api_timeout_in_ms",
            "file_system_poll_wait_seconds",
            "max_num_load_retries",
            "load_retry_interval_micros",
        ):
            if getattr(self, name) < 0:
                raise ValueError(
                    f"{name}={getattr(self, name)} is negative; pass 0 or more."
                )
