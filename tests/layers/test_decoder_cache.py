"""What a decoder block says of caches that it cannot go on from."""

import numpy as np
import pytest
from decoder_inputs import F, built, decoder, draw_source
from keras import ops
from layer_inputs import B, H, T, draw

CACHES = ("self_attention_cache", "cross_attention_cache")


@pytest.mark.parametrize(
    ("crossed", "cached", "arguments", "message"),
    [
        (False, (), {"self_attention_cache_update_index": 0}, "which is missing"),
        (True, (), {"cross_attention_cache_update_index": 0}, "which is missing"),
        (True, CACHES[:1], {}, "or neither"),
        (True, CACHES[1:], {}, "or neither"),
        (False, CACHES, {}, "needs a block with cross-attention"),
        (False, CACHES[:1], {"use_causal_mask": False}, "all positions"),
        (False, CACHES[:1], {"training": True}, "for inference"),
        (
            True,
            CACHES,
            {"cross_attention_cache_update_index": 3},
            r"must be 0, .* or `None`.*index=3",
        ),
    ],
)
def test_calls_with_caches_are_checked(crossed, cached, arguments, message):
    block = built(crossed, dropout=0.5)
    caches = dict.fromkeys(cached, block.initial_state(B))
    with pytest.raises(ValueError, match=f"(?s){message}"):
        block(draw(B, T, F), *draw_source(crossed), **caches, **arguments)


def test_a_cache_of_keys_and_values_is_refused():
    cache = np.zeros((B, 2, T, H, 5), "float32")
    with pytest.raises(ValueError, match=r"must be a state.*\(2, 2, 13, 3, 5\)"):
        built(False)(draw(B, T, F), self_attention_cache=cache)


def test_cross_attention_is_there_or_not():
    x, source = draw(B, T, F), draw_source(True)
    with pytest.raises(ValueError, match="built without"):
        built(False)(x, *source)
    with pytest.raises(ValueError, match=r"built with\b"):
        built(True)(x)
    with pytest.raises(ValueError, match="no cross-attention"):
        built(False).initial_cross_state(B)
    for name in ("initial_state", "initial_cross_state"):
        with pytest.raises(ValueError, match="not built"):
            getattr(decoder(), name)(B)


@pytest.mark.parametrize("index", [3, np.int32(3), "tensor"])
def test_positions_are_not_counted_twice(index):
    block, x = built(False), draw(B, 4, F)
    index = ops.convert_to_tensor(3, "int32") if index == "tensor" else index
    arguments = {"self_attention_cache_update_index": index}
    hidden = np.array([[True] * 4, [False, False, True, True]])
    for seen in range(5):
        _, state = block(
            x[:, 4 - seen :],
            decoder_padding_mask=hidden[:, 4 - seen :],
            self_attention_cache=block.initial_state(B),
        )
        if seen <= 3:
            block(x[:, :1], self_attention_cache=state, **arguments)
    with pytest.raises(ValueError, match=r"(?s)on the left.*index=.*3.*has seen 4"):
        block(x[:, :1], self_attention_cache=state, **arguments)
