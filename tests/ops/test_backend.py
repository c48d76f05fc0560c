"""`chunked_scan` of this backend against the plain loop."""

import logging

import keras
import numpy as np
import pytest
from gradients import BACKEND, to_numpy, value_and_gradients
from keras import ops
from tolerances import assert_close

from keras_performer.ops.backend import (
    chunked_scan,
    compile_function,
    custom_gradient,
    portable,
    remat,
    softmax_with_constant_sum,
    take_rows,
    without_gradients,
)

pytestmark = pytest.mark.backends

B, C, D, E = 2, 5, 3, 7


def step(carry, chunk, shared):
    """Every output depends on every input, so that none can be left out."""
    total, decay = carry
    x, y = chunk
    weights, bias, _ = shared
    mixed = ops.matmul(x, weights) + bias  # (B, C, E)
    total = total * decay[:, None] + ops.sum(mixed * y, axis=1)
    total = total / (1 + total * total)
    decay = decay / (1 + ops.sum(total * total, axis=1))
    return (total, decay), (mixed * total[:, None], ops.sum(y, axis=1) * decay[:, None])


def draw(number):
    generator = np.random.default_rng(0)
    shapes = {
        "carry": [(B, E), (B,)],
        "chunks": [(number, B, C, D), (number, B, C, E)],
        "shared": [(D, E), (E,), (4,)],  # the step does not use the last
    }
    return [generator.standard_normal(s) for part in shapes.values() for s in part]


def flat(scan):
    """A scan as a function of seven tensors whose one result holds all results."""

    def function(*tensors):
        carry, outputs = scan(step, tensors[:2], tensors[2:4], tensors[4:])
        return ops.concatenate([ops.reshape(x, (-1,)) for x in (*carry, *outputs)])

    return function


@pytest.mark.parametrize("number", [1, 2, 5])
def test_value_and_gradients(number):
    arguments = draw(number)
    size = B * E + B + B * number * (C * E + E)
    upstream = np.random.default_rng(1).standard_normal(size)
    actual = value_and_gradients(flat(chunked_scan), arguments, upstream)
    expected = value_and_gradients(flat(portable.chunked_scan), arguments, upstream)
    assert_close(actual[0], expected[0], "float64")
    for a, b in zip(actual[1], expected[1], strict=True):
        assert_close(a, b, "float64")
    *used, unused = actual[1]
    assert all(np.any(x != 0) for x in used)
    assert np.all(unused == 0)


@pytest.mark.parametrize("scan", [chunked_scan, portable.chunked_scan])
def test_the_loop_by_hand(scan):
    def running_sum(carry, chunk, shared):
        total = carry[0] + shared[0] * chunk[0]
        return (total,), (10 * total,)

    chunks = np.array([[1.0, 5.0], [2.0, 0.0], [3.0, 7.0]])
    start, factor = np.array([100.0, 200.0]), np.array(2.0)
    start, chunks, factor = map(ops.convert_to_tensor, (start, chunks, factor))
    (last,), (outputs,) = scan(running_sum, (start,), (chunks,), (factor,))
    assert to_numpy(last).tolist() == [112.0, 224.0]
    assert to_numpy(outputs).tolist() == [
        [1020.0, 2100.0],
        [1060.0, 2100.0],
        [1120.0, 2240.0],
    ]


def test_no_carry():
    x = ops.convert_to_tensor(np.arange(6.0).reshape(3, 1, 2))
    carry, (outputs,) = chunked_scan(lambda c, x, s: (c, (x[0] * 2,)), (), (x,), ())
    assert carry == ()
    assert_close(to_numpy(outputs), 2 * to_numpy(x), "float64")


def test_no_output():
    x = ops.convert_to_tensor(np.arange(6.0).reshape(3, 1, 2))
    start = (ops.zeros((1, 2), "float64"),)
    (total,), outputs = chunked_scan(
        lambda c, x, s: ((c[0] + x[0],), ()), start, (x,), ()
    )
    assert outputs == ()
    assert to_numpy(total).tolist() == [[6.0, 9.0]]


def test_dtypes_of_carries_and_outputs_differ():
    def both(carry, chunk, shared):
        total = carry[0] + ops.cast(chunk[0], "float32")
        return (total,), (ops.cast(total, "float16"),)

    x = ops.cast(np.full((4, 1), 0.1), "float16")
    start = ops.zeros((1,), "float32")
    (total,), (outputs,) = chunked_scan(both, (start,), (x,), ())
    dtypes = [keras.backend.standardize_dtype(x.dtype) for x in (total, outputs)]
    assert dtypes == ["float32", "float16"]


@pytest.mark.skipif(BACKEND != "tensorflow", reason="a graph of TensorFlow")
@pytest.mark.parametrize("jit_compile", [False, True])
def test_unknown_number_of_chunks(jit_compile):
    import tensorflow as tf

    arguments = draw(5)
    shapes = [list(x.shape) for x in arguments]
    for shape in shapes[2:4]:
        shape[0] = None

    @tf.function(
        input_signature=[tf.TensorSpec(shape, "float64") for shape in shapes],
        jit_compile=jit_compile,
    )
    def graph(*tensors):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = flat(chunked_scan)(*tensors)
        return value, tape.gradient(
            value, tensors, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )

    value, gradients = graph(*map(tf.constant, arguments))
    upstream = np.ones(value.shape)
    expected = value_and_gradients(flat(portable.chunked_scan), arguments, upstream)
    assert_close(to_numpy(value), expected[0], "float64")
    for a, b in zip(gradients, expected[1], strict=True):
        assert_close(to_numpy(a), b, "float64")


def test_the_backward_pass_calls_the_step_again():
    """What a step computes is not kept: that is what bounds the memory."""
    calls = []

    def counting(carry, chunk, shared):
        calls.append(1)
        return step(carry, chunk, shared)

    def function(*tensors):
        carry, _ = chunked_scan(counting, tensors[:2], tensors[2:4], tensors[4:])
        forward.append(len(calls))
        return carry[0]

    forward = []
    value_and_gradients(function, draw(3), np.ones((B, E)))
    if BACKEND == "jax":  # Its recomputation is a property of the traced program.
        import jax

        program = str(jax.make_jaxpr(jax.grad(lambda *x: function(*x).sum()))(*draw(3)))
        assert "remat" in program or "checkpoint" in program
    else:
        assert len(calls) == 2 * forward[0]


@pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow's functions")
def test_a_function_of_many_shapes_is_compiled_without_warnings():
    import tensorflow as tf

    records = []
    handler = logging.Handler()
    handler.emit = records.append
    tf.get_logger().addHandler(handler)
    try:
        double = compile_function(lambda x: {"sum": ops.sum(2 * x)}, model=None)
        for length in range(1, 9):
            x = ops.ones((length,))
            assert [float(double(x)["sum"]) for _ in range(2)] == [2 * length] * 2
    finally:
        tf.get_logger().removeHandler(handler)
    assert [record.getMessage() for record in records] == []


@pytest.mark.skipif(BACKEND != "tensorflow", reason="a graph of TensorFlow")
def test_a_graph_without_gradients_has_none_and_the_same_values():
    import tensorflow as tf

    arguments = [tf.constant(x) for x in draw(5)]

    def values(*tensors):
        scanned = flat(chunked_scan)(*tensors)
        (kept,) = remat(lambda x: (ops.sin(x),), tensors[:1])
        square = custom_gradient(lambda x: (x * x, lambda d: 2 * x * d))
        return scanned, kept, square(tensors[0]), softmax_with_constant_sum(tensors[0])

    def traced():
        function = tf.function(values, autograph=False)
        graph = function.get_concrete_function(*arguments).graph.as_graph_def()
        nodes = [
            *graph.node,
            *(node for each in graph.library.function for node in each.node_def),
        ]
        custom = sum("_gradient_op_type" in node.attr for node in nodes)
        return custom, [to_numpy(x) for x in function(*arguments)]

    custom, expected = traced()
    assert custom >= 4
    with without_gradients():
        custom, found = traced()
    assert custom == 0
    for a, b in zip(found, expected, strict=True):
        assert np.array_equal(a, b)
    assert traced()[0] >= 4  # as before


@pytest.mark.skipif(BACKEND != "tensorflow", reason="a graph of TensorFlow")
def test_rows_of_a_table_are_taken_without_reading_the_whole():
    import tensorflow as tf

    table = keras.Variable(np.arange(12.0).reshape(6, 2), dtype="float32")
    indices = np.array([[4, 0], [4, 5]], "int32")

    @tf.function(autograph=False)
    def rows_and_gradient(indices):
        with tf.GradientTape() as tape:
            rows = take_rows(table, indices)
            loss = tf.reduce_sum(rows * rows)
        return rows, tape.gradient(loss, table.value)

    rows, gradient = rows_and_gradient(indices)
    assert np.array_equal(rows, table.numpy()[indices])
    expected = np.zeros((6, 2))
    np.add.at(expected, indices, 2 * table.numpy()[indices])
    assert np.array_equal(tf.convert_to_tensor(gradient), expected)
    graph = rows_and_gradient.get_concrete_function(indices).graph
    assert "ReadVariableOp" not in {op.type for op in graph.get_operations()}
