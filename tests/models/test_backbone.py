"""`Backbone`: attributes and configs of both backbones, of before too."""

import json

import keras
import numpy as np
import pytest
from test_performer_backbone import VOCABULARY, backbone, draw_ids, run
from tolerances import assert_close

from keras_performer.models import (
    PerformerBackbone,
    PerformerCausalLM,
    PerformerSeq2SeqBackbone,
)


@pytest.mark.parametrize("make", [PerformerBackbone, PerformerSeq2SeqBackbone])
def test_the_config_has_an_entry_for_each_attribute(make):
    model = make(VOCABULARY, 2, 3, 18, 23, feature_map=["relu", "softmax"])
    config = json.loads(json.dumps(model.get_config()))
    for name in set(config) - {"feature_map", "activation", "dtype"}:
        assert getattr(model, name) == config[name], name
    assert model.feature_map == make.from_config(config).feature_map


def test_lora_of_queries_and_values_alone_is_trained():
    model = backbone()
    model.enable_lora(2)
    trained = [weight.path.split("/") for weight in model.trainable_weights]
    assert {path[-1] for path in trained} == {"lora_kernel_a", "lora_kernel_b"}
    assert {path[-2] for path in trained} == {"query", "value"}
    assert len(trained) == 2 * 2 * 2
    with pytest.raises(ValueError, match="LoRA is enabled already"):
        model.enable_lora(2)
    with pytest.raises(ValueError, match=r"'feedforward_.*'query', .*Received.*'que'"):
        model.enable_lora(2, target_layer_names=["que"])
    with pytest.raises(ValueError, match="`rank` must be a positive integer"):
        backbone().enable_lora(0)


def test_the_layout_divides_heads_and_hidden_features():
    """Axes of length: 3 heads, 23 hidden features, and the embedding's 18."""
    devices = ["cpu:0"]
    mesh = keras.distribution.DeviceMesh((1, 1), ("batch", "heads"), devices)
    arguments = {"num_heads": 3, "hidden_dim": 18, "feedforward": "gated"}
    model = PerformerSeq2SeqBackbone(
        VOCABULARY, 1, intermediate_dim=23, feature_map="favor_sharp", **arguments
    )
    layout = model.get_layout_map(mesh, model_parallel_dim_name="heads")
    divided = set()
    for weight in model.weights:
        axes = layout[weight.path]
        if axes is not None:
            [index] = [i for i, axis in enumerate(axes.axes) if axis == "heads"]
            name = weight.path.split("/", 1)[1]
            assert len(axes.axes) == len(weight.shape), name
            assert weight.shape[index] == (
                18 if "embeddings" in name else 23 if "feedforward" in name else 3
            ), name
            divided.add("/".join(weight.path.split("/")[-2:]))
    assert {
        "query/kernel",
        "value/bias",
        "attention_output/kernel",
        "feedforward_gate_dense/kernel",
        "feedforward_output_dense/kernel",
        "token_embedding/embeddings",
    } <= divided
    assert not any("norm" in path for path in divided)
    with pytest.raises(ValueError, match=r"Received: 'model', .*'batch', 'heads'"):
        model.get_layout_map(mesh)


@pytest.mark.parametrize("token_id", [-1, VOCABULARY])
def test_ids_that_are_none_of_the_vocabulary(token_id):
    with pytest.raises(ValueError, match=f"less than 29.*Received: {token_id}"):
        backbone(num_layers=1)(np.array([[5, token_id]]))


def test_padding_takes_no_learned_position():
    model = backbone(num_layers=1, positions="learned", max_sequence_length=7)
    ids = np.arange(1, 8)[None]
    padded = np.pad(ids, [(0, 0), (3, 5)])
    assert_close(run(model, padded)[:, 3:10], run(model, ids))
    assert model.predict(padded, verbose=0).shape == (1, 15, 18)
    with pytest.raises(ValueError, match="a sequence of 8 positions, max_sequence_len"):
        model(np.arange(1, 9)[None])


def test_a_stream_beyond_the_learned_positions():
    arguments = {"positions": "learned", "max_sequence_length": 5}
    model = backbone(num_layers=1, causal=True, **arguments)
    state = model.initial_state(2)
    ids = np.array([[1, 2, 3, 4, 5], [0, 0, 1, 2, 3]])
    _, state = model.stream(ids, state)
    # The first row is at its end, and padding changes nothing.
    _, state = model.stream(np.array([[0], [4]]), state)
    with pytest.raises(ValueError, match="a sequence of 6 positions, max_sequence_len"):
        model.stream(np.array([[6], [0]]), state)


def test_a_clone_that_would_untie_the_embedding_is_refused():
    """Keras clones layer by layer, and the embedding stands in the graph twice."""
    model = PerformerCausalLM(backbone(num_layers=1, causal=True))
    with pytest.raises(ValueError, match=r"from_config.*recursive=True"):
        keras.models.clone_model(model)
    with pytest.raises(ValueError, match=r"from_config.*recursive=True"):
        keras.models.clone_model(PerformerSeq2SeqBackbone(VOCABULARY, 1, 3, 18, 23))
    copy = type(model).from_config(model.get_config())
    copy.set_weights(model.get_weights())
    ids = draw_ids(2, 5)
    assert np.array_equal(run(copy, ids), run(model, ids))
    clone = keras.models.clone_model(model, recursive=True)
    assert len(clone.weights) == len(model.weights)
    clone.set_weights(model.get_weights())
    assert np.array_equal(run(clone, ids), run(model, ids))


def test_redraws_are_of_blocks_with_random_features():
    some = backbone(attention=["exact", "linear"], feature_map="softmax")
    assert some.redraws
    assert not backbone(attention="exact").redraws
    assert not backbone().redraws
    maps = ["softmax", "relu"]
    assert not backbone(attention=["exact", "linear"], feature_map=maps).redraws


@pytest.mark.parametrize(
    ("old", "new"),
    [("favor", "linear"), (["exact", "favor"], ["exact", "linear"])],
    ids=str,
)
@pytest.mark.parametrize("make", [PerformerBackbone, PerformerSeq2SeqBackbone])
def test_the_old_name_of_linear_attention(make, old, new):
    arguments = {
        "vocabulary_size": VOCABULARY,
        "num_layers": 2,
        "num_heads": 3,
        "hidden_dim": 18,
        "intermediate_dim": 23,
    }
    with pytest.warns(DeprecationWarning, match="now called `attention='lin") as caught:
        model = make(**arguments, attention=old)
    assert model.attention == new
    assert [each.filename for each in caught] == [__file__]
    # A file of before has the old name in its config: it loads without a warning.
    config = {**model.get_config(), "attention": old}
    assert make.from_config(config).attention == new
    del config["attention"]
    assert make.from_config(config).attention == "linear"


def test_a_preset_with_the_old_name_of_linear_attention():
    with pytest.warns(DeprecationWarning, match="now called `attention='linear'`"):
        model = PerformerBackbone.from_preset(
            "tiny", vocabulary_size=VOCABULARY, num_layers=1, attention="favor"
        )
    assert model.attention == "linear"


@pytest.mark.parametrize("kind", [PerformerBackbone, PerformerSeq2SeqBackbone])
@pytest.mark.parametrize("positions", [None, "sinusoidal", "rotary"])
def test_configurations_before_there_were_kinds_of_blocks(kind, positions):
    made = kind(13, 1, 2, 8, 8, positions=positions)
    config = made.get_config()
    for name in ("block", "position_scale"):
        del config[name]
    earlier = kind.from_config(config)
    assert earlier.block == "plain"
    assert earlier.position_scale == (None if positions == "rotary" else 0.02)
    again = kind.from_config(earlier.get_config())
    assert again.position_scale == earlier.position_scale
