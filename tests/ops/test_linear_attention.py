"""What the linear forms owe: masks, independence, finite numbers; which is chosen."""

import numpy as np
import pytest
from attention_inputs import (
    CHUNKS,
    DV,
    FORMS,
    B,
    D,
    H,
    M,
    T,
    draw,
    draw_map,
    draw_mask,
    kernel_attention,
)
from gradients import on_arrays, to_numpy, value_and_gradients
from tolerances import EXACT, assert_close

from keras_performer import ops as performer_ops

KEPT = {
    "left": [0] * 4 + [1] * 9,
    "right": [1] * 9 + [0] * 4,
    "interior": [1, 1, 0, 1, 0, 0, 0, 1, 1, 0, 1, 1, 1],
    "one": [0] * 7 + [1] + [0] * 5,
}


@pytest.fixture(params=FORMS)
def form(request):
    return request.param


@pytest.fixture
def attend(form):
    """The form in several chunks, the last one of them not full."""

    def attend(*arguments, **options):
        return FORMS[form](*arguments, **options, **CHUNKS[form])

    return attend


@pytest.mark.parametrize("kept", KEPT)
@pytest.mark.parametrize("name", ["softmax", "relu"])
def test_padded_is_as_unpadded(attend, name, kept):
    inputs, arguments = draw(), draw_map(name)
    kept = np.array(KEPT[kept], "bool")
    mask = np.stack([kept, np.ones(T, "bool")])  # of the one document, not of the other
    padded = to_numpy(attend(*inputs, *arguments, key_mask=mask))
    unpadded = to_numpy(attend(*(x[:1, kept] for x in inputs), *arguments))
    assert_close(padded[:1, kept], unpadded, EXACT)
    alone = to_numpy(attend(*(x[1:] for x in inputs), *arguments))
    assert_close(padded[1:], alone, EXACT)


@pytest.mark.parametrize("name", ["softmax", "relu"])
@pytest.mark.parametrize("content", [1e30, np.inf, np.nan])
def test_what_is_padding_has_no_influence(attend, content, name):
    inputs, arguments = draw("float32"), draw_map(name, "float32")
    mask = np.array([KEPT["interior"], KEPT["left"]], "bool")
    upstream = np.ones((B, T, H, DV), "float32")

    def function(query, key, value):
        return attend(query, key, value, *arguments, key_mask=mask)

    before = value_and_gradients(function, inputs, upstream)
    for x in inputs[1:]:
        x[~mask] = content
    after = value_and_gradients(function, inputs, upstream)
    assert np.array_equal(before[0], after[0])
    for a, b in zip(before[1], after[1], strict=True):
        assert np.array_equal(a, b)
    for gradient in after[1][1:]:
        assert np.all(gradient[~mask] == 0)


@pytest.mark.parametrize("name", ["softmax", "relu"])
def test_everything_masked_is_zeros(attend, name):
    inputs, arguments = draw("float32"), draw_map(name, "float32")
    mask = np.array([[False] * T, [True] * T])
    upstream = np.ones((B, T, H, DV), "float32")

    def function(query, key, value):
        return attend(query, key, value, *arguments, key_mask=mask)

    output, gradients = value_and_gradients(function, inputs, upstream)
    assert np.all(output[0] == 0)
    assert np.all(np.any(output[1] != 0, axis=-1))
    for gradient in gradients:
        assert np.all(gradient[0] == 0)
        assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize("dtype", ["bool", "int32", "float32"])
def test_masks_of_any_dtype(attend, dtype):
    inputs, arguments = draw("float32"), draw_map("softmax", "float32")
    mask = np.array([KEPT["interior"], KEPT["left"]])
    outputs = [
        to_numpy(attend(*inputs, *arguments, key_mask=mask.astype(kind)))
        for kind in ("bool", dtype)
    ]
    assert np.array_equal(*outputs)


@pytest.mark.parametrize("factor", [1, 1e6])
def test_batch_neighbours_have_no_influence(attend, factor):
    inputs, arguments = draw("float32"), draw_map("softmax", "float32")
    before = to_numpy(attend(*inputs, *arguments))
    alone = to_numpy(attend(*(x[:1] for x in inputs), *arguments))
    for x, y in zip(inputs, draw("float32", seed=1), strict=True):
        x[1] = factor * y[1]
    after = to_numpy(attend(*inputs, *arguments))
    assert np.array_equal(before[0], after[0])
    assert_close(before[:1], alone, "float32")


def test_heads_have_no_influence_on_each_other(attend):
    inputs, arguments = draw("float32"), draw_map("softmax", "float32")
    before = to_numpy(attend(*inputs, *arguments))
    for x, y in zip(inputs, draw("float32", seed=1), strict=True):
        x[:, :, 1] = 1e6 * y[:, :, 1]
    after = to_numpy(attend(*inputs, *arguments))
    assert np.array_equal(before[:, :, [0, 2]], after[:, :, [0, 2]])


def test_a_constant_value_comes_back(attend):
    query, key, value = draw()
    value[:] = value[:1, :1]
    output = attend(query, key, value, *draw_map("softmax"))
    assert_close(to_numpy(output), value, EXACT)


@pytest.mark.parametrize("scale", [10, 100, 1e4, 1e10])
@pytest.mark.parametrize("head_dim", [D, 128])
def test_large_norms_stay_finite(form, head_dim, scale):
    inputs = draw("float32", head_dim=head_dim, scale=scale)
    feature_map, parameters = draw_map("softmax", "float32", head_dim, 32)
    names = list(parameters)

    def function(query, key, value, *tensors):
        parameters = dict(zip(names, tensors, strict=True))
        return FORMS[form](query, key, value, feature_map, parameters)

    arrays = [*inputs, *parameters.values()]
    upstream = np.ones((B, T, H, DV), "float32")
    output, gradients = value_and_gradients(function, arrays, upstream)
    assert np.all(np.isfinite(output))
    # Means of the values, so never beyond them.
    assert np.max(np.abs(output)) <= np.max(np.abs(inputs[2])) * 1.001
    for gradient in gradients:
        assert np.all(np.isfinite(gradient))


@pytest.mark.cases("bidirectional-64", "causal-256")
@pytest.mark.parametrize("head_dim", [64, 256])
def test_keys_along_a_row_of_the_projection_stay_finite(form, head_dim):
    # There the log weight is largest: half the row's squared norm.
    feature_map, parameters = draw_map("softmax", "float32", head_dim, 32)
    query, key, value = draw("float32", head_dim=head_dim)
    key[:] = parameters["projection"][:T, None] * head_dim**0.25
    output = to_numpy(FORMS[form](query, key, value, feature_map, parameters))
    assert np.all(np.isfinite(output))
    assert np.max(np.abs(output)) <= np.max(np.abs(value)) * 1.001


@pytest.mark.parametrize("scale", [1, 3])
@pytest.mark.parametrize("head_dim", [32, 64, 128, 256])
def test_float32_is_exact_over_the_key_norms_of_trained_models(form, head_dim, scale):
    length = 97
    inputs = draw("float32", length, head_dim=head_dim)
    inputs[1] *= scale
    feature_map, parameters = draw_map("softmax", "float32", head_dim, 256)
    actual = FORMS[form](*inputs, feature_map, parameters)
    mask = np.tril(np.ones((length, length), "bool")) if form == "causal" else None
    expected = kernel_attention(
        *(x.astype(EXACT) for x in inputs),
        feature_map,
        {key: x.astype(EXACT) for key, x in parameters.items()},
        mask,
    )
    assert_close(to_numpy(actual), to_numpy(expected), "float32")


IDS = np.array([[5] * 13, [3, 1, 1, 1, 1, 1, 3, 3, 3, 4, 4, 4, 9]])
WINDOW = {"window_size": 3, "window_log_weight": np.array([0.5, -1.0, 2.0])}
linear_attention = on_arrays(performer_ops.linear_attention)
prefill = on_arrays(performer_ops.prefill)


@pytest.mark.parametrize("window", [{}, WINDOW], ids=["all", "window"])
@pytest.mark.parametrize("segment_ids", [None, IDS], ids=["alone", "packed"])
@pytest.mark.parametrize("causal", [False, True])
def test_the_form_that_is_asked_for(causal, segment_ids, window):
    inputs, arguments = draw(), draw_map("softmax")
    key_mask = draw_mask(T)
    visible = np.broadcast_to(key_mask[:, None, None], (B, 1, T, T))
    if causal:
        visible = np.tril(visible)
    if segment_ids is not None:
        changes = np.pad(IDS[:, 1:] != IDS[:, :-1], [(0, 0), (1, 0)])
        numbers = np.cumsum(changes, axis=1)
        visible = visible & (numbers[:, :, None] == numbers[:, None])[:, None]
    options = {"causal": causal, "key_mask": key_mask, "segment_ids": segment_ids}
    actual = linear_attention(*inputs, *arguments, **options, **window)
    expected = kernel_attention(*inputs, *arguments, visible, **window)
    assert_close(to_numpy(actual), to_numpy(expected), EXACT)


@pytest.mark.parametrize("window", [{}, WINDOW], ids=["all", "window"])
def test_it_goes_on_from_a_state(window):
    inputs, arguments = draw(), draw_map("softmax")
    options = {"causal": True, **window}
    whole = linear_attention(*inputs, *arguments, **options)
    state = performer_ops.initial_state(
        B, H, M, DV, "float64", head_dim=D, window_size=window.get("window_size")
    )
    weight = {"window_log_weight": window.get("window_log_weight")}
    _, state = prefill(state, *(x[:, :6] for x in inputs), *arguments, **weight)
    rest = [x[:, 6:] for x in inputs]
    output = linear_attention(*rest, *arguments, initial_state=state, **options)
    assert_close(to_numpy(output), to_numpy(whole)[:, 6:], EXACT)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"causal": False}, "pass `causal=True`"),
        ({"segment_ids": IDS}, "`segment_ids` cannot be combined"),
        ({"window_size": 3}, "`window_size` must be that of `initial_state`"),
    ],
)
def test_what_cannot_go_on_from_a_state_is_refused(options, message):
    state = performer_ops.initial_state(B, H, M, DV, "float64")
    options = {"causal": True, "initial_state": state, **options}
    with pytest.raises(ValueError, match=message):
        linear_attention(*draw(), *draw_map("softmax"), **options)


def test_the_old_name_of_attend_warns():
    with pytest.warns(DeprecationWarning, match="is now called .*attend"):
        assert performer_ops.read is performer_ops.attend
