"""All that is exported runs on stock TensorFlow Serving: it links each of its ops."""

from pathlib import Path

import keras
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from keras_performer.layers import FastAttention
from keras_performer.models import (
    PerformerBackbone,
    PerformerCausalLM,
    PerformerTextEmbedder,
)

DATA = Path(__file__).parent / "tensorflow_serving_ops.txt"


@pytest.fixture(scope="module")
def linked_ops():
    lines = DATA.read_text(encoding="utf-8").splitlines()
    return {line for line in lines if not line.startswith("#")}


def list_ops(path):
    """The ops of a SavedModel, those of its functions too, but not its functions."""
    file = Path(path) / "saved_model.pb"
    message = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    ops = set()
    for meta_graph in message.meta_graphs:
        graph = meta_graph.graph_def
        functions = graph.library.function
        for nodes in (graph.node, *(function.node_def for function in functions)):
            ops |= {node.op for node in nodes}
        ops -= {function.signature.name for function in functions}
    return ops


def backbone(**arguments):
    return PerformerBackbone(
        vocabulary_size=11,
        num_layers=1,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=8,
        **arguments,
    )


def functional():
    x = keras.Input((None, 8))
    return keras.Model(x, FastAttention(num_heads=2, key_dim=4)(x, x))


MODELS = {
    "causal": lambda: PerformerCausalLM(backbone(causal=True)),
    "embedder": lambda: PerformerTextEmbedder(backbone(), 4),
    "functional": functional,
}


def test_a_classifier(exported, linked_ops):
    ops = list_ops(exported[2])
    assert len(ops) > 40  # those of its functions are among them
    assert ops - linked_ops == set()


# What the others have, most of it a classifier or a causal model has too.
@pytest.mark.parametrize(
    "kind",
    ["causal", *(pytest.param(k, marks=pytest.mark.slow) for k in list(MODELS)[1:])],
)
def test_a_model_of_ids_or_arrays(kind, tmp_path, linked_ops):
    MODELS[kind]().export(tmp_path / "model", format="tf_saved_model", verbose=False)
    ops = list_ops(tmp_path / "model")
    assert {"Einsum", "MatMul", "BatchMatMulV2"} & ops
    assert ops - linked_ops == set()


def test_an_op_that_is_not_linked_is_seen(tmp_path, linked_ops):
    module = tf.Module()
    specification = tf.TensorSpec([None], tf.float32)

    @tf.function(input_signature=[specification])
    def double(x):
        return tf.numpy_function(lambda x: 2 * x, [x], tf.float32)

    module.double = double
    tf.saved_model.save(module, str(tmp_path))
    assert list_ops(tmp_path) - linked_ops == {"PyFunc"}
