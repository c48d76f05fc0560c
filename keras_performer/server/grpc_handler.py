"""What each request of the gRPC interface means, apart from gRPC itself.

The order of the checks and the error messages are TensorFlow Serving's.
"""

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import tensorflow as tf

from keras_performer.server.computation import Arrays, Computation
from keras_performer.server.deadline import Deadline
from keras_performer.server.example_signatures import (
    check_signature,
    get_classifications,
    get_regressions,
)
from keras_performer.server.json.values import invalid
from keras_performer.server.metrics import Metrics
from keras_performer.server.model_repository import ModelRepository
from keras_performer.server.protos import import_protos
from keras_performer.server.servable import DEFAULT_SIGNATURE, Servable
from keras_performer.server.serving_error import ServingError
from keras_performer.server.tensor_protos import read_tensor, write_tensor

_SIGNATURES = "signature_def"  # the one kind of metadata

# The standard messages of grpc.health.v1 have one field each, so that their package is
# not needed: the name of a service, and its state, of which 1 is SERVING.
_HEALTH_CHECK = "/grpc.health.v1.Health/Check"
_HEALTHY_SERVICES = ("", "ModelService", "PredictionService")
_SERVING = b"\x08\x01"


class GrpcHandler:
    """Answers the bytes of messages by the bytes of messages.

    Args:
        repository: a `ModelRepository`.
        metrics: the `Metrics` that get the time that models take.
        has_health_service: whether the standard health service answers.

    Attributes:
        methods: `dict` from the path of a method to a function from the bytes of a
            request and its `Deadline` to the bytes of the answer, or to a `Computation`
            that is to give it. It raises `ServingError`.
    """

    def __init__(
        self,
        repository: ModelRepository,
        metrics: Metrics,
        has_health_service: bool = False,
    ) -> None:
        self._repository = repository
        self._metrics = metrics
        self._protos = import_protos()
        self.methods: dict[str, Callable[[bytes, Deadline], bytes | Computation]] = {
            "/tensorflow.serving.PredictionService/Predict": self._predict,
            "/tensorflow.serving.PredictionService/Classify": self._classify,
            "/tensorflow.serving.PredictionService/Regress": self._regress,
            "/tensorflow.serving.PredictionService/GetModelMetadata": (
                self._get_metadata
            ),
            "/tensorflow.serving.ModelService/GetModelStatus": self._get_status,
        }
        if has_health_service:
            self.methods[_HEALTH_CHECK] = _check_health

    def identify(self, body: bytes) -> str:
        """The name of the model that a request counts for; `""` if it is not served.

        Args:
            body: the bytes of any of the requests.
        """
        try:
            name = self._protos.ModelSpec.FromString(_get_first_field(body)).name
        except self._protos.DecodeError:
            return ""
        return name if self._repository.has_model(name) else ""

    def _predict(self, body: bytes, deadline: Deadline) -> Computation:
        request = self._parse(self._protos.PredictRequest, body)
        with contextlib.ExitStack() as stack:
            spec = request.model_spec
            version, servable = stack.enter_context(self._borrow(spec))
            name = spec.signature_name or DEFAULT_SIGNATURE
            signature = servable.signatures.get(name)
            if signature is None:
                raise ServingError(
                    "FAILED_PRECONDITION",
                    f'Serving signature key "{name}" not found.',
                )
            _check_inputs(request, signature)
            inputs = {
                key: read_tensor(
                    request.inputs[key], key, tf.dtypes.as_dtype(info.dtype)
                )
                for key, info in signature.inputs.items()
            }
            wanted = _get_outputs(request, signature)

            def write(outputs: Arrays) -> bytes:
                response = self._protos.PredictResponse()
                _name_model(response, spec.name, version, name)
                for key in wanted:
                    write_tensor(outputs[key], response.outputs[key])
                return response.SerializeToString()

            return Computation(
                servable,
                signature,
                inputs,
                deadline,
                write,
                done=stack.pop_all().close,
                measure=self._metrics.time_model(spec.name, "Predict"),
            )

    def _classify(self, body: bytes, deadline: Deadline) -> Computation:
        request = self._parse(self._protos.ClassificationRequest, body)
        response = self._protos.ClassificationResponse()

        def fill(outputs: Arrays, num_examples: int) -> None:
            classes, scores = get_classifications(outputs, num_examples)
            present = [array for array in (classes, scores) if array is not None]
            for row in range(num_examples):
                result = response.result.classifications.add()
                for column in range(present[0].shape[1]):
                    one = result.classes.add()
                    if classes is not None:
                        one.label = classes[row, column]
                    if scores is not None:
                        one.score = scores[row, column]

        return self._read_examples("Classify", request, response, fill, deadline)

    def _regress(self, body: bytes, deadline: Deadline) -> Computation:
        request = self._parse(self._protos.RegressionRequest, body)
        response = self._protos.RegressionResponse()

        def fill(outputs: Arrays, num_examples: int) -> None:
            for value in get_regressions(outputs, num_examples).reshape(-1).tolist():
                response.result.regressions.add(value=value)

        return self._read_examples("Regress", request, response, fill, deadline)

    def _read_examples(
        self,
        api: str,
        request: Any,
        response: Any,
        fill: Callable[[Arrays, int], None],
        deadline: Deadline,
    ) -> Computation:
        """A request with examples, whose outputs `fill` puts into the response."""
        spec = request.model_spec
        with contextlib.ExitStack() as stack:
            version, servable = stack.enter_context(self._borrow(spec))
            name = spec.signature_name or DEFAULT_SIGNATURE
            signature = servable.signatures.get(name)
            if signature is None:
                raise invalid(f"No signature was found with the name: {name}")
            check_signature(api.lower(), signature)
            examples = _serialize_examples(request.input)

            def write(outputs: Arrays) -> bytes:
                _name_model(response, spec.name, version, name)
                fill(outputs, len(examples))
                return response.SerializeToString()

            return Computation(
                servable,
                signature,
                {"inputs": examples},
                deadline,
                write,
                done=stack.pop_all().close,
                measure=self._metrics.time_model(spec.name, api),
            )

    def _get_metadata(self, body: bytes, deadline: Deadline) -> bytes:
        del deadline  # it is answered at once
        request = self._parse(self._protos.GetModelMetadataRequest, body)
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        if not request.metadata_field:
            raise invalid(
                "GetModelMetadataRequest must specify at least one metadata_field"
            )
        for field in request.metadata_field:
            if field != _SIGNATURES:
                raise invalid(f"Metadata field {field} is not supported")
        response = self._protos.GetModelMetadataResponse()
        with self._borrow(request.model_spec) as (version, servable):
            signatures = self._protos.SignatureDefMap(signature_def=servable.signatures)
        _name_model(response, request.model_spec.name, version)
        response.metadata[_SIGNATURES].Pack(signatures)
        return response.SerializeToString()

    def _get_status(self, body: bytes, deadline: Deadline) -> bytes:
        del deadline  # it is answered at once
        request = self._parse(self._protos.GetModelStatusRequest, body)
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        spec = request.model_spec
        version = spec.version.value if spec.HasField("version") else None
        response = self._protos.make_status_response(
            self._repository.list_statuses(spec.name, version)
        )
        return response.SerializeToString()

    def _parse(self, message_class: Any, body: bytes) -> Any:
        try:
            return message_class.FromString(body)
        except self._protos.DecodeError as error:
            raise invalid("The request is no such message") from error

    def _borrow(self, spec: Any) -> AbstractContextManager[tuple[int, Servable]]:
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        return self._repository.borrow(
            spec.name,
            spec.version.value if spec.HasField("version") else None,
            spec.version_label or None,
        )


def _name_model(
    response: Any, name: str, version: int, signature_name: str = ""
) -> None:
    response.model_spec.name = name
    response.model_spec.signature_name = signature_name
    response.model_spec.version.value = version


def _get_first_field(body: bytes) -> bytes:
    """The bytes of field 1, a message, which is the first that is written."""
    if body[:1] != b"\n":  # the field's number and kind
        return b""
    size = shift = 0
    for start, byte in enumerate(body[1:10], 2):
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return body[start : start + size]
    return b""


def _check_health(body: bytes, deadline: Deadline) -> bytes:
    del deadline  # it is answered at once
    service = _get_first_field(body).decode("utf-8", "replace")
    if service not in _HEALTHY_SERVICES:
        raise ServingError("NOT_FOUND", f"There is no service {service!r}")
    return _SERVING


def _serialize_examples(given: Any) -> np.ndarray:
    """Object array of the serialized examples of an `Input` message."""
    kind = given.WhichOneof("kind")
    examples = getattr(given, kind).examples if kind else []
    if not examples:
        raise invalid("Input is empty.")
    context = b""
    if kind == "example_list_with_context":
        context = given.example_list_with_context.context.SerializeToString()
    array: np.ndarray = np.empty(len(examples), dtype=object)
    # The serialized form of two messages, one behind the other, is that of both merged.
    array[:] = [context + example.SerializeToString() for example in examples]
    return array


def _check_inputs(request: Any, signature: Any) -> None:
    if not signature.inputs:
        raise invalid("Expected at least one input Tensor.")
    sent, wanted = set(request.inputs), set(signature.inputs)
    if sent != wanted:
        texts = [",".join(sorted(names)) for names in (sent, wanted)]
        raise invalid(
            f"input size does not match signature: {len(sent)}!={len(wanted)} "
            f"len({{{texts[0]}}}) != len({{{texts[1]}}}). "
            f"Sent extra: {{{','.join(sorted(sent - wanted))}}}. "
            f"Missing but required: {{{','.join(sorted(wanted - sent))}}}."
        )


def _get_outputs(request: Any, signature: Any) -> list[str]:
    """Names of the outputs that a request asks for."""
    wanted = list(request.output_filter)
    for index, name in enumerate(wanted):
        if name not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {name} Outputs expected "
                f"to be in the set {{{','.join(sorted(signature.outputs))}}}."
            )
        if name in wanted[:index]:
            raise invalid(f"duplicate output tensor alias: {name}")
    return wanted or sorted(signature.outputs)
