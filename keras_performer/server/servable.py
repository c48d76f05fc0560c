"""One version of one model: a SavedModel loaded into a session of its own.

TensorFlow Serving runs a signature by feeding and fetching the tensors it names in a
session, and so does this class: what runs here runs there. Nothing of the program that
made the model is needed, only the ops its graph uses.
"""

import contextlib
import functools
import importlib.util
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from keras_performer.extras import pip_line
from keras_performer.server import tensorflow_core as tf
from keras_performer.server.denied_ops import find_denied_ops
from keras_performer.server.memory import release_memory
from keras_performer.server.request_cost import LONG, get_cost, read_max_group_bytes
from keras_performer.server.serving_error import ServingError
from keras_performer.server.thread_pools import (
    LONG_POOL,
    SHORT_POOL,
    make_session_config,
)

DEFAULT_SIGNATURE = "serving_default"

_UNREGISTERED_OP = re.compile(r"Op type not registered '(\w+)'")

# What reading, building and initializing a damaged or foreign SavedModel raises.
_LOAD_ERRORS = (
    KeyError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    tf.errors.OpError,
)


class Servable:
    """A loaded version that answers requests.

    Args:
        path: folder of the version, with `saved_model.pb` in it.
        tags: the set of tags that picks a graph of the SavedModel.
        allowed_ops: names of ops that the model may run, though they reach for files,
            the network or Python.
        config: the `tf.compat.v1.ConfigProto` of the session; `None` is made by
            `make_session_config()`.

    Raises:
        ServingError: the version cannot be loaded. The message says why and, for an op
            that is not registered, which package brings it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        tags: Iterable[str] = ("serve",),
        allowed_ops: Iterable[str] = (),
        config: Any = None,
    ) -> None:
        _register_text_ops()
        _check_ops(path, tags, allowed_ops)
        graph = tf.Graph()
        self._session: Any = tf.Session(
            graph=graph, config=config or make_session_config()
        )
        try:
            with graph.as_default(), _no_deprecation_warning():
                meta_graph = tf.load_saved_model(self._session, list(tags), str(path))
        except _LOAD_ERRORS as error:
            self._session.close()
            raise _explain(error, path) from error
        self.path = path
        self.signatures = dict(meta_graph.signature_def)
        self._max_group_bytes = read_max_group_bytes(path)

    def get_signature(self, name: str) -> Any:
        """The signature of a name; `""` stands for `serving_default`.

        Returns:
            A `SignatureDef`.

        Raises:
            ServingError: `INVALID_ARGUMENT`, when the model has no such signature.
        """
        name = name or DEFAULT_SIGNATURE
        if name not in self.signatures:
            raise ServingError(
                "INVALID_ARGUMENT",
                f'Serving signature name: "{name}" not found in signature def',
            )
        return self.signatures[name]

    def run(
        self, signature: Any, arrays: Mapping[str, np.ndarray], timeout_in_ms: int = 0
    ) -> dict[str, np.ndarray]:
        """Compute every output of a signature.

        Args:
            signature: a `SignatureDef` of this model.
            arrays: `dict` from input name to array.
            timeout_in_ms: longest time to compute; 0 sets no limit.

        Returns:
            `dict` from output name to array.

        Raises:
            ServingError: with the code of the op that failed, or `DEADLINE_EXCEEDED`.
        """
        feeds = {signature.inputs[name].name: array for name, array in arrays.items()}
        fetches = {name: info.name for name, info in signature.outputs.items()}
        is_long = self.get_cost(arrays) >= LONG
        options = tf.RunOptions(
            timeout_in_ms=timeout_in_ms,
            inter_op_thread_pool=LONG_POOL if is_long else SHORT_POOL,
        )
        session = self._session
        if session is None:
            raise ServingError("UNAVAILABLE", "The version was unloaded.")
        try:
            outputs = session.run(fetches, feeds, options=options)
            return {name: _to_array(output) for name, output in outputs.items()}
        except tf.errors.OpError as error:
            raise ServingError.from_tensorflow(error) from error
        # An array of another shape than the input has. TensorFlow Serving leaves it to
        # the ops, of which some break the process off where it has many dimensions.
        except ValueError as error:
            raise ServingError("INVALID_ARGUMENT", str(error)) from error

    def get_cost(self, arrays: Mapping[str, np.ndarray]) -> int:
        """How much a request asks of the model, before it is run.

        Args:
            arrays: `dict` from input name to array.

        Returns:
            Bytes of text and numbers that the model will hold at a time, where rows of
            text are as long as the longest of them. A model that says so takes the rows
            of text in groups of like length.
        """
        return get_cost(arrays, self._max_group_bytes)

    def close(self) -> None:
        """Free the session; what it computes is broken off, and it answers no more."""
        self._session.close()
        self._session = None
        release_memory()


def _to_array(output: Any) -> np.ndarray:
    # A session gives the one string of a scalar as `bytes`, whose array would end at
    # its last byte that is not zero.
    return np.array(output, object) if isinstance(output, bytes) else np.asarray(output)


@functools.cache
def _register_text_ops() -> None:
    """Register the ops of tensorflow-text, if it is installed.

    The package itself would import Keras.
    """
    package = importlib.util.find_spec("tensorflow_text")
    for folder in (package and package.submodule_search_locations) or ():
        for library in sorted(Path(folder).glob("python/ops/*.so")):
            tf.load_library(str(library))


def _check_ops(
    path: str | os.PathLike[str], tags: Iterable[str], allowed_ops: Iterable[str]
) -> None:
    """Refuse a model before anything of it is run."""
    try:
        message = saved_model_pb2.SavedModel.FromString(
            (Path(path) / "saved_model.pb").read_bytes()
        )
    except (OSError, DecodeError):
        return  # loading it will tell
    for meta_graph in message.meta_graphs:
        if set(tags) != set(meta_graph.meta_info_def.tags):
            continue
        denied = find_denied_ops(meta_graph) - set(allowed_ops)
        if denied:
            raise ServingError(
                "PERMISSION_DENIED",
                "The model would run ops that reach for files, the network or Python: "
                f"{', '.join(sorted(denied))}. If you trust its maker, permit them "
                f"with --allow_ops={','.join(sorted(denied))}",
            )


@contextlib.contextmanager
def _no_deprecation_warning() -> Iterator[None]:
    # Loading into a session is deprecated for programs that build on eager execution;
    # for a server it is the documented form of what TensorFlow Serving does.
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _explain(error: Exception, path: str | os.PathLike[str]) -> ServingError:
    """The error as clients may read it: without the folder's place on this machine."""
    explained = _translate(error, path)
    name = str(Path(*Path(path).parts[-2:]))
    return ServingError(explained.code, explained.message.replace(str(path), name))


def _translate(error: Exception, path: str | os.PathLike[str]) -> ServingError:
    if isinstance(error, tf.errors.OpError):
        explained = ServingError.from_tensorflow(error)
    elif isinstance(error, OSError):
        explained = ServingError("NOT_FOUND", str(error))
    else:
        explained = ServingError("UNKNOWN", f"{path}: {error}")
    missing_op = _UNREGISTERED_OP.search(explained.message)
    if not missing_op:
        return explained
    return ServingError(
        explained.code,
        f"The model at {path} uses the op {missing_op[1]!r}, which this process does "
        "not know. The ops of tensorflow-text come with: "
        f"{pip_line('text')} (tensorflow-text must have the minor "
        f"version of TensorFlow {tf.__version__}).",
    )
