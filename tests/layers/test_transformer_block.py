"""`TransformerBlock`: normalizations, feed-forward networks, the kind of attention."""

import keras
import numpy as np
import pytest
from block_inputs import BLOCKS, HIDDEN, F, assert_same, inputs_of, make, with_gradients
from gradients import to_tensor
from layer_inputs import B, H, T, draw, draw_mask, numpy, weights
from tolerances import assert_close

from keras_performer.layers import PerformerDecoder


@pytest.mark.parametrize("chunk", [1, 5, T - 1, T, 100])
@pytest.mark.parametrize("feedforward", ["dense", "gated"])
def test_feed_forward_in_chunks(feedforward, chunk):
    plain = make(feedforward=feedforward, activation="gelu")
    chunked = make(feedforward=feedforward, activation="gelu", feedforward_chunk=chunk)
    assert_same(with_gradients(chunked), with_gradients(plain))


def test_feed_forward_in_chunks_of_unknown_length():
    block = make(feedforward_chunk=5)
    inputs = keras.Input((None, F))
    model = keras.Model(inputs, block(inputs))
    for length in (1, 4, 5, 16):
        x = draw(B, length, F)
        assert_close(numpy(model(x)), numpy(make()(x)))


def test_rms_normalization_by_its_formula():
    block = make(normalization="rms_norm", normalize_first=True)
    x = draw(B, T, F, seed=4) + 1
    scaled = x / np.sqrt((x.astype("float64") ** 2).mean(-1, keepdims=True) + 1e-5)
    norm = block._feedforward_layer_norm
    assert_close(numpy(norm(x)), scaled * numpy(norm.scale))
    assert not any(path.endswith("beta") for path in weights(block))


def test_a_gated_network_by_its_formula():
    block = make(feedforward="gated", activation="silu")
    w = {path: numpy(weight) for path, weight in weights(block).items()}
    x = draw(B, T, F)

    def dense(name, x):
        name = f"feedforward_{name}_dense"
        return x @ w[f"{name}/kernel"] + w[f"{name}/bias"]

    gate = numpy(keras.activations.silu(dense("gate", x)))
    expected = dense("output", gate * dense("intermediate", x))
    assert_close(numpy(block._feed(to_tensor(x))), expected)


@pytest.mark.parametrize("normalization", ["layer_norm", "rms_norm"])
def test_the_mask_passes_on(normalization):
    block = make(normalization=normalization, normalize_first=True)
    x, mask = draw(B, T, F), draw_mask(T)
    masked = keras.layers.Masking()(to_tensor(np.where(mask[..., None], x, 0)))
    assert np.array_equal(numpy(block(masked)._keras_mask), mask)


@BLOCKS
def test_exact_attention_reads_the_weights_of_linear(block_type):
    exact, linear = (make(block_type, attention=a) for a in ("exact", "linear"))
    paths = {path for path in weights(linear) if "projection" not in path}
    assert set(weights(exact)) == paths


@BLOCKS
@pytest.mark.parametrize("attention", ["linear", "exact"])
def test_segments_are_as_each_alone(block_type, attention):
    block = make(block_type, attention=attention)
    x, *source = inputs_of(block_type)
    ids = np.array([[3] * 4 + [5] * (T - 4), [7] * T])
    output = numpy(block(x, *source, segment_ids=ids))
    for row, start, stop in [(0, 0, 4), (0, 4, T), (1, 0, T)]:
        alone = block(x[row : row + 1, start:stop], *(s[row : row + 1] for s in source))
        assert_close(output[row : row + 1, start:stop], numpy(alone))


def test_exact_attention_has_no_stream():
    block = make(PerformerDecoder, attention="exact")
    with pytest.raises(ValueError, match=r"whose state does not grow.*'exact'"):
        block.initial_state(B)


def test_a_stream_has_no_segments():
    block = PerformerDecoder(HIDDEN, H, num_features=19, seed=0)
    x = draw(B, T, F)
    block.build(x.shape)
    with pytest.raises(ValueError, match="leave out `segment_ids`"):
        block(
            x,
            self_attention_cache=block.initial_state(B),
            segment_ids=np.zeros((B, T), "int32"),
        )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"normalization": "batch"}, "`normalization` must be one of.*'batch'"),
        ({"feedforward": "mixture"}, "`feedforward` must be one of.*'mixture'"),
        ({"feedforward_chunk": 0}, "`feedforward_chunk` must be a positive"),
        ({"attention": "flash"}, "`attention` must be one of.*'flash'"),
        ({"attention": "exact", "exact_window": 3}, "`exact_window` is for"),
    ],
)
def test_wrong_options(wrong, message):
    with pytest.raises(ValueError, match=message):
        make(**wrong)


@BLOCKS
def test_the_former_name_of_linear_attention(block_type):
    with pytest.warns(DeprecationWarning, match="now called `attention='linear'`"):
        block = block_type(HIDDEN, H, attention="favor")
    assert block.get_config()["attention"] == "linear"


@BLOCKS
def test_a_config_with_the_former_name_loads_without_a_warning(block_type):
    """Warnings are errors here."""
    config = {**make(block_type).get_config(), "attention": "favor"}
    assert block_type.from_config(config).attention == "linear"
    assert config["attention"] == "favor"
    del config["attention"]  # a file from before there was a choice
    assert block_type.from_config(config).attention == "linear"
