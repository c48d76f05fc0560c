"""`FastAttention`: multi-head attention in time linear in the sequence length."""

import keras
from keras import ops

from keras_performer.feature_maps import Moments
from keras_performer.layers import attention_masks as masks
from keras_performer.layers.streaming_layer import StreamingLayer
from keras_performer.ops.chunking import wide_dtype


@keras.saving.register_keras_serializable(package="keras_performer")
class FastAttention(StreamingLayer):
    """Multi-head attention in time and memory linear in the sequence length.

    Takes the place of `keras.layers.MultiHeadAttention`: the same constructor, call,
    sublayers and weights, and one non-trainable weight more, the random projection.
    Softmax attention is replaced by `D⁻¹ φ(Q) (φ(K)ᵀ V)`, `D = diag(φ(Q) φ(K)ᵀ 1)`,
    with a feature map φ whose dot product is, or estimates, the kernel of attention:
    FAVOR+ of "Rethinking Attention with Performers", arXiv 2009.14794.

    Outputs depend neither on later positions (causally), nor on the other documents of
    the batch, nor on padding: no statistic is taken over positions.

    Args:
        num_heads: H, the number of heads.
        key_dim: D, the size of a head for queries and keys.
        value_dim: Size of a head for values. Defaults to `key_dim`.
        dropout: Dropout rate, applied to the heads' outputs before the output
            projection. (There is no attention matrix to drop entries of.)
        use_bias: Whether the projections of queries, keys, values and outputs have
            biases.
        output_shape: Size of the output's features, an int or a tuple. Defaults to
            the query's.
        attention_axes: The axes that attention runs over, an int or a tuple, of
            inputs that have more than one axis of length. Defaults to all between
            batch and features. Over several it is attention over their product.
        sliding_window: Not available in linear attention; must be `None`. See
            `exact_window`.
        flash_attention: Not available in linear attention; must be `None` or `False`.
        kernel_initializer: Initializer of the kernels.
        bias_initializer: Initializer of the biases.
        kernel_regularizer: Regularizer of the kernels.
        bias_regularizer: Regularizer of the biases.
        activity_regularizer: Regularizer of the projections' outputs.
        kernel_constraint: Constraint of the kernels.
        bias_constraint: Constraint of the biases.
        use_gate: Whether the heads' outputs are multiplied by a sigmoid gate of the
            query.
        seed: Integer that seeds the projection and dropout, or `None` for one drawn
            from Keras's global seed.
        num_key_value_heads: Hk, the number of heads of keys and values, each of which
            serves `num_heads / Hk` heads of queries in a row, as in
            `keras.layers.GroupQueryAttention`. Defaults to `num_heads`.
        feature_map: `"softmax"` (FAVOR+), `"relu"`, `"favor_sharp"`, `"learned"` or
            another name that `feature_maps.get` knows, or a
            `keras_performer.feature_maps.FeatureMap`. Maps that adapt to the data
            gather its moments in training, or by `calibration.adapt`.
        num_features: M, the number of random features, where the map draws a
            projection. Defaults to `D log D`, rounded to a multiple of 64.
        projection: How the projection is drawn: `"orthogonal"`, `"simplex"`,
            `"gaussian"` or another name that `ops.projections.get` knows, or a
            callable `(seed, num_features, head_dim) -> array`. Used by maps that draw
            one.
        rotary_base: Base of rotary positions, such as 10,000: queries and keys are
            rotated by their positions before the feature map (`ops.rotary`), with
            `key_dim` even. Masked positions do not count, so that padding shifts
            nothing. `None` for no positions.
        exact_window: w, the number of nearest positions that a query attends to by
            exact softmax, beside linear attention to all others
            (`ops.linear_attention`, as LoLCATs, arXiv 2410.10254); their
            balance is a trainable weight of each head. In self-attention alone.
            `None` for no window.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Call arguments:
        query: Tensor of shape (B, T, F).
        value: Tensor of shape (B, S, Fv).
        key: Tensor of shape (B, S, Fk). Defaults to `value`.
        query_mask: Boolean tensor of shape (B, T). It passes on to the output as its
            Keras mask.
        value_mask: Boolean tensor of shape (B, S), True at the positions that count.
        key_mask: Boolean tensor of shape (B, S), likewise.
        attention_mask: A key mask, of shape (B, S) or (B, 1, S). A mask of (B, T, S)
            is refused: linear attention never forms the matrix it would act on.
        return_attention_scores: Whether to return the attention matrix
            `D⁻¹ φ(Q) φ(K)ᵀ` too, of shape (B, H, T, S). It costs O(T·S).
        training: Whether dropout is active.
        use_causal_mask: Whether a query sees only the keys at and before its position.
            It needs one axis of attention.
        segment_ids: Integer tensor of shape (B, T), for self-attention in which
            several sequences stand in a row: a position sees those of its own run of
            equal ids alone, and gets what its sequence alone would give. Or `None`.
        positions: Integer tensor of shape (T,) or (B, T), the positions of queries and
            keys for `rotary_base`. By default they are counted.

    Where inputs have more axes of length, (B, *axes, F), masks have their shape
    without the features, an `attention_mask` may have that of the scores with 1 for
    the queries, and scores have the shape (*batch axes, H, *T axes, *S axes).

    Returns:
        Tensor of shape (B, T, F), or (B, T, *output_shape); with
        `return_attention_scores`, a pair of it and the scores. A query that sees no
        key gets the output projection of zeros.

    Raises:
        ValueError: If an argument is out of its range or not possible in linear time.

    Example:

    >>> import numpy as np
    >>> layer = FastAttention(num_heads=2, key_dim=8, seed=0)
    >>> book = np.zeros((1, 1000, 16), "float32")
    >>> layer(book, book, use_causal_mask=True).shape
    TensorShape([1, 1000, 16])
    """

    def __init__(
        self,
        num_heads,
        key_dim,
        value_dim=None,
        dropout=0.0,
        use_bias=True,
        output_shape=None,
        attention_axes=None,
        sliding_window=None,
        flash_attention=None,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        use_gate=False,
        seed=None,
        *,
        num_key_value_heads=None,
        feature_map="softmax",
        num_features=None,
        projection="orthogonal",
        rotary_base=None,
        exact_window=None,
        **kwargs,
    ):
        super().__init__(
            num_heads=num_heads,
            key_dim=key_dim,
            value_dim=value_dim,
            dropout=dropout,
            use_bias=use_bias,
            output_shape=output_shape,
            attention_axes=attention_axes,
            sliding_window=sliding_window,
            flash_attention=flash_attention,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
            use_gate=use_gate,
            seed=seed,
            num_key_value_heads=num_key_value_heads,
            feature_map=feature_map,
            num_features=num_features,
            projection=projection,
            rotary_base=rotary_base,
            exact_window=exact_window,
            **kwargs,
        )

    def build(self, query_shape, value_shape, key_shape=None):
        self.build_projections(query_shape, value_shape, key_shape)
        self.build_features()

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
        heads, gate, counted, key_mask, segment_ids = self._sequence(
            query,
            value,
            key,
            (query_mask, value_mask, key_mask, attention_mask),
            use_causal_mask,
            segment_ids,
            positions,
        )
        queries, keys, values = heads
        if self.probe is not None:
            self.probe(self, queries, keys, counted, key_mask, use_causal_mask)
        parameters = self._feature_weights.tensors(wide_dtype(queries))

        output = self._attend(
            *heads, parameters, key_mask, segment_ids, use_causal_mask
        )
        if self._feature_map.adapts and training:
            moments = Moments.of(queries, keys, counted, key_mask)
            self._feature_weights.gather(moments)
        output = self._finished(output, gate, query, query_mask, training)
        if not return_attention_scores:
            return output

        lengths = ops.shape(queries)[1], ops.shape(keys)[1]
        visible = masks.visible(key_mask, use_causal_mask, segment_ids, *lengths)
        scores = self._scores(queries, keys, parameters, visible)
        scores = self._axes.unfold_scores(scores, query, value if key is None else key)
        return output, ops.cast(scores, self.compute_dtype)
