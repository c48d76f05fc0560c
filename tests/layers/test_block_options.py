"""What a block can be made of: normalizations, feed-forward networks, attention."""

import keras
import numpy as np
import pytest
from gradients import to_tensor, value_and_gradients
from layer_inputs import B, H, S, T, draw, draw_mask, numpy, weights
from tolerances import assert_close

from keras_performer.layers import PerformerDecoder, PerformerEncoder

F, FS, HIDDEN = 15, 14, 23
BLOCKS = pytest.mark.parametrize("block_type", [PerformerEncoder, PerformerDecoder])


def make(block_type=PerformerEncoder, **arguments):
    defaults = {
        "intermediate_dim": HIDDEN,
        "num_heads": H,
        "num_features": 19,
        "kernel_initializer": keras.initializers.RandomNormal(stddev=0.3, seed=1),
        "bias_initializer": keras.initializers.RandomNormal(stddev=0.5, seed=2),
        "seed": 0,
        "name": "block",
    }
    block = block_type(**{**defaults, **arguments})
    is_decoder = block_type is PerformerDecoder
    block.build((None, None, F), *([(None, None, FS)] if is_decoder else []))
    return block


def inputs_of(block_type):
    x, source = draw(B, T, F), draw(B, S, FS, seed=1)
    return [x, source] if block_type is PerformerDecoder else [x]


def with_gradients(block, **arguments):
    """Output of a block, and gradients of its inputs and of its weights by path."""
    inputs = inputs_of(type(block))
    trained = block.trainable_weights
    names = [w.path for w in trained]

    def function(*tensors):
        mapping = zip(trained, tensors[len(inputs) :], strict=True)
        with keras.StatelessScope(list(mapping)):
            return block(*tensors[: len(inputs)], **arguments)

    given = [*inputs, *(numpy(w) for w in trained)]
    value, gradients = value_and_gradients(function, given, draw(B, T, F, seed=9))
    return value, dict(zip([*range(len(inputs)), *names], gradients, strict=True))


def assert_same(actual, expected):
    assert_close(actual[0], expected[0])
    assert actual[1].keys() == expected[1].keys()
    for name, gradient in expected[1].items():
        # A bias of all keys cancels in attention: what there is of it is rounding.
        if "/key/bias" not in str(name):
            assert np.any(gradient), name
            assert_close(actual[1][name], gradient)


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


@BLOCKS
@pytest.mark.parametrize("chunk", [None, 5])
def test_recomputed_is_as_kept(block_type, chunk):
    options = {"activation": "gelu", "feedforward_chunk": chunk}
    plain, again = (make(block_type, remat=remat, **options) for remat in (False, True))
    assert_same(
        with_gradients(again, training=True), with_gradients(plain, training=True)
    )


@BLOCKS
def test_recomputed_dropout_is_as_kept(block_type):
    plain, again = (make(block_type, remat=r, dropout=0.5) for r in (False, True))
    assert_same(
        with_gradients(again, training=True), with_gradients(plain, training=True)
    )
    inputs = inputs_of(block_type)
    for _ in range(2):  # the states of the seeds change, once a call
        first, second = (numpy(b(*inputs, training=True)) for b in (plain, again))
        assert_close(second, first)
    assert not np.allclose(numpy(plain(*inputs, training=True)), first)


@pytest.mark.parametrize(
    ("block_type", "jit_compile"),
    [
        (PerformerEncoder, False),
        pytest.param(PerformerEncoder, True, marks=pytest.mark.slow),
        pytest.param(PerformerDecoder, False, marks=pytest.mark.slow),
        pytest.param(PerformerDecoder, True, marks=pytest.mark.slow),
    ],
)
def test_a_recomputed_block_trains_alike(block_type, jit_compile):
    """In a compiled step, where weights change: each gradient is of those before."""
    losses = []
    for remat in (False, True):
        block = make(block_type, remat=remat, dropout=0.3, feedforward_chunk=4)
        symbols = [keras.Input(x.shape[1:]) for x in inputs_of(block_type)]
        model = keras.Model(symbols, block(*symbols))
        model.compile(keras.optimizers.SGD(0.3), "mse", jit_compile=jit_compile)
        history = model.fit(
            inputs_of(block_type),
            draw(B, T, F, seed=3),
            epochs=12,
            shuffle=False,
            verbose=0,
        )
        losses.append(history.history["loss"])
    assert losses[0][-1] < 0.7 * losses[0][0]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)


def test_a_map_that_adapts_gathers_once_where_it_is_recomputed():
    states = []
    for remat in (False, True):
        block = make(feature_map="favor_sharp", remat=remat, num_features=None)
        with_gradients(block, training=True)
        block(to_tensor(draw(B, T, F)), training=True)
        states.append(
            {
                w.path: numpy(w)
                for w in block.non_trainable_weights
                if "seed" not in w.path
            }
        )
    assert any("moment" in path or "mean" in path for path in states[0])
    for path, value in states[0].items():
        assert_close(states[1][path], value)


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
    with pytest.raises(ValueError, match="whose state does not grow.*'exact'"):
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
