"""What both linear forms owe: masks, independence, dtypes, finite numbers."""

import numpy as np
import pytest
from attention_inputs import (
    CHUNKS,
    DV,
    FORMS,
    B,
    D,
    H,
    T,
    bidirectional_attention,
    draw,
    draw_map,
    kernel_attention,
)
from gradients import to_numpy, value_and_gradients
from keras import ops
from tolerances import EXACT, assert_close

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


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", ["softmax", "relu"])
def test_half_precision_accumulates_in_float32(form, dtype, name):
    # Sums over 1,500 positions: in a half type they would stop to grow on the way.
    length = 1500
    feature_map, parameters = draw_map(name, "float32")
    halves = [ops.cast(x, dtype) for x in draw("float32", length)]
    output = FORMS[form](*halves, feature_map, parameters)
    assert output.dtype == halves[2].dtype
    mask = np.tril(np.ones((length, length), "bool")) if form == "causal" else None
    expected = kernel_attention(
        *(to_numpy(ops.cast(x, EXACT)) for x in halves),
        feature_map,
        {key: x.astype(EXACT) for key, x in parameters.items()},
        mask,
    )
    assert_close(to_numpy(output), to_numpy(expected), "bfloat16")


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


def change(shapes, name, axis, size):
    return {**shapes, name: (*shapes[name][:axis], size, *shapes[name][axis + 1 :])}


SHAPES = {"query": (B, T, H, D), "key": (B, T, H, D), "value": (B, T, H, DV)}


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (SHAPES | {"query": (B, T, D)}, "`query` must have rank 4"),
        (SHAPES | {"key": (B, T, D)}, "`key` must have rank 4"),
        (SHAPES | {"value": (B, T, D)}, "`value` must have rank 4"),
        (change(SHAPES, "key", 3, D + 1), "head_dim of `query` and `key`"),
        (change(SHAPES, "key", 2, H + 1), "heads of `key` and `value`"),
        (change(SHAPES, "value", 2, H + 1), "heads of `key` and `value`"),
        (change(SHAPES, "query", 2, H + 1), "heads of `query` must be a multiple"),
        (change(SHAPES, "value", 1, T + 1), "lengths of `key` and `value`"),
    ],
)
def test_shapes_are_checked(form, shapes, message):
    arrays = [np.zeros(shape, "float32") for shape in shapes.values()]
    with pytest.raises(ValueError, match=message):
        FORMS[form](*arrays, *draw_map("relu"))


def test_the_mask_shape_is_checked(form):
    mask = np.ones((B, T, T), "bool")
    with pytest.raises(ValueError, match=r"`key_mask` must have rank 2.*\(2, 13, 13\)"):
        FORMS[form](*draw(), *draw_map("relu"), key_mask=mask)


@pytest.mark.parametrize("size", [0, -1, 2.0])
def test_the_chunk_size_is_checked(size):
    with pytest.raises(ValueError, match="`chunk_size` must be a positive integer"):
        bidirectional_attention(*draw(), *draw_map("relu"), chunk_size=size)
