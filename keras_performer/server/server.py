"""Starts a server from its options and runs it until it is told to stop."""

import contextlib
import gc
import logging
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType

from keras_performer.server.access_log import AccessLog
from keras_performer.server.admission import Admission
from keras_performer.server.api_tokens import ApiTokens, read_api_tokens
from keras_performer.server.batcher import Batcher
from keras_performer.server.batching_parameters import (
    BatchingParameters,
    read_batching_parameters,
)
from keras_performer.server.config_messages import METRICS_PATH, read_metrics_path
from keras_performer.server.connections import Server, make_config
from keras_performer.server.grpc_handler import GrpcHandler
from keras_performer.server.grpc_server import GrpcServer
from keras_performer.server.memory import get_memory_limit, release_memory
from keras_performer.server.metrics import Metrics
from keras_performer.server.model_config import get_model_configs
from keras_performer.server.model_config_watcher import ModelConfigWatcher
from keras_performer.server.model_repository import ModelRepository
from keras_performer.server.rest_app import RestApp, RestLimits
from keras_performer.server.rest_handler import RestHandler
from keras_performer.server.scheduler import Scheduler
from keras_performer.server.servable import Servable
from keras_performer.server.server_options import ServerOptions
from keras_performer.server.serving_error import ServingError
from keras_performer.server.ssl_config import read_ssl_config
from keras_performer.server.thread_pools import count_op_threads, make_session_config
from keras_performer.server.warmup import warm_up
from keras_performer.server.web_view import WebView

_logger = logging.getLogger(__name__)

# Requests without a time limit are broken off so long after a signal.
_GRACE_SECONDS = 30

_DESCRIPTORS_FOR_MODELS = 32

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _Stopped(BaseException):
    """Raised by the signals that ask the server to stop."""


def serve(
    options: ServerOptions, announce: Callable[[list[str], str], None] | None = None
) -> None:
    """Load the models, print one line when they can be queried, serve until stopped.

    The answers are TensorFlow Serving's: `GET /v1/models/<name>` for the status,
    `GET /v1/models/<name>/metadata` for the signatures and
    `POST /v1/models/<name>:predict` for predictions; each also for one version with
    `/versions/<number>` or `/labels/<label>` after the name. New versions on disk are
    loaded while serving.

    SIGINT and SIGTERM end the call: running requests are answered first. Signals can
    only be received in the main thread; a call in another thread ends with its process.

    Args:
        options: a `ServerOptions`.
        announce: function of the models' names and the address, called when they can
            be queried; by default it prints the line.

    Raises:
        ValueError: the models cannot be loaded or the port cannot be taken; the
            message says what to change.
        ImportError: a package of the extra `serving` is missing.
    """
    configs = get_model_configs(options)
    metrics_path = ""
    if options.monitoring_config_file:
        metrics_path = read_metrics_path(options.monitoring_config_file)
    web_view = None
    if options.enable_web_view:
        metrics_path = metrics_path or METRICS_PATH
        web_view = WebView(metrics_path)
    batching = _get_batching(options)
    ssl_config = None
    if options.ssl_config_file:
        ssl_config = read_ssl_config(options.ssl_config_file)
    api_tokens = ApiTokens()
    if options.api_token_file:
        api_tokens = read_api_tokens(options.api_token_file)
    metrics = Metrics()
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.suppress(_Stopped))
        stack.enter_context(_stop_on_signals())
        listener = stack.enter_context(_bind(options))
        stack.enter_context(_rare_garbage_collection())
        repository = ModelRepository(
            configs,
            load_servable=_get_loader(options, metrics),
            poll_wait_seconds=options.file_system_poll_wait_seconds,
            max_load_retries=options.max_num_load_retries,
            load_retry_interval_seconds=options.load_retry_interval_micros / 1e6,
        )
        handler = RestHandler(repository, options.rest_api_timeout_in_ms, metrics)
        stack.callback(repository.close)
        repository.start(options.allow_version_labels_for_unavailable_models)
        _watch_models(options, repository, stack)
        num_threads = _count_threads(options)
        admission = Admission(
            num_threads,
            long_slots=max(min(num_threads // 2, os.cpu_count() or 1), 1),
            max_waiting=options.max_waiting_requests,
            max_cost=_get_budget(options),
        )
        computing = _make_pool(num_threads, "computing", stack)
        batcher = None
        if batching:
            waiting = options.max_waiting_requests
            batcher = Batcher(batching, waiting, admission, computing, metrics)
        scheduler = Scheduler(admission, computing, batcher)
        _add_gauges(metrics, admission, batcher, repository)
        reading = _make_pool(2, "reading", stack)
        access_log = AccessLog(options.access_log)
        grpc_server = None
        if options.port:
            grpc_server = GrpcServer(
                _join_address(options.rest_api_host, options.port),
                GrpcHandler(repository, metrics),
                scheduler,
                reading,
                metrics,
                access_log,
                options.rest_api_timeout_in_ms,
                options.max_request_bytes,
                max_requests=num_threads + options.max_waiting_requests,
                has_health_service=options.enable_grpc_healthcheck_service,
                api_tokens=api_tokens,
                ssl_config=ssl_config,
            )
        app = RestApp(
            handler,
            scheduler,
            reading,
            limits=_get_limits(options),
            enable_cors=options.rest_api_enable_cors_support,
            access_log=access_log,
            metrics=metrics,
            metrics_path=metrics_path,
            api_tokens=api_tokens,
            web_view=web_view,
        )
        # From here on connections are accepted, so what is announced is true.
        listener.listen()
        names = [config.name for config in configs]
        ssl_context = None
        if ssl_config and options.rest_api_enable_ssl:
            ssl_context = ssl_config.make_context()
        url = _get_url(listener, ssl_context is not None)
        server = Server(
            make_config(app, _get_grace_seconds(options)),
            max_connections=_get_max_connections(options),
            idle_timeout=options.connection_timeout_in_ms / 1000,
            ssl_context=ssl_context,
            grpc_server=grpc_server,
            started=lambda: (announce or _print_address)(names, url),
        )
        server.run(sockets=[listener])


@contextlib.contextmanager
def _rare_garbage_collection() -> Iterator[None]:
    """Look for cycles seldom, and not among what was imported.

    Python looks through all objects whenever their number has grown by a quarter, which
    a request of a million lists does again and again, for a third of a second each time
    in which no one is answered. A document has no cycles. Models that are unloaded
    have, and are looked for by themselves.
    """
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(20_000, 10, 1_000)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


def _print_address(names: list[str], url: str) -> None:
    print(f"Serving {', '.join(names)} at {url}", flush=True)


def _watch_models(
    options: ServerOptions, repository: ModelRepository, stack: contextlib.ExitStack
) -> None:
    """Take changes of the model configuration file over, if that is asked for."""
    seconds = options.model_config_file_poll_wait_seconds
    if options.model_config_file and seconds:
        watcher = ModelConfigWatcher(options.model_config_file, repository, seconds)
        stack.callback(watcher.close)
        watcher.start()


def _get_batching(options: ServerOptions) -> BatchingParameters | None:
    if not options.enable_batching:
        return None
    if options.batching_parameters_file:
        return read_batching_parameters(options.batching_parameters_file)
    return BatchingParameters()


def _add_gauges(
    metrics: Metrics,
    admission: Admission,
    batcher: Batcher | None,
    repository: ModelRepository,
) -> None:
    """Add the gauges of what the server holds."""

    def count_waiting() -> dict[tuple[str, ...], int]:
        return {(): admission.num_waiting + (batcher.num_waiting if batcher else 0)}

    metrics.watch("requests_computing", (), lambda: {(): admission.num_running})
    metrics.watch("requests_waiting", (), count_waiting)
    metrics.watch(
        "model_version_state",
        ("model_name", "version", "state"),
        repository.count_states,
    )


def _get_loader(options: ServerOptions, metrics: Metrics) -> Callable[[Path], Servable]:
    parallelism = options.tensorflow_session_parallelism
    config = make_session_config(
        options.tensorflow_intra_op_parallelism or parallelism or count_op_threads(),
        options.tensorflow_inter_op_parallelism or parallelism or 16,
    )

    allowed_ops = [name for name in options.allow_ops.split(",") if name]

    def load(path: Path) -> Servable:
        # Of the folder's place on this machine, metrics are not told.
        name = "/".join(path.parts[-2:])
        started = time.perf_counter()
        try:
            servable = Servable(path, allowed_ops=allowed_ops, config=config)
        except ServingError:
            metrics.load_attempt_count.add((name, "fail"))
            raise
        metrics.load_attempt_count.add((name, "success"))
        metrics.load_latency.add((name,), _microseconds_since(started))
        if options.enable_model_warmup:
            started = time.perf_counter()
            try:
                count = warm_up(servable)
            except BaseException:
                servable.close()
                raise
            if count:
                latency = _microseconds_since(started)
                metrics.warmup_latency.add((name, "OK"), latency)
                metrics.warmup_records_read.add((name, "OK"), count)
        release_memory()
        return servable

    return load


def _microseconds_since(started: float) -> int:
    return round(1e6 * (time.perf_counter() - started))


def _count_threads(options: ServerOptions) -> int:
    if options.rest_api_num_threads is not None:
        return options.rest_api_num_threads
    return 4 * (os.cpu_count() or 1)


def _make_pool(
    num_threads: int, name: str, stack: contextlib.ExitStack
) -> ThreadPoolExecutor:
    pool = ThreadPoolExecutor(num_threads, thread_name_prefix=name)
    # Nothing is waited for: what still computes ends when the models are unloaded.
    stack.callback(pool.shutdown, wait=False, cancel_futures=True)
    return pool


def _get_limits(options: ServerOptions) -> RestLimits:
    return RestLimits(
        timeout_in_ms=options.rest_api_timeout_in_ms,
        max_request_bytes=options.max_request_bytes,
        max_bytes_in_hand=4 * options.max_request_bytes,
        idle_timeout=options.connection_timeout_in_ms / 1000,
    )


def _get_budget(options: ServerOptions) -> int:
    """Bytes of text that may be in the models at a time; 0 sets no limit.

    A small Performer holds 600 to 2000 bytes for each byte of text.
    """
    if options.max_padded_bytes is not None:
        return options.max_padded_bytes
    return get_memory_limit() // 2048


def _get_max_connections(options: ServerOptions) -> int:
    """As many as was asked for, or as there are file descriptors for."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY:
        return options.max_connections
    # Some are for the models that are loaded later.
    free = most - _count_descriptors() - _DESCRIPTORS_FOR_MODELS
    return max(min(options.max_connections, free), 1)


def _count_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _get_grace_seconds(options: ServerOptions) -> int:
    """How long running requests may take to end after a signal."""
    seconds = options.rest_api_timeout_in_ms / 1000
    return max(round(seconds), 1) if seconds else _GRACE_SECONDS


@contextlib.contextmanager
def _bind(options: ServerOptions) -> Iterator[socket.socket]:
    """A socket at the address, which does not listen yet."""
    host, port = options.rest_api_host, options.rest_api_port
    with contextlib.ExitStack() as stack:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            listener = stack.enter_context(socket.socket(family, kind, protocol))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except OSError as error:
            raise ValueError(
                f"Cannot listen at rest_api_host={host!r}, rest_api_port={port}: "
                f"{error.strerror}. Pass another port (0 takes any free one) or "
                "another host."
            ) from error
        yield listener


def _get_url(listener: socket.socket, is_encrypted: bool) -> str:
    scheme = "https" if is_encrypted else "http"
    return f"{scheme}://{_join_address(*listener.getsockname()[:2])}"


def _join_address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@contextlib.contextmanager
def _stop_on_signals() -> Iterator[None]:
    """Let SIGINT and SIGTERM raise `_Stopped` in the main thread."""

    def stop(signum: int, frame: FrameType | None) -> None:
        _logger.info("Stopping on signal %d", signum)
        raise _Stopped

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.signal(number, stop) for number in _STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
