"""A SavedModel has what its functions give, and each is traced once."""

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_performer.export.saved_model import trace, write_saved_model


def test_each_function_is_traced_once_and_its_variables_are_there(tmp_path):
    layer = keras.layers.Dense(2, kernel_initializer="ones")
    layer.build((None, 3))
    words = keras.layers.StringLookup(vocabulary=["a", "b"])
    words(tf.constant(["a"]))
    traced = []

    def compute(x):
        traced.append("compute")
        return layer(x)

    def numbers(x):
        traced.append("numbers")
        return {"y": shared(x) + shared(x)}

    def both(x, text):
        traced.append("both")
        ids = ops.cast(words(text), "float32")
        return {"y": shared(x) + ids[:, None]}

    x = tf.TensorSpec([None, 3], tf.float32, name="x")
    text = tf.TensorSpec([None], tf.string, name="text")
    shared = trace(compute, x)
    signatures = {"serving_default": (numbers, [x]), "both": (both, [x, text])}
    write_saved_model(tmp_path / "model", signatures, [words])
    assert sorted(traced) == ["both", "compute", "numbers"]

    loaded = tf.saved_model.load(str(tmp_path / "model"))
    x = np.arange(6, dtype="float32").reshape(2, 3)
    found = loaded.signatures["serving_default"](x=tf.constant(x))["y"]
    assert np.array_equal(found, [[6, 6], [24, 24]])
    found = loaded.signatures["both"](x=tf.constant(x), text=tf.constant(["b", "?"]))
    assert np.array_equal(found["y"], [[5, 5], [12, 12]])


def test_what_is_traced_has_no_code_for_gradients():
    from keras_performer.ops.backend import custom_gradient

    square = custom_gradient(lambda x: (x * x, lambda upstream: 2 * x * upstream))
    traced = trace(square, tf.TensorSpec([], tf.float32))
    graph = traced.graph.as_graph_def()
    assert not any("_gradient_op_type" in node.attr for node in graph.node)
    assert float(traced(tf.constant(3.0))) == 9
