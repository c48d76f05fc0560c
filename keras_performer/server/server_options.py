"""The settings of a server, named as TensorFlow Serving names its flags."""

import os
from dataclasses import dataclass

from keras_performer.server.access_log import FORMS

# The flags of tensorflow_model_server 2.20, of which this server has those that are
# fields of `ServerOptions`.
TENSORFLOW_SERVING_FLAGS = (
    "allow_version_labels_for_unavailable_models",
    "batching_parameters_file",
    "enable_batching",
    "enable_grpc_healthcheck_service",
    "enable_model_warmup",
    "enable_per_model_batching_parameters",
    "enable_profiler",
    "enable_serialization_as_tensor_content",
    "enable_signature_method_name_check",
    "file_system_poll_wait_seconds",
    "flush_filesystem_caches",
    "grpc_channel_arguments",
    "grpc_max_threads",
    "grpc_socket_path",
    "load_retry_interval_micros",
    "max_num_load_retries",
    "mixed_precision",
    "model_base_path",
    "model_config_file",
    "model_config_file_poll_wait_seconds",
    "model_name",
    "monitoring_config_file",
    "num_load_threads",
    "num_request_iterations_for_warmup",
    "num_tflite_interpreters_per_pool",
    "num_tflite_pools",
    "num_unload_threads",
    "per_process_gpu_memory_fraction",
    "platform_config_file",
    "port",
    "prefer_tflite_model",
    "remove_unused_fields_from_bundle_metagraph",
    "rest_api_enable_cors_support",
    "rest_api_num_threads",
    "rest_api_port",
    "rest_api_timeout_in_ms",
    "saved_model_tags",
    "skip_initialize_tpu",
    "ssl_config_file",
    "tensorflow_inter_op_parallelism",
    "tensorflow_intra_op_parallelism",
    "tensorflow_session_config_file",
    "tensorflow_session_parallelism",
    "thread_pool_factory_config_file",
    "use_alts_credentials",
    "version",
    "xla_cpu_compilation_enabled",
    "xla_gpu_compilation_enabled",
)


@dataclass(frozen=True)
class ServerOptions:
    """What to serve, and where to listen.

    Names, meanings and defaults are TensorFlow Serving's, so that a command line moves
    from one server to the other. The differences: `rest_api_port=0` takes a free port
    instead of switching HTTP off, gRPC is off unless `port` is given, and
    `rest_api_host`, which TensorFlow Serving does not have (it listens on every
    interface), keeps the server on this machine.

    Args:
        model_name: name in the URL of the single model at `model_base_path`.
        model_base_path: folder that holds the numbered version folders of one model.
        model_config_file: text file with a `ModelServerConfig` message, for several
            models, version policies and version labels. Give either this or
            `model_base_path`.
        model_config_file_poll_wait_seconds: time between two looks at that file, whose
            changes are taken over. 0 reads it once, at the start.
        port: port for gRPC, on the same address. 0 switches gRPC off.
        enable_grpc_healthcheck_service: answer the standard health service of gRPC.
        rest_api_port: port for HTTP. 0 takes a free one; the ready line tells which.
        rest_api_host: address to listen on, for gRPC too. Use `"0.0.0.0"` for every
            interface.
        rest_api_num_threads: requests computed at the same time. `None` takes four
            for each processor.
        rest_api_timeout_in_ms: longest time from the arrival of a request to its
            answer. 0 sets no limit.
        rest_api_enable_cors_support: let pages of other origins read the answers.
        rest_api_enable_ssl: encrypt REST too, by `ssl_config_file`. TensorFlow Serving
            encrypts gRPC alone.
        ssl_config_file: text file with an `SSLConfig` message, which encrypts gRPC, and
            may ask for certificates of clients.
        api_token_file: file with a token a line, of which requests must bring one in
            the header `Authorization: Bearer TOKEN`. The status of a model, and gRPC's
            health service, are told without one.
        max_request_bytes: size of a request's body, as it is sent and uncompressed.
        max_padded_bytes: what all requests that compute at a time may ask of the
            models: bytes of text and numbers of arrays, where the texts of a request
            are as long as the longest. `None` takes 2 KiB of memory for each, 0
            sets no limit.
        max_waiting_requests: requests that may wait for others; further ones are
            answered with 503.
        max_connections: connections at a time. When all are taken, quiet ones are
            closed for new ones.
        connection_timeout_in_ms: time within which the head of a request, a further
            part of its body, or the taking of a part of its answer is to happen.
        enable_batching: join short requests that arrive together.
        batching_parameters_file: text file with a `BatchingParameters` message, which
            says how.
        monitoring_config_file: text file with a `MonitoringConfig` message, which opens
            the page for Prometheus.
        enable_web_view: open a page for browsers, `/monitoring/ui`, of models, versions
            and latencies, with a box to try a text; and the page for Prometheus, of
            which it has its figures.
        access_log: `"text"` or `"json"` writes a line for each request on standard
            error, without its body; `""` writes none.
        file_system_poll_wait_seconds: time between two looks for new versions. 0 looks
            once, at the start.
        max_num_load_retries: further attempts to load a version that failed to load
            while the server is running.
        load_retry_interval_micros: time between two such attempts.
        enable_model_warmup: replay the requests recorded in a version's
            `assets.extra/tf_serving_warmup_requests` before it is served.
        allow_ops: names of ops, with commas, that models may run though they reach for
            files, the network or Python.
        allow_version_labels_for_unavailable_models: accept a label for a version that
            could not be loaded at the start.
        tensorflow_session_parallelism: threads for one op, and ops computed at a time,
            where the two below are not given. 0 leaves the choice.
        tensorflow_intra_op_parallelism: threads that work on one op. 0 takes one for
            each four processors, at least one, so that short requests need not wait
            behind the ops of long ones; more are faster where few long requests come.
        tensorflow_inter_op_parallelism: ops computed at a time by one version of a
            model. 0 takes 16, so that long requests leave threads to short ones.

    Raises:
        ValueError: an argument is out of range, or two arguments contradict.

    >>> ServerOptions(model_base_path="saved_models/documents").rest_api_port
    8501
    """

    model_name: str = "default"
    model_base_path: str | os.PathLike[str] | None = None
    model_config_file: str | os.PathLike[str] | None = None
    model_config_file_poll_wait_seconds: float = 0
    port: int = 0
    enable_grpc_healthcheck_service: bool = False
    rest_api_port: int = 8501
    rest_api_host: str = "127.0.0.1"
    rest_api_num_threads: int | None = None
    rest_api_timeout_in_ms: int = 30_000
    rest_api_enable_cors_support: bool = False
    rest_api_enable_ssl: bool = False
    ssl_config_file: str | os.PathLike[str] | None = None
    api_token_file: str | os.PathLike[str] | None = None
    max_request_bytes: int = 2**25
    max_padded_bytes: int | None = None
    max_waiting_requests: int = 100
    max_connections: int = 1000
    connection_timeout_in_ms: int = 10_000
    enable_batching: bool = False
    batching_parameters_file: str | os.PathLike[str] | None = None
    monitoring_config_file: str | os.PathLike[str] | None = None
    enable_web_view: bool = False
    access_log: str = ""
    file_system_poll_wait_seconds: float = 1
    max_num_load_retries: int = 5
    load_retry_interval_micros: int = 60_000_000
    enable_model_warmup: bool = True
    allow_ops: str = ""
    allow_version_labels_for_unavailable_models: bool = False
    tensorflow_session_parallelism: int = 0
    tensorflow_intra_op_parallelism: int = 0
    tensorflow_inter_op_parallelism: int = 0

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
        for name, zero in (("rest_api_port", "any free port"), ("port", "no gRPC")):
            if not 0 <= getattr(self, name) <= 65535:
                raise ValueError(
                    f"{name}={getattr(self, name)} is not a port; expected 0 ({zero}) "
                    "to 65535."
                )
        if self.port and self.port == self.rest_api_port:
            raise ValueError(
                f"port={self.port} is the rest_api_port too; give gRPC one of its own."
            )
        if self.rest_api_num_threads is not None and self.rest_api_num_threads < 1:
            raise ValueError(
                f"rest_api_num_threads={self.rest_api_num_threads} leaves no thread "
                "to compute on; pass 1 or more, or None to choose by processors."
            )
        for name in (
            "rest_api_timeout_in_ms",
            "file_system_poll_wait_seconds",
            "model_config_file_poll_wait_seconds",
            "max_num_load_retries",
            "load_retry_interval_micros",
            "max_padded_bytes",
            "max_waiting_requests",
            "tensorflow_session_parallelism",
            "tensorflow_intra_op_parallelism",
            "tensorflow_inter_op_parallelism",
        ):
            if (getattr(self, name) or 0) < 0:
                raise ValueError(
                    f"{name}={getattr(self, name)} is negative; pass 0 or more."
                )
        if self.batching_parameters_file and not self.enable_batching:
            raise ValueError(
                f"batching_parameters_file={str(self.batching_parameters_file)!r} is "
                "set without setting enable_batching to true."
            )
        if self.rest_api_enable_ssl and not self.ssl_config_file:
            raise ValueError(
                "rest_api_enable_ssl needs ssl_config_file, which has the key and the "
                "certificate."
            )
        if self.ssl_config_file and not (self.port or self.rest_api_enable_ssl):
            raise ValueError(
                f"ssl_config_file={str(self.ssl_config_file)!r} would encrypt nothing: "
                "it is for gRPC, which port=0 switches off, and for REST with "
                "rest_api_enable_ssl."
            )
        if self.access_log not in FORMS:
            raise ValueError(
                f"access_log={self.access_log!r} is no form of a log; expected 'text', "
                "'json', or '' for none."
            )
        for name in (
            "max_request_bytes",
            "max_connections",
            "connection_timeout_in_ms",
        ):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"{name}={getattr(self, name)} lets nothing in; pass 1 or more."
                )
