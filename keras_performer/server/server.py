"""Starts a server from its options and runs it until it is told to stop."""

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType, ModuleType

from keras_performer.extras import pip_line
from keras_performer.server.model_config import get_model_configs
from keras_performer.server.model_repository import ModelRepository
from keras_performer.server.rest_app import RestApp
from keras_performer.server.rest_handler import RestHandler
from keras_performer.server.servable import Servable
from keras_performer.server.server_options import ServerOptions
from keras_performer.server.warmup import warm_up

_logger = logging.getLogger(__name__)

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _Stopped(BaseException):
    """Raised by the signals that ask the server to stop."""


def serve(options: ServerOptions) -> None:
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

    Raises:
        ValueError: the models cannot be loaded or the port cannot be taken; the
            message says what to change.
        ImportError: a package of the extra `serving` is missing.
    """
    uvicorn = _import_uvicorn()
    configs = get_model_configs(options)
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.suppress(_Stopped))
        stack.enter_context(_stop_on_signals())
        listener = stack.enter_context(_bind(options))
        repository = ModelRepository(
            configs,
            load_servable=_get_loader(options),
            poll_wait_seconds=options.file_system_poll_wait_seconds,
            max_load_retries=options.max_num_load_retries,
            load_retry_interval_seconds=options.load_retry_interval_micros / 1e6,
        )
        handler = RestHandler(repository, options.rest_api_timeout_in_ms)
        stack.callback(repository.close)
        repository.start(options.allow_version_labels_for_unavailable_models)
        executor = stack.enter_context(
            ThreadPoolExecutor(_count_threads(options), thread_name_prefix="rest")
        )
        # From here on connections are accepted, so the line below is true when read.
        listener.listen()
        names = ", ".join(config.name for config in configs)
        print(f"Serving {names} at {_get_url(listener)}", flush=True)
        timeout = options.rest_api_timeout_in_ms / 1000
        config = uvicorn.Config(
            RestApp(handler, executor),
            lifespan="off",
            ws="none",
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=max(round(timeout), 1) if timeout else None,
        )
        uvicorn.Server(config).run(sockets=[listener])


def _import_uvicorn() -> ModuleType:
    try:
        import uvicorn
    except ImportError as error:
        raise ImportError(
            f"Serving needs the package uvicorn. Install it with: {pip_line('serving')}"
        ) from error
    return uvicorn


def _get_loader(options: ServerOptions) -> Callable[[Path], Servable]:
    def load(path: Path) -> Servable:
        servable = Servable(path)
        if options.enable_model_warmup:
            try:
                warm_up(servable)
            except BaseException:
                servable.close()
                raise
        return servable

    return load


def _count_threads(options: ServerOptions) -> int:
    if options.rest_api_num_threads is not None:
        return options.rest_api_num_threads
    return 4 * (os.cpu_count() or 1)


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


def _get_url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


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
