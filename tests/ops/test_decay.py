"""Decays: sums that forget, in every form, against the quadratic reference."""

import functools
import itertools

import numpy as np
import pytest
from attention_inputs import B, H, T, draw, draw_map, draw_mask
from gradients import on_arrays, to_numpy, value_and_gradients
from keras import ops as keras_ops
from tolerances import assert_close

from keras_performer import ops
from keras_performer.ops import chunking, decay
from keras_performer.ops.causal import causal_attention
from keras_performer.ops.packed import packed_attention
from keras_performer.ops.reference import causal_mask
from keras_performer.ops.windowed import windowed_attention

IDS = np.array([[5] * T, [3, 1, 1, 1, 1, 1, 3, 3, 3, 4, 4, 4, 9]])
SMALL = {"chunk_size": 2, "outer_chunk_size": 4}
kernel_attention = on_arrays(ops.kernel_attention)


def draw_decay(dtype="float64", heads=H, scale=1.0):
    """Log decays of shape (B, T, heads), of all sizes, and some of exactly zero."""
    generator = np.random.default_rng(5)
    drawn = -scale * generator.exponential(size=(B, T, heads))
    drawn[:, 3] = 0
    return drawn.astype(dtype)


def causal_form(query, key, value, maps, mask, log_decay):
    return causal_attention(
        query,
        key,
        value,
        *maps,
        mask,
        decay.bounded_log_decay(log_decay, key, mask),
        **SMALL,
    )


def packed_form(query, key, value, maps, mask, log_decay, causal, ids=IDS):
    log_decay = decay.bounded_log_decay(log_decay, key, mask)
    return packed_attention(
        query, key, value, *maps, ids, mask, log_decay, causal=causal, **SMALL
    )


def windowed_form(query, key, value, maps, mask, log_decay, causal, ids=None):
    log_decay = decay.bounded_log_decay(log_decay, key, mask)
    return windowed_attention(
        query, key, value, *maps, 3, None, mask, ids, log_decay, causal=causal, **SMALL
    )


NO_IDS = np.zeros_like(IDS)
# Each with its segments, whether it is causal, and its window.
FORMS = {
    "causal": (causal_form, NO_IDS, True, None),
    "bidirectional": (
        functools.partial(packed_form, causal=False, ids=NO_IDS), NO_IDS, False, None,
    ),
    "packed": (functools.partial(packed_form, causal=True), IDS, True, None),
    "packed both ways": (
        functools.partial(packed_form, causal=False), IDS, False, None,
    ),
    "windowed": (functools.partial(windowed_form, causal=True), NO_IDS, True, 3),
    "windowed both ways": (
        functools.partial(windowed_form, causal=False, ids=IDS), IDS, False, 3,
    ),
}  # fmt: skip


def visible(ids, causal, key_mask):
    changes = np.pad(ids[:, 1:] != ids[:, :-1], [(0, 0), (1, 0)])
    numbers = np.cumsum(changes, axis=1)
    mask = (numbers[:, :, None] == numbers[:, None, :]) & key_mask[:, None]
    return (mask & to_numpy(causal_mask(T)) if causal else mask)[:, None]


@pytest.mark.backends
@pytest.mark.cases(
    "causal-softmax-1",
    "bidirectional-relu-3",
    "packed both ways-relu-1",
    "windowed-relu-3",
    "windowed both ways-softmax-1",
)
@pytest.mark.parametrize("key_heads", [H, 1])
@pytest.mark.parametrize("name", ["softmax", "relu"])
@pytest.mark.parametrize("form", FORMS)
def test_value_and_gradients(form, name, key_heads):
    function, ids, causal, window = FORMS[form]
    query, key, value = draw()
    arrays = [query, key[:, :, :key_heads], value[:, :, :key_heads]]
    arrays.append(draw_decay(heads=key_heads))
    maps, key_mask = draw_map(name, heads=key_heads), draw_mask(T)
    mask = visible(ids, causal, key_mask)

    def fast(query, key, value, log_decay):
        return function(query, key, value, maps, key_mask, log_decay)

    def slow(query, key, value, log_decay):
        log_decay = keras_ops.where(
            keras_ops.convert_to_tensor(key_mask[..., None]),
            log_decay,
            keras_ops.zeros_like(log_decay),
        )
        return ops.kernel_attention(
            query, key, value, *maps, mask, window_size=window, log_decay=log_decay
        )

    upstream = np.random.default_rng(1).standard_normal((B, T, H, value.shape[-1]))
    actual = value_and_gradients(on_arrays(fast), arrays, upstream)
    expected = value_and_gradients(on_arrays(slow), arrays, upstream)
    assert_close(actual[0], expected[0], "float64")
    for a, b in zip(actual[1], expected[1], strict=True):
        assert_close(a, b, "float64")


@pytest.mark.parametrize("causal", [True, False])
def test_no_decay_is_attention_without(causal):
    inputs, maps = draw(), draw_map("softmax")
    attend = on_arrays(functools.partial(ops.linear_attention, causal=causal))
    zeros = np.zeros((B, T, H))
    without = to_numpy(attend(*inputs, *maps))
    assert_close(to_numpy(attend(*inputs, *maps, log_decay=zeros)), without, "float64")


def test_the_weights_by_the_formula():
    log_decay = draw_decay(heads=1)
    factors = np.exp(to_numpy(on_arrays(decay.pairwise_log_decay)(log_decay)))
    f = log_decay[0, :, 0]
    assert_close(factors[0, 0, 9, 4], np.exp(f[5:10].sum()), "float64")
    assert_close(factors[0, 0, 4, 9], np.exp(f[4:9].sum()), "float64")
    assert factors[0, 0, 4, 4] == 1


@pytest.mark.parametrize("window", [None, 1, 4])
@pytest.mark.parametrize("cuts", [(0, 13), (0, 1, 2, 13), (0, 5, 6, 12, 13)], ids=str)
def test_any_cut_gives_the_whole(cuts, window):
    inputs, maps, mask = draw(), draw_map("softmax"), draw_mask(T)
    log_decay = draw_decay()
    whole = on_arrays(functools.partial(ops.linear_attention, causal=True))(
        *inputs, *maps, window_size=window, key_mask=mask, log_decay=log_decay
    )
    state = ops.initial_state(
        B, H, maps[1]["projection"].shape[0], inputs[2].shape[-1], "float64",
        head_dim=inputs[1].shape[-1], window_size=window, decays=True,
    )  # fmt: skip
    outputs = []
    for start, end in itertools.pairwise(cuts):
        part = [x[:, start:end] for x in inputs]
        advance = ops.step if end - start == 1 else ops.prefill
        output, state = on_arrays(advance)(
            state, *part, *maps, mask[:, start:end], log_decay=log_decay[:, start:end]
        )
        outputs.append(to_numpy(output))
    assert_close(np.concatenate(outputs, axis=1), to_numpy(whole), "float64")


def test_a_state_knows_what_its_past_has_become():
    inputs, maps, log_decay = draw(), draw_map("relu"), draw_decay()
    first, second = slice(0, 6), slice(6, T)

    def state_after(span):
        state = ops.initial_state(B, H, 5, inputs[2].shape[-1], "float64", decays=True)
        part = [x[:, span] for x in inputs]
        return on_arrays(ops.prefill)(
            state, *part, *maps, log_decay=log_decay[:, span]
        )[1]

    whole, before, after = map(state_after, (slice(0, T), first, second))
    kept = np.exp(to_numpy(after.log_decay))[..., None, None]
    joined = to_numpy(before.sums) * kept + to_numpy(after.sums)
    assert_close(joined, to_numpy(whole.sums), "float64")


@pytest.mark.backends
@pytest.mark.parametrize("form", FORMS)
def test_what_is_hidden_neither_adds_nor_forgets(form):
    function = FORMS[form][0]
    maps, inputs, mask = draw_map("relu", "float32"), draw("float32"), draw_mask(T)
    log_decay = draw_decay("float32")
    hidden = ~mask[..., None]
    changed = np.where(hidden, np.float32(np.nan), log_decay)
    attend = on_arrays(lambda *arrays: function(*arrays[:3], maps, mask, arrays[3]))
    before = to_numpy(attend(*inputs, log_decay))
    after = to_numpy(attend(*inputs, changed))
    assert np.array_equal(before, after)


@pytest.mark.backends
@pytest.mark.parametrize("form", [x for x in FORMS if FORMS[x][2]])
@pytest.mark.parametrize("value", [-3.0, np.nan], ids=str)
def test_no_output_depends_on_a_later_decay(form, value):
    function = FORMS[form][0]
    maps, inputs, mask = draw_map("relu", "float32"), draw("float32"), draw_mask(T)
    mask[:] = True
    log_decay = draw_decay("float32")
    attend = on_arrays(lambda *arrays: function(*arrays[:3], maps, mask, arrays[3]))
    before = to_numpy(attend(*inputs, log_decay))
    changed = log_decay.copy()
    changed[0, 6] = value
    after = to_numpy(attend(*inputs, changed))
    assert np.array_equal(before[0, :6], after[0, :6])
    assert np.array_equal(before[1], after[1])
    assert np.isnan(after[0, 6]).all() == np.isnan(value)


@pytest.mark.backends
@pytest.mark.parametrize("steep", [-1e4, -np.inf], ids=str)
def test_a_steep_decay_forgets_all_before_and_no_digits(steep):
    inputs, maps = draw("float32"), draw_map("relu", "float32")
    log_decay = draw_decay("float32")
    log_decay[:, 6] = steep
    attend = on_arrays(functools.partial(ops.linear_attention, causal=True))
    whole = to_numpy(attend(*inputs, *maps, log_decay=log_decay))
    rest = [x[:, 6:] for x in inputs]
    alone = to_numpy(attend(*rest, *maps, log_decay=log_decay[:, 6:]))
    assert_close(whole[:, 6:], alone)


def test_many_chunks_by_the_reference_in_float32():
    inputs = draw("float32", target=700)
    maps = draw_map("softmax", "float32")
    generator = np.random.default_rng(0)
    log_decay = -np.exp(generator.normal(-4, 3, (B, 700, H))).astype("float32")
    attend = on_arrays(functools.partial(ops.linear_attention, causal=True))
    actual = to_numpy(attend(*inputs, *maps, log_decay=log_decay))
    inputs64 = [x.astype("float64") for x in inputs]
    maps64 = (maps[0], {k: v.astype("float64") for k, v in maps[1].items()})
    expected = kernel_attention(
        *inputs64, *maps64, to_numpy(causal_mask(700)),
        log_decay=log_decay.astype("float64"),
    )  # fmt: skip
    assert_close(actual, to_numpy(expected))


def test_chunks_flipped_twice_are_the_chunks():
    inputs = [keras_ops.convert_to_tensor(x) for x in draw()]
    lengths = chunking.inner_lengths(T, **SMALL)
    chunks = chunking.split_inputs(
        *inputs, lengths, draw_mask(T), IDS, keras_ops.convert_to_tensor(draw_decay())
    )
    for x, twice in zip(chunks, chunks.flipped().flipped(), strict=True):
        assert np.array_equal(to_numpy(x), to_numpy(twice))


@pytest.mark.parametrize("shape", [(B, T), (B, T, H + 1), (B, T + 1, H)], ids=str)
def test_a_wrong_shape_is_told(shape):
    inputs, maps = draw(), draw_map("relu")
    with pytest.raises(ValueError, match="each position and each head of keys"):
        ops.linear_attention(*inputs, *maps, log_decay=np.zeros(shape), causal=True)


@pytest.mark.parametrize("decays", [True, False])
def test_states_of_the_other_kind_are_refused(decays):
    inputs, maps = draw(), draw_map("relu")
    state = ops.initial_state(B, H, 5, inputs[2].shape[-1], "float64", decays=decays)
    log_decay = None if decays else draw_decay()
    with pytest.raises(ValueError, match="`log_decay` goes with a state that decays"):
        ops.prefill(state, *inputs, *maps, log_decay=log_decay)


def test_cross_attention_has_no_decay():
    query, key, value = draw(source=T + 2)
    with pytest.raises(ValueError, match="a key for each query"):
        ops.linear_attention(
            query, key, value, *draw_map("relu"), log_decay=np.zeros((B, T + 2, H))
        )
