"""TensorFlow graphs of linear attention: their size, their memory, XLA, any length."""

import keras
import numpy as np
import pytest
from attention_inputs import CHUNKS, DV, FORMS, B, D, H, M, T, draw, draw_map
from gradients import to_numpy, value_and_gradients
from tolerances import assert_close

if keras.backend.backend() != "tensorflow":
    pytest.skip("graphs of TensorFlow", allow_module_level=True)

import tensorflow as tf
from graph_inspection import (
    concrete,
    largest_tensor,
    operation_counts,
    with_gradients,
)

from keras_performer.feature_maps import Softmax


class TrainedSoftmax(Softmax):
    """FAVOR+ whose projection has a gradient."""

    trainable = True


@pytest.fixture(params=FORMS)
def form(request):
    return request.param


@pytest.fixture
def attend(form):
    """Attention as a function of four tensors, the projection being the last."""

    def attend(query, key, value, projection):
        parameters = {"projection": projection}
        return FORMS[form](query, key, value, TrainedSoftmax(), parameters)

    return attend


def shapes(length, num_features, head_dim=8):
    sequence = (1, length, 1, head_dim)
    return sequence, sequence, sequence, (num_features, head_dim)


@pytest.mark.cases("causal")
def test_the_graph_does_not_grow_with_the_length(form):
    traced = []

    class Traced(TrainedSoftmax):
        def keys(self, x, parameters):
            traced.append(x.shape)
            return super().keys(x, parameters)

    def attend(query, key, value, projection):
        parameters = {"projection": projection}
        return FORMS[form](query, key, value, Traced(), parameters)

    sizes, calls = [], []
    for length in (2048, 8192):
        traced.clear()
        function = concrete(with_gradients(attend), *shapes(length, 16))
        sizes.append(sum(operation_counts(function).values()))
        calls.append(len(traced))  # what the time of tracing is made of
    assert sizes[0] == sizes[1]
    assert calls[0] == calls[1]


def test_features_of_the_whole_sequence_never_exist_at_once(attend):
    length, num_features = 4099, 256  # a prime: several chunks, the last one padded
    function = concrete(with_gradients(attend), *shapes(length, num_features))
    size, name = largest_tensor(function)
    assert size < length * num_features / 2, name


def test_large_tensors_are_seen():
    def quadratic(x):
        return tf.while_loop(lambda i: i < 3, lambda i: (body(i, x),), (0,))

    def body(i, x):
        return i + tf.cast(tf.reduce_sum(tf.matmul(x, x, transpose_b=True)), "int32")

    size, name = largest_tensor(concrete(quadratic, (101, 2)))
    assert size == 101 * 101
    assert "MatMul" in name


@pytest.mark.cases("causal")
def test_unknown_lengths(attend):
    function = tf.function(with_gradients(attend), input_signature=signature(None))
    # None, one chunk, and several chunks.
    for length in (0, T, 1100):
        arguments = [*draw("float32", length), draw_projection()]
        compare(attend, function, arguments)


@pytest.mark.slow
@pytest.mark.parametrize("length", [T, None], ids=["known", "unknown"])
def test_xla(form, length):
    def attend(query, key, value, projection):
        parameters = {"projection": projection}
        return FORMS[form](
            query, key, value, TrainedSoftmax(), parameters, **CHUNKS[form]
        )

    function = tf.function(
        with_gradients(attend),
        input_signature=signature(length),
        jit_compile=True,
    )
    compare(attend, function, [*draw("float32"), draw_projection()])


def signature(length):
    source = tf.TensorSpec((B, length, H, D))
    return [source, source, tf.TensorSpec((B, length, H, DV)), tf.TensorSpec((M, D))]


def draw_projection():
    return draw_map("softmax", "float32")[1]["projection"]


def compare(attend, function, arguments):
    """Compares value and gradients of a graph with those of eager execution."""
    value, gradients = function(*map(tf.constant, arguments))
    upstream = np.ones(arguments[2].shape, "float32")
    expected = value_and_gradients(attend, arguments, upstream)
    assert_close(to_numpy(value), expected[0])
    for a, b in zip(gradients, expected[1], strict=True):
        assert_close(to_numpy(a), b)
