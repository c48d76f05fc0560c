"""What is done to a model after it was made: kept in files, and heeded in all calls."""

import keras
import numpy as np
import pytest
from test_performer_backbone import VOCABULARY, backbone, draw_ids
from tolerances import assert_close

from keras_performer.models import (
    PerformerCausalLM,
    PerformerMaskedLM,
    PerformerSeq2SeqBackbone,
    PerformerSeq2SeqLM,
    PerformerTextClassifier,
    PerformerTextEmbedder,
)

PAD = 3


def one_block(**arguments):
    return backbone(num_layers=1, dropout=0.0, **arguments)


def sequence_to_sequence():
    arguments = {"num_layers": 1, "num_heads": 3, "hidden_dim": 18, "dropout": 0.0}
    return PerformerSeq2SeqLM(
        PerformerSeq2SeqBackbone(VOCABULARY, intermediate_dim=23, seed=0, **arguments)
    )


MODELS = {
    "backbone": one_block,
    "causal_lm": lambda: PerformerCausalLM(one_block(causal=True)),
    "masked_lm": lambda: PerformerMaskedLM(one_block()),
    "classifier": lambda: PerformerTextClassifier(one_block(), 3),
    "embedder": lambda: PerformerTextEmbedder(one_block(), 4),
    "seq2seq_lm": sequence_to_sequence,
}


def output(model, ids=None):
    ids = draw_ids(2, 5) if ids is None else ids
    names = model.input if isinstance(model.input, dict) else None
    inputs = ids if names is None else dict.fromkeys(names, ids)
    return keras.ops.convert_to_numpy(model(inputs))


def add_lora(model):
    """LoRA of queries and values, whose factors are as after training."""
    generator = np.random.default_rng(1)
    for layer in model._flatten_layers():
        if layer.name in ("query", "value"):
            layer.enable_lora(2)
            b = layer.lora_kernel_b
            b.assign(generator.standard_normal(b.shape))


def saved_and_loaded(model, tmp_path):
    model.save(tmp_path / "model.keras")
    return keras.saving.load_model(tmp_path / "model.keras")


def trained_paths(model):
    """Paths of the weights that the optimizer changes."""
    return [weight.path for weight in model.trainable_variables]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("classifier", "int8"),
        ("masked_lm", "int8"),
        ("backbone", "int8"),
        ("causal_lm", "float8"),
        ("embedder", "int4"),
        ("seq2seq_lm", "int8"),
    ],
)
def test_a_quantized_model_is_saved_and_loaded(kind, mode, tmp_path):
    model = MODELS[kind]()
    model.quantize(mode)
    quantized = output(model)
    loaded = saved_and_loaded(model, tmp_path)
    assert np.array_equal(output(loaded), quantized)
    dtypes = [weight.dtype for weight in model.weights]
    assert [weight.dtype for weight in loaded.weights] == dtypes
    again = type(loaded).from_config(loaded.get_config())
    assert [weight.dtype for weight in again.weights] == dtypes


@pytest.mark.parametrize("kind", ["classifier", "masked_lm"])
def test_what_is_as_it_was_made_is_not_in_the_config(kind):
    model = MODELS[kind]()
    assert "sublayers" not in model.get_config()
    assert "sublayers" not in model.backbone.get_config()


@pytest.mark.slow
def test_padding_changes_nothing_of_a_quantized_model():
    """Keras's embedding gives no mask where it is quantized."""
    model = one_block()
    model.quantize("int8")
    ids = draw_ids(2, 5)
    padded = output(model, np.pad(ids, [(0, 0), (0, PAD)]))
    assert_close(padded[:, :5], output(model, ids))


@pytest.mark.slow
def test_int8_with_lora_is_bit_equal_and_goes_on_training(tmp_path):
    model = MODELS["classifier"]()
    model.quantize("int8")
    add_lora(model)
    loaded = saved_and_loaded(model, tmp_path)
    assert np.array_equal(output(loaded), output(model))
    assert trained_paths(loaded) == trained_paths(model)
    for new, old in zip(loaded.weights, model.weights, strict=True):
        assert np.array_equal(*map(keras.ops.convert_to_numpy, (new, old)))


@pytest.mark.parametrize("part", ["backbone", "block", "sublayer"])
def test_frozen_layers_stay_frozen_with_the_state_of_the_optimizer(part, tmp_path):
    model = MODELS["classifier"]()
    block = model.backbone.blocks[0]
    parts = {
        "backbone": model.backbone,
        "block": block,
        "sublayer": block._feedforward_output_dense,
    }
    parts[part].trainable = False
    model.compile("adam", "sparse_categorical_crossentropy", run_eagerly=True)
    model.train_on_batch(draw_ids(2, 5), np.zeros(2))
    loaded = saved_and_loaded(model, tmp_path)  # a warning would be an error
    assert trained_paths(loaded) == trained_paths(model)
    for new, old in zip(
        loaded.optimizer.variables, model.optimizer.variables, strict=True
    ):
        assert np.array_equal(*map(keras.ops.convert_to_numpy, (new, old)))
    loaded.backbone.trainable = True  # and thawed again, it is saved as such
    again = type(loaded).from_config(loaded.get_config())
    assert len(again.trainable_variables) == len(loaded.trainable_variables)
