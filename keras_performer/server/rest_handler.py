"""What each request of the REST interface means, apart from HTTP itself.

The forms of a URL, the order of the checks and the error messages are TensorFlow
Serving's. Model names and labels are percent-decoded after the URL was taken apart;
a query string is part of the path, as it is there.
"""

import contextlib
import functools
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from google.protobuf import json_format

from keras_performer.server import tensorflow_core as tf
from keras_performer.server.computation import Arrays, Computation
from keras_performer.server.deadline import Deadline
from keras_performer.server.document_stream import DocumentStream
from keras_performer.server.example_signatures import check_signature, write_results
from keras_performer.server.json.examples import read_examples
from keras_performer.server.json.parser import parse
from keras_performer.server.json.tensor import (
    ROW,
    check_object,
    get_signature_name,
    read_inputs,
)
from keras_performer.server.json.writer import (
    write_columnar_format,
    write_error,
    write_row_format,
)
from keras_performer.server.metrics import Metrics
from keras_performer.server.model_repository import ModelRepository
from keras_performer.server.protos import import_protos
from keras_performer.server.servable import DEFAULT_SIGNATURE, Servable
from keras_performer.server.serving_error import ServingError

_MODEL = rb"(?i:/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?"

_POST_TARGET = re.compile(_MODEL + rb":(classify|regress|predict|score|generate))")

_GET_TARGET = re.compile(
    rb"(?i:/v1/models(?:/([^/:]+))?(?:/versions/(\d+)|/labels/([^/:]+))?"
    rb"(?:/(metadata))?)"
)

_ANY_TARGET = re.compile(rb"(?i:/v1/.*)", re.DOTALL)

_LARGEST_VERSION = 2**63 - 1

Answer = tuple[int, bytes]  # HTTP status and body


@dataclass(frozen=True)
class _Target:
    """The model that a URL names, and what is asked of it."""

    name: str
    version: int | None
    label: str | None
    action: str


class RestHandler:
    """Answers requests from a model repository.

    Args:
        repository: a `ModelRepository`.
        timeout_in_ms: longest time for a request of which nothing else is said; 0 sets
            no limit.
        metrics: the `Metrics` that get the time that models take; `None` keeps none.

    Raises:
        ImportError: the package with the messages is missing.
    """

    def __init__(
        self,
        repository: ModelRepository,
        timeout_in_ms: int,
        metrics: Metrics | None = None,
    ) -> None:
        self._repository = repository
        self._timeout_in_ms = timeout_in_ms
        self._metrics = metrics or Metrics()
        self._protos = import_protos()
        self._actions: dict[
            tuple[str, str], Callable[[_Target, bytes, Deadline], bytes | Computation]
        ] = {
            ("GET", ""): self._get_status,
            ("GET", "metadata"): self._get_metadata,
            ("POST", "predict"): self._predict,
            ("POST", "classify"): self._classify_or_regress,
            ("POST", "regress"): self._classify_or_regress,
        }

    def answer(self, method: str, path: bytes, body: bytes) -> Answer:
        """Answer one request.

        Args:
            method: HTTP method in capitals.
            path: `bytes` of the path as sent, with the query string.
            body: `bytes` of the request body.

        Returns:
            `(http_status, body)`; the body is JSON in `bytes`.
        """
        try:
            read = self.read(method, path, body, Deadline(self._timeout_in_ms))
            return 200, read.run() if isinstance(read, Computation) else read
        except ServingError as error:
            return error.http_status, write_error(error.message)

    def identify(self, method: str, path: bytes) -> tuple[str, str]:
        """What a request counts for: the model it names, and what it asks of it.

        Args:
            method: HTTP method in capitals.
            path: `bytes` of the path as sent, with the query string.

        Returns:
            `(model_name, api)`: `""` for a model that is not served, so that clients
            cannot make names up, and one of `"predict"`, `"classify"`, `"regress"`, or
            `""` for what is asked by GET.
        """
        target = _find_target(method, path)
        if target is None or not self._repository.has_model(target.name):
            return "", ""
        return target.name, target.action if method == "POST" else ""

    def get_action(self, method: str, path: bytes) -> str:
        """What a request asks of a model, such as `"predict"`; `""` for nothing.

        Args:
            method: HTTP method in capitals.
            path: `bytes` of the path as sent, with the query string.
        """
        target = _find_target(method, path)
        return target.action if target else ""

    def open_document(self, method: str, path: bytes) -> DocumentStream:
        """A document for the model that a request names, of which nothing is read.

        Args:
            method: HTTP method in capitals.
            path: `bytes` of the path as sent, with the query string.

        Returns:
            A `DocumentStream`, which is to be closed.

        Raises:
            ServingError: there is no such model, or it cannot read in pieces.
        """
        target = _parse_target(method, path)
        if target is None:
            raise _malformed(method, path)
        held = contextlib.ExitStack()
        _, servable = held.enter_context(self._borrow(target))
        measure = self._metrics.time_model(target.name, target.action)
        try:
            return DocumentStream(target.name, servable, held.close, measure)
        except ServingError:
            held.close()
            raise

    def is_status(self, method: str, path: bytes) -> bool:
        """Whether a request asks for the status of a model, and for nothing else.

        Args:
            method: HTTP method in capitals.
            path: `bytes` of the path as sent, with the query string.
        """
        target = _find_target(method, path)
        return target is not None and (method, target.action) == ("GET", "")

    def read(
        self, method: str, path: bytes, body: bytes, deadline: Deadline
    ) -> bytes | Computation:
        """Read one request: all that is quick, and no computing by a model.

        Args:
            method: HTTP method in capitals.
            path: `bytes` of the path as sent, with the query string.
            body: `bytes` of the request body.
            deadline: the `Deadline` of the request.

        Returns:
            The body of the answer, or a `Computation` that is to give it.

        Raises:
            ServingError: the request is refused.
        """
        target = _parse_target(method, path)
        action = self._actions.get((method, target.action)) if target else None
        if target is None or action is None:
            raise _malformed(method, path)
        if not target.name:
            raise ServingError("INVALID_ARGUMENT", "Missing model name in request.")
        return action(target, body, deadline)

    def _get_status(self, target: _Target, body: bytes, deadline: Deadline) -> bytes:
        del body, deadline  # a GET has no body, and is answered at once
        # TensorFlow Serving tells all versions when a label is given, so do we.
        statuses = self._repository.list_statuses(target.name, target.version)
        response = self._protos.make_status_response(statuses)
        return _write_message(response).encode() + b"\n"

    def _get_metadata(self, target: _Target, body: bytes, deadline: Deadline) -> bytes:
        del body, deadline  # a GET has no body, and is answered at once
        with self._borrow(target) as (version, servable):
            spec = self._protos.ModelSpec(name=target.name)
            spec.version.value = version
            signatures = self._protos.SignatureDefMap(signature_def=servable.signatures)
        return (
            f'{{\n"model_spec":{_write_message(spec)}\n,\n'
            f'"metadata": {{"signature_def": {_write_message(signatures)}\n}}\n}}\n'
        ).encode()

    def _predict(self, target: _Target, body: bytes, deadline: Deadline) -> Computation:
        document = parse(body, deadline.check)
        check_object(document)
        signature_name = get_signature_name(document)
        with contextlib.ExitStack() as stack:
            _, servable = stack.enter_context(self._borrow(target))
            signature = servable.get_signature(signature_name)
            if not signature.inputs:
                raise ServingError(
                    "INVALID_ARGUMENT",
                    "Failed to get input map for signature: "
                    f"{signature_name or 'DEFAULT'}",
                )
            dtypes = {
                name: tf.as_dtype(info.dtype) for name, info in signature.inputs.items()
            }
            request_format, arrays = read_inputs(document, dtypes, deadline.check)
            write = write_row_format if request_format == ROW else write_columnar_format

            return Computation(
                servable,
                signature,
                arrays,
                deadline,
                write=lambda outputs: write(outputs, deadline.check),
                done=stack.pop_all().close,
                measure=self._metrics.time_model(target.name, target.action),
            )

    def _classify_or_regress(
        self, target: _Target, body: bytes, deadline: Deadline
    ) -> Computation:
        document = parse(body, deadline.check)
        check_object(document)
        name = get_signature_name(document) or DEFAULT_SIGNATURE
        examples = read_examples(document)
        with contextlib.ExitStack() as stack:
            _, servable = stack.enter_context(self._borrow(target))
            signature = servable.signatures.get(name)
            if signature is None:
                raise ServingError(
                    "INVALID_ARGUMENT", f"No signature was found with the name: {name}"
                )
            check_signature(target.action, signature)

            def write(outputs: Arrays) -> bytes:
                return write_results(target.action, outputs, len(examples))

            return Computation(
                servable,
                signature,
                {"inputs": examples},
                deadline,
                write,
                done=stack.pop_all().close,
                measure=self._metrics.time_model(target.name, target.action),
            )

    def _borrow(self, target: _Target) -> AbstractContextManager[tuple[int, Servable]]:
        return self._repository.borrow(target.name, target.version, target.label)


def _malformed(method: str, path: bytes) -> ServingError:
    request = f"{method} {path.decode('utf-8', 'backslashreplace')}"
    known = _ANY_TARGET.fullmatch(path)
    code = "INVALID_ARGUMENT" if known else "NOT_FOUND"
    return ServingError(code, f"Malformed request: {request}")


def _find_target(method: str, path: bytes) -> _Target | None:
    """What `_parse_target` gives, and `None` for what it refuses."""
    try:
        return _parse_target(method, path)
    except ServingError:
        return None


@functools.lru_cache(maxsize=64)  # asked for several times for a request
def _parse_target(method: str, path: bytes) -> _Target | None:
    pattern = {"GET": _GET_TARGET, "POST": _POST_TARGET}.get(method)
    match = pattern.fullmatch(path) if pattern else None
    if match is None:
        return None
    name, version, label, action = match.groups(default=b"")
    # Python does not convert thousands of digits, so their number comes first.
    digits = version.lstrip(b"0")
    if len(digits) > 19 or (digits and int(digits) > _LARGEST_VERSION):
        raise ServingError(
            "INVALID_ARGUMENT",
            f"Failed to convert version: {version.decode()} to numeric.",
        )
    return _Target(
        name=_decode(name),
        version=int(digits or b"0") if version else None,
        label=_decode(label) if label else None,
        action=_get_action(method, action),
    )


def _get_action(method: str, action: bytes) -> str:
    # The URL matches in any case, but only these spellings are then acted on.
    if method == "GET" and action != b"metadata":
        return ""
    return action.decode()


def _decode(text: bytes) -> str:
    return unquote_to_bytes(text).decode("utf-8", "surrogateescape")


def _write_message(message: Any) -> str:
    return json_format.MessageToJson(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
        indent=1,
        ensure_ascii=False,
    )
