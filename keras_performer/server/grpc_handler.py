"""What each request of the gRPC interface means, apart from gRPC itself.

The order of the checks and the error messages are TensorFlow Serving's.
"""

import contextlib
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from tensorflow.core.protobuf import meta_graph_pb2

from keras_performer.server import tensorflow_core as tf
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
from keras_performer.server.model_service import ModelService
from keras_performer.server.protos import (
    get_first_field,
    import_protos,
    parse_message,
)
from keras_performer.server.servable import DEFAULT_SIGNATURE, Servable
from keras_performer.server.serving_error import ServingError
from keras_performer.server.tensor_protos import read_tensor, write_tensor

# From the bytes of a request to the bytes of the answer, or to what is to give it: a
# `Computation`, or a function that takes its time. All raise `ServingError`.
Method = Callable[[bytes, Deadline], bytes | Computation | Callable[[], bytes]]

_PREDICTION = "/tensorflow.serving.PredictionService"

_MODEL = "/tensorflow.serving.ModelService"

_SIGNATURES = "signature_def"  # the one kind of metadata

_ACTIONS = {
    tf.signatures.CLASSIFY_METHOD_NAME: "classify",
    tf.signatures.REGRESS_METHOD_NAME: "regress",
}

_RESULT_FIELDS = {
    "classify": "classification_result",
    "regress": "regression_result",
}


class GrpcHandler:
    """Answers the bytes of messages by the bytes of messages.

    Args:
        repository: a `ModelRepository`.
        metrics: the `Metrics` that get the time that models take.

    Attributes:
        methods: `dict` from the path of a method to a `Method`.
    """

    def __init__(self, repository: ModelRepository, metrics: Metrics) -> None:
        self._repository = repository
        self._metrics = metrics
        self._protos = import_protos()
        models = ModelService(repository)
        self.methods: dict[str, Method] = {
            f"{_PREDICTION}/Predict": self._predict,
            f"{_PREDICTION}/Classify": self._classify,
            f"{_PREDICTION}/Regress": self._regress,
            f"{_PREDICTION}/MultiInference": self._multi_inference,
            f"{_PREDICTION}/GetModelMetadata": self._get_metadata,
            f"{_MODEL}/GetModelStatus": models.get_status,
            f"{_MODEL}/HandleReloadConfigRequest": models.reload_config,
        }

    def identify(self, body: bytes) -> str:
        """The name of the model that a request counts for; `""` if it is not served.

        Args:
            body: the bytes of any of the requests.
        """
        try:
            spec = parse_message(self._protos.ModelSpec, get_first_field(body))
        except ServingError:
            return ""
        return spec.name if self._repository.has_model(spec.name) else ""

    def _predict(self, body: bytes, deadline: Deadline) -> Computation:
        request = parse_message(self._protos.PredictRequest, body)
        with contextlib.ExitStack() as stack:
            spec = _get_spec(request)
            version, servable = stack.enter_context(self._borrow(spec))
            name = spec.signature_name or DEFAULT_SIGNATURE
            signature = servable.signatures.get(name)
            if signature is None:
                raise ServingError(
                    "FAILED_PRECONDITION",
                    f'Serving signature key "{name}" not found.',
                )
            inputs = _read_inputs(request, signature)
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
        request = parse_message(self._protos.ClassificationRequest, body)
        response = self._protos.ClassificationResponse()
        return self._read_examples("classify", request, response, deadline)

    def _regress(self, body: bytes, deadline: Deadline) -> Computation:
        request = parse_message(self._protos.RegressionRequest, body)
        response = self._protos.RegressionResponse()
        return self._read_examples("regress", request, response, deadline)

    def _read_examples(
        self, action: str, request: Any, response: Any, deadline: Deadline
    ) -> Computation:
        """A request to classify examples or to regress, and its empty response."""
        spec = _get_spec(request)
        with contextlib.ExitStack() as stack:
            version, servable = stack.enter_context(self._borrow(spec))
            name = spec.signature_name or DEFAULT_SIGNATURE
            signature = servable.signatures.get(name)
            if signature is None:
                raise invalid(f"No signature was found with the name: {name}")
            check_signature(action, signature)
            examples = _serialize_examples(request.input)

            def write(outputs: Arrays) -> bytes:
                _name_model(response, spec.name, version, name)
                _fill_result(action, response.result, outputs, len(examples))
                return response.SerializeToString()

            return Computation(
                servable,
                signature,
                {"inputs": examples},
                deadline,
                write,
                done=stack.pop_all().close,
                measure=self._metrics.time_model(spec.name, action),
            )

    def _multi_inference(self, body: bytes, deadline: Deadline) -> Computation:
        request = parse_message(self._protos.MultiInferenceRequest, body)
        tasks = list(request.tasks)
        spec = tasks[0].model_spec if tasks else self._protos.ModelSpec()
        with contextlib.ExitStack() as stack:
            version, servable = stack.enter_context(self._borrow(spec))
            signatures = _get_task_signatures(tasks, servable)
            merged = _merge(signatures.values())
            examples = _serialize_examples(request.input)

            def write(outputs: Arrays) -> bytes:
                response = self._protos.MultiInferenceResponse()
                for task, name in zip(tasks, signatures, strict=True):
                    action = _ACTIONS[task.method_name]
                    named = signatures[name].outputs.items()
                    result = response.results.add()
                    _name_model(result, spec.name, version, name)
                    _fill_result(
                        action,
                        getattr(result, _RESULT_FIELDS[action]),
                        {output: outputs[info.name] for output, info in named},
                        len(examples),
                    )
                return response.SerializeToString()

            return Computation(
                servable,
                merged,
                dict.fromkeys(merged.inputs, examples),
                deadline,
                write,
                done=stack.pop_all().close,
            )

    def _get_metadata(self, body: bytes, deadline: Deadline) -> bytes:
        del deadline  # it is answered at once
        request = parse_message(self._protos.GetModelMetadataRequest, body)
        spec = _get_spec(request)
        if not request.metadata_field:
            raise invalid(
                "GetModelMetadataRequest must specify at least one metadata_field"
            )
        for field in request.metadata_field:
            if field != _SIGNATURES:
                raise invalid(f"Metadata field {field} is not supported")
        response = self._protos.GetModelMetadataResponse()
        with self._borrow(spec) as (version, servable):
            signatures = self._protos.SignatureDefMap(signature_def=servable.signatures)
        _name_model(response, spec.name, version)
        response.metadata[_SIGNATURES].Pack(signatures)
        return response.SerializeToString()

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


def _get_task_signatures(tasks: list[Any], servable: Servable) -> dict[str, Any]:
    """The signatures that the tasks of a request name, in their order."""
    signatures: dict[str, Any] = {}
    for task in tasks:
        spec = task.model_spec
        if not spec.name:
            raise invalid("Found ModelSpec with an empty model name.")
        if spec.name != tasks[0].model_spec.name:
            raise invalid(
                "All ModelSpecs in a MultiInferenceRequest must access the same model "
                "name."
            )
        name = spec.signature_name or DEFAULT_SIGNATURE
        if name in signatures:
            raise invalid(f"Duplicate evaluation of signature: {name}")
        if name not in servable.signatures:
            raise invalid(f"Requested signature not found in model graph: {name}")
        if task.method_name not in _ACTIONS:
            raise ServingError(
                "UNIMPLEMENTED",
                f"Unsupported signature method_name: {task.method_name}",
            )
        signatures[name] = servable.signatures[name]
        check_signature(_ACTIONS[task.method_name], signatures[name])
    return signatures


def _merge(signatures: Iterable[Any]) -> Any:
    """One signature with all inputs and outputs, by the names of their tensors."""
    merged = meta_graph_pb2.SignatureDef()
    for signature in signatures:
        for info in signature.inputs.values():
            merged.inputs[info.name].CopyFrom(info)
        for info in signature.outputs.values():
            merged.outputs[info.name].CopyFrom(info)
    return merged


def _fill_result(action: str, result: Any, outputs: Arrays, num_examples: int) -> None:
    """Put outputs into a `ClassificationResult` or a `RegressionResult`."""
    if action == "regress":
        for value in get_regressions(outputs, num_examples).reshape(-1).tolist():
            result.regressions.add(value=value)
        return
    classes, scores = get_classifications(outputs, num_examples)
    present = [array for array in (classes, scores) if array is not None]
    for row in range(num_examples):
        classification = result.classifications.add()
        for column in range(present[0].shape[1]):
            one = classification.classes.add()
            if classes is not None:
                one.label = classes[row, column]
            if scores is not None:
                one.score = scores[row, column]


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


def _get_spec(request: Any) -> Any:
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    return request.model_spec


def _read_inputs(request: Any, signature: Any) -> dict[str, np.ndarray]:
    """The arrays of a request, and those that the signature has in their place."""
    sent, wanted = set(request.inputs), set(signature.inputs)
    if len(sent) > len(wanted) or (len(sent) < len(wanted) and not signature.defaults):
        raise invalid(
            f"input size does not match signature: {len(sent)}!={len(wanted)} "
            f"len({{{_join(sent)}}}) != len({{{_join(wanted)}}}). "
            f"Sent extra: {{{_join(sent - wanted)}}}. "
            f"Missing but required: {{{_join(wanted - sent)}}}."
        )
    arrays: dict[str, np.ndarray] = {}
    for name, info in sorted(signature.inputs.items()):
        if name not in sent and name not in signature.defaults:
            raise invalid(
                f"Signature input alias: {name}(feed name: {info.name}) not found in "
                "request and no default value provided. Inputs expected to be in the "
                f"request {{{_join(sent)}}}, or default input alias set: "
                f"{_join(set(signature.defaults))}"
            )
        tensor = (request.inputs if name in sent else signature.defaults)[name]
        arrays[name] = read_tensor(
            tensor, name, tf.as_dtype(info.dtype), position=len(arrays)
        )
    if sent - wanted:
        raise invalid(
            f"Inputs contains invalid name. Used request inputs: {_join(sent & wanted)}"
            f", request input: {_join(sent)}"
        )
    return arrays


def _join(names: set[str]) -> str:
    return ",".join(sorted(names))


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
