"""`BlockStack`: the blocks of a backbone, and where they normalize."""

import keras
import numpy as np
import pytest
from test_backbone_options import T, backbone, draw_ids, run
from tolerances import assert_close

from keras_performer.layers import ExactAttention, FastAttention, PerformerEncoder
from keras_performer.models import PerformerBackbone
from keras_performer.models.block_stack import (
    BLOCK_OPTIONS,
    BlockStack,
    block_options,
    shifted,
)


def stack(**options):
    defaults = {
        "num_layers": 2,
        "hidden_dim": 18,
        "block": "plain",
        "num_heads": 3,
        "intermediate_dim": 23,
        "positions": "rotary",
        "max_wavelength": 100,
        "max_sequence_length": None,
        "attention": "linear",
        "feature_map": "softmax",
        "exact_window": None,
        "dropout": 0.0,
        "normalize_first": True,
        "normalization": "layer_norm",
        "seed": 5,
        "dropout_seed": 0,
        "dtype": None,
    }
    return BlockStack(PerformerEncoder, "block", **{**defaults, **options})


@pytest.mark.parametrize("normalize_first", [True, False])
def test_the_normalization_stands_behind_or_before_the_blocks(normalize_first):
    made = stack(normalize_first=normalize_first)
    x = 3 * np.random.default_rng(0).standard_normal((2, 7, 18)).astype("float32")
    begun, ended = made.begin(x, training=False), made.end(x)
    same, normalized = (begun, ended) if normalize_first else (ended, begun)
    same, normalized = map(keras.ops.convert_to_numpy, (same, normalized))
    assert np.array_equal(same, x)
    assert_close(normalized.std(axis=-1), np.ones((2, 7)))


def test_names_and_seeds_of_the_layers():
    made = stack(positions="learned", max_sequence_length=9, prefix="decoder_")
    assert [block.name for block in made.blocks] == ["block_0", "block_1"]
    assert [block.seed for block in made.blocks] == [5, 6]
    assert made.positions.seed == 7
    names = [made.positions.name, made.dropout.name, made.norm.name]
    assert names == [
        "decoder_position_embedding",
        "decoder_embedding_dropout",
        "decoder_output_norm",
    ]
    assert stack().positions is None  # attention rotates
    assert [block.rotary_base for block in stack().blocks] == [100, 100]
    assert shifted(None, 3) is None


def test_kinds_of_blocks():
    assert block_options("plain", causal=True) == {}
    assert set(block_options("gated", causal=True)) == set(BLOCK_OPTIONS)
    assert "forget_gate" not in block_options("gated", causal=False)
    for causal in (False, True):
        block = backbone(causal=causal).blocks[0]
        assert (block.short_convolution, block.forget_gate) == (4, causal)
        assert block._self_attention_layer.normalize_heads
        plain = backbone(causal=causal, block="plain").blocks[0]
        assert plain.short_convolution is plain.output_gate is None
        own = backbone(causal=causal, block={"forget_gate": True}).blocks[0]
        assert own.forget_gate and own.short_convolution is None
    for wrong in ("gates", {"gate": True}, 4):
        with pytest.raises(ValueError, match=r"`block` must be one of .*gated"):
            backbone(block=wrong)


def test_starting_values_go_by_width_and_depth():
    model = PerformerBackbone(
        29, num_layers=3, num_heads=3, hidden_dim=72, intermediate_dim=80, seed=0
    )
    truncated = 0.88 * 72**-0.5  # standard deviation of what is cut at two of them
    for block in model.blocks:
        ends = (
            block._self_attention_layer.output_dense,
            block._feedforward_output_dense,
        )
        for layer in ends:
            size = np.asarray(layer.kernel).std()
            assert np.isclose(size, 6**-0.5 * truncated, rtol=0.05), layer.path
        size = np.asarray(block._self_attention_layer.query_dense.kernel).std()
        assert np.isclose(size, truncated, rtol=0.05)
    embeddings = np.asarray(model.token_embedding.embeddings)
    assert np.isclose(embeddings.std(), truncated, rtol=0.05)


def test_attention_of_each_block():
    model = backbone(attention=["exact", "linear"], exact_window=3)
    first, second = (block._self_attention_layer for block in model.blocks)
    assert isinstance(first, ExactAttention) and isinstance(second, FastAttention)
    assert second.exact_window == 3
    with pytest.raises(ValueError, match=r"`attention` must be one of.*'flash'"):
        backbone(attention="flash")
    with pytest.raises(ValueError, match="`attention` must be one value for all"):
        backbone(attention=["exact"])


@pytest.mark.parametrize("causal", [False, True])
def test_post_norm_normalizes_what_it_returns(causal):
    model = backbone(normalize_first=False, causal=causal)
    for block in model.blocks:
        for norm in (block._self_attention_layer_norm, block._feedforward_layer_norm):
            norm.gamma.assign(np.ones(18))
            norm.beta.assign(np.zeros(18))
    output = run(model, draw_ids(2, T))
    assert_close(output.std(axis=-1), np.ones((2, T)))


def test_the_size_of_sinusoidal_positions():
    x = np.zeros((1, 9, 16), "float32")

    def largest(**options):
        made = stack(positions="sinusoidal", hidden_dim=16, **options)
        return keras.ops.convert_to_numpy(made.positions(x)).max()

    assert_close(largest(), 0.25)
    assert_close(largest(position_scale=2.0), 2.0)
    with pytest.raises(ValueError, match="`position_scale` is for `positions='sin"):
        stack(positions="rotary", position_scale=0.02)
