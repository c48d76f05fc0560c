"""`ExactAttention`: softmax attention with the arguments of `FastAttention`."""

import keras
from keras import ops

from keras_performer.layers import attention_masks as masks
from keras_performer.layers.rotary_layer import RotaryLayer
from keras_performer.ops import exact_attention_scores


@keras.saving.register_keras_serializable(package="keras_performer")
class ExactAttention(RotaryLayer):
    """Multi-head softmax attention, in time and memory of T·S.

    For the layers of a model that shall be exact, and for comparison: all around the
    attention (projections, rotary positions, masks, segments, dropout, the paths of
    weights) is that of `FastAttention`, and the attention itself is
    `softmax(Q Kᵀ / √D) V` by `keras.ops.dot_product_attention`, with whatever fused
    kernel the backend has for it.

    Args:
        num_heads: H, the number of heads.
        key_dim: D, the size of a head for queries and keys.
        **kwargs: The other arguments of `FastAttention`, by name, but for
            `feature_map`, `num_features`, `projection` and `exact_window`.

    Call arguments:
        query: Tensor of shape (B, T, F).
        value: Tensor of shape (B, S, Fv).
        key: Tensor of shape (B, S, Fk). Defaults to `value`.
        query_mask: As for `FastAttention`, as all that follow.
        value_mask: Boolean tensor of shape (B, S).
        key_mask: Boolean tensor of shape (B, S).
        attention_mask: A key mask, of shape (B, S) or (B, 1, S).
        return_attention_scores: Whether to return the matrix (B, H, T, S) too.
        training: Whether dropout is active.
        use_causal_mask: Whether a query sees only the keys at and before its position.
        segment_ids: Integer tensor of shape (B, T), or `None`.
        positions: Integer tensor of shape (T,) or (B, T), or `None`.

    Returns:
        Tensor of shape (B, T, F), or (B, T, *output_shape); with
        `return_attention_scores`, a pair of it and the scores.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    >>> import numpy as np
    >>> layer = ExactAttention(num_heads=2, key_dim=8, seed=0)
    >>> page = np.zeros((1, 100, 16), "float32")
    >>> layer(page, page, use_causal_mask=True).shape
    TensorShape([1, 100, 16])
    """

    def __init__(self, num_heads, key_dim, **kwargs):
        super().__init__(num_heads=num_heads, key_dim=key_dim, **kwargs)

    def build(self, query_shape, value_shape, key_shape=None):
        self.build_projections(query_shape, value_shape, key_shape)

    def call(
        self,
        query,
        value,
        key=None,
        query_mask=None,
        value_mask=None,
        key_mask=None,
        attention_mask=None,
        return_attention_scores=False,
        training=None,
        use_causal_mask=False,
        *,
        segment_ids=None,
        positions=None,
    ):
        (queries, keys, values), gate, _, key_mask, segment_ids = self._sequence(
            query,
            value,
            key,
            (query_mask, value_mask, key_mask, attention_mask),
            use_causal_mask,
            segment_ids,
            positions,
        )
        lengths = ops.shape(queries)[1], ops.shape(keys)[1]
        groups = self.num_heads // self.num_key_value_heads
        if groups > 1:  # not all backends share heads
            keys, values = (ops.repeat(x, groups, axis=2) for x in (keys, values))
        is_masked = key_mask is not None or segment_ids is not None
        # Causality alone is a flag, for which backends have kernels without a mask.
        visible = masks.visible(
            key_mask, use_causal_mask and is_masked, segment_ids, *lengths
        )
        output = ops.dot_product_attention(
            queries,
            keys,
            values,
            mask=None if visible is None else _for_each_query(visible, lengths[0]),
            is_causal=use_causal_mask and not is_masked,
        )
        if is_masked:  # a softmax over nothing is uniform, and shall be zero
            sees = ops.cast(ops.any(visible, axis=-1), output.dtype)  # (B', 1, T)
            output = output * ops.expand_dims(ops.swapaxes(sees, 1, 2), -1)
        output = self._finished(output, gate, query, query_mask, training)
        if not return_attention_scores:
            return output
        visible = masks.visible(key_mask, use_causal_mask, segment_ids, *lengths)
        scores = exact_attention_scores(queries, keys, visible)
        scores = self._axes.unfold_scores(scores, query, value if key is None else key)
        return output, ops.cast(scores, self.compute_dtype)


def _for_each_query(visible, target):
    """A mask (B', 1, 1 or T, S) as (B', 1, T, S), which all backends take."""
    batch, _, _, source = ops.shape(visible)
    return ops.broadcast_to(visible, (batch, 1, target, source))
