"""`ExactAttention`: softmax attention with the arguments of `FastAttention`."""

import keras
from keras import ops

from keras_performer.layers import attention_masks as masks
from keras_performer.layers.base_attention import BaseAttention
from keras_performer.ops import exact_attention_scores
from keras_performer.ops.decay import pairwise_log_decay

HIDDEN = -3e4  # a logit that hides a key, also in float16


@keras.saving.register_keras_serializable(package="keras_performer")
class ExactAttention(BaseAttention):
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
            `feature_map`, `num_features`, `projection` and `exact_window`. With
            `forget_gate=True` it is the forgetting Transformer's attention, arXiv
            2503.02130: sums of log decays are added to the logits.

    Call arguments:
        query: Tensor of shape (B, T, F).
        value: Tensor of shape (B, S, Fv).
        key: Tensor of shape (B, S, Fk). Defaults to `value`.
        query_mask: Boolean tensor of shape (B, T), or `None`. It passes on to the
            output as its Keras mask.
        value_mask: Boolean tensor of shape (B, S), True at the positions that count,
            or `None`.
        key_mask: Boolean tensor of shape (B, S), True at the positions that count, or
            `None`.
        attention_mask: A key mask of shape (B, 1, S), or `None`.
        return_attention_scores: Whether to return the matrix (B, H, T, S) too.
        training: Whether dropout is active.
        use_causal_mask: Whether a query sees only the keys at and before its position.
        segment_ids: Integer tensor of shape (B, T), for several sequences in a row,
            each of which attends to itself alone. Or `None`.
        positions: Integer tensor of shape (T,) or (B, T), the positions of queries and
            keys for `rotary_base`. By default they are counted.

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

    def _attend(self, inputs, training):
        queries, keys, values = inputs[:3]
        groups = self.num_heads // self.num_key_value_heads
        if groups > 1:  # not all backends share heads
            keys, values = (ops.repeat(x, groups, axis=2) for x in (keys, values))
        is_masked = inputs.key_mask is not None or inputs.segment_ids is not None
        if inputs.log_decay is None and not is_masked:
            # Causality alone is a flag, for which backends have kernels without a mask.
            return ops.dot_product_attention(
                queries, keys, values, is_causal=inputs.causal
            )
        visible = masks.visible_keys(inputs)
        if inputs.log_decay is None:
            batch, _, _, source = ops.shape(visible)
            shape = batch, 1, ops.shape(queries)[1], source  # which all backends take
            weights = {"mask": ops.broadcast_to(visible, shape)}
        else:
            bias = pairwise_log_decay(masks.counted_log_decay(inputs))
            if visible is not None:  # PyTorch takes a mask or a bias
                bias = ops.where(visible, bias, HIDDEN)
            bias = ops.repeat(bias, groups, axis=1)
            weights = {"bias": ops.cast(bias, queries.dtype)}
        output = ops.dot_product_attention(queries, keys, values, **weights)
        if not is_masked:
            return output
        # A softmax over nothing is uniform, and shall be zero.
        sees = ops.cast(ops.any(visible, axis=-1), output.dtype)  # (B', 1, T)
        return output * ops.expand_dims(ops.swapaxes(sees, 1, 2), -1)

    def _scores(self, inputs):
        return exact_attention_scores(
            inputs.queries,
            inputs.keys,
            masks.visible_keys(inputs),
            masks.counted_log_decay(inputs),
        )
