"""Signatures that take serialized examples: what classify and regress ask of a model.

As TensorFlow Serving does by default, a signature is judged by the names of its inputs
and outputs and not by its method name, which is the same for all that TensorFlow 2
writes.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from tensorflow.core.framework import types_pb2

from keras_performer.server import tensorflow_core as tf
from keras_performer.server.json.examples import (
    write_classifications,
    write_regressions,
)
from keras_performer.server.json.values import invalid, shape_text

_CLASSES = tf.signatures.CLASSIFY_OUTPUT_CLASSES
_SCORES = tf.signatures.CLASSIFY_OUTPUT_SCORES
_VALUES = tf.signatures.REGRESS_OUTPUTS


def check_signature(action: str, signature: Any) -> None:
    """Refuse a signature that cannot classify or regress.

    Args:
        action: `"classify"` or `"regress"`.
        signature: a `SignatureDef`.

    Raises:
        ServingError: `INVALID_ARGUMENT`.
    """
    noun = "classification" if action == "classify" else "regression"
    outputs = signature.outputs
    if len(signature.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if action == "classify" and len(outputs) not in (1, 2):
        raise invalid(f"Expected one or two output Tensors, found {len(outputs)}")
    if action == "regress" and len(outputs) != 1:
        raise invalid("Expected one output Tensor.")
    if "inputs" not in signature.inputs:
        raise invalid(f"No {noun} inputs found in SignatureDef: {signature}")
    if action == "regress" and _VALUES not in outputs:
        raise invalid(f"No regression outputs found in SignatureDef: {signature}")
    if action == "classify" and not {_CLASSES, _SCORES} & set(outputs):
        raise invalid(
            "Expected classification signature outputs to contain at least one of "
            f'"{_CLASSES}" or "{_SCORES}". Signature was: {signature}'
        )


def get_classifications(
    outputs: Mapping[str, np.ndarray], num_examples: int
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The outputs of a classify request, of a signature that was checked.

    Args:
        outputs: `dict` from output name to array.
        num_examples: number of examples of the request.

    Returns:
        `(classes, scores)`: object array of labels and float32 array, both of shape
        `(B, classes)`; `None` for what the signature has not.

    Raises:
        ServingError: `INVALID_ARGUMENT`, when an output has not the shape or the type
            of such results.
    """
    classes, scores = outputs.get(_CLASSES), outputs.get(_SCORES)
    for name, array, kind in (
        ("classes", classes, tf.string),
        ("scores", scores, tf.float32),
    ):
        if array is not None:
            _check_matrix(name, array, kind, num_examples)
    if classes is not None and scores is not None and classes.shape != scores.shape:
        raise invalid(
            "Tensors class and score should match in dim_size(1). Got "
            f"{classes.shape[1]} vs. {scores.shape[1]}"
        )
    return classes, scores


def get_regressions(outputs: Mapping[str, np.ndarray], num_examples: int) -> np.ndarray:
    """The values of a regress request, of a signature that was checked.

    Args:
        outputs: as of `get_classifications`.
        num_examples: as of `get_classifications`.

    Returns:
        float32 array of one value an example.

    Raises:
        ServingError: `INVALID_ARGUMENT`, when an output has not the shape or the type
            of such results.
    """
    return _check_values(outputs[_VALUES], num_examples)


def write_results(
    action: str, outputs: Mapping[str, np.ndarray], num_examples: int
) -> bytes:
    """The response to a request, from the outputs of a signature that was checked.

    Args:
        action: `"classify"` or `"regress"`.
        outputs: as of `get_classifications`.
        num_examples: as of `get_classifications`.

    Returns:
        `bytes` of a JSON object.

    Raises:
        ServingError: `INVALID_ARGUMENT`, when an output has not the shape or the type
            of such results.
    """
    if action == "regress":
        return write_regressions(get_regressions(outputs, num_examples))
    return write_classifications(*get_classifications(outputs, num_examples))


def _check_matrix(name: str, array: np.ndarray, kind: Any, num_examples: int) -> None:
    if array.ndim != 2:
        raise invalid(
            "Expected Tensor shape: [batch_size num_classes] but got "
            f"{shape_text(array.shape)}"
        )
    if tf.as_dtype(array.dtype) != kind:
        raise invalid(
            f"Expected {name} Tensor of {_type_text(kind)}. "
            f"Got: {_type_text(array.dtype)}"
        )
    if array.shape[0] != num_examples:
        raise invalid(
            f"Expected {name} output batch size of {num_examples}. "
            f"Got: {array.shape[0]}"
        )


def _check_values(array: np.ndarray, num_examples: int) -> np.ndarray:
    if array.ndim != 1 and not (array.ndim == 2 and array.shape[1] == 1):
        raise invalid(
            "Expected output Tensor shape to be either [batch_size] or "
            f"[batch_size, 1] but got {shape_text(array.shape)}"
        )
    if array.shape[0] != num_examples:
        raise invalid(
            "Input batch size did not match output batch size: "
            f"{num_examples} vs. {array.shape[0]}"
        )
    if tf.as_dtype(array.dtype) != tf.float32:
        raise invalid(
            f"Expected output Tensor of DT_FLOAT.  Got: {_type_text(array.dtype)}"
        )
    return array


def _type_text(dtype: Any) -> str:
    return types_pb2.DataType.Name(tf.as_dtype(dtype).as_datatype_enum)
