"""`FastAttention`: multi-head attention in time linear in the sequence length."""

import keras
from keras import ops

from keras_performer.feature_maps import Moments
from keras_performer.layers import attention_masks as masks
from keras_performer.layers.feature_map_layer import FeatureMapLayer
from keras_performer.ops import (
    bidirectional_attention,
    causal_attention,
    kernel_attention_scores,
    recurrent,
)
from keras_performer.ops.chunking import wide_dtype


@keras.saving.register_keras_serializable(package="keras_performer")
class FastAttention(FeatureMapLayer):
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
        attention_axes: `None` or 1: attention is over the only sequence axis.
        sliding_window: Not available in linear attention; must be `None`.
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
    ):
        key = value if key is None else key
        key_mask = masks.merge_key_masks(value_mask, key_mask, attention_mask)
        (queries, keys, values), gate = self._heads(query, key, value)
        if self.probe is not None:
            self.probe(self, queries, keys, query_mask, key_mask, use_causal_mask)
        parameters = self._feature_weights.tensors(wide_dtype(queries))

        attend = causal_attention if use_causal_mask else bidirectional_attention
        output = attend(
            queries, keys, values, self._feature_map, parameters, key_mask=key_mask
        )
        if training and self._feature_map.adapts:
            moments = Moments.of(queries, keys, query_mask, key_mask)
            self._feature_weights.gather(moments)
        output = self._dropout_layer(output, training=training)
        output = self._joined(output, gate)
        masks.set_keras_mask(output, query_mask)
        if not return_attention_scores:
            return output

        visible = masks.visible(key_mask, use_causal_mask, ops.shape(queries)[1])
        scores = kernel_attention_scores(
            queries, keys, self._feature_map, parameters, visible
        )
        return output, ops.cast(scores, self.compute_dtype)

    def initial_state(self, batch_size):
        """The state of a causal stream before its first position.

        Its shape does not depend on how long the stream becomes.

        Args:
            batch_size: B, the number of streams side by side.

        Returns:
            `keras_performer.ops.AttentionState`, a pytree of tensors with leading B.

        Raises:
            ValueError: If the layer is not built.

        Example:

        >>> import numpy as np
        >>> layer = FastAttention(num_heads=2, key_dim=8, seed=0)
        >>> book = np.random.default_rng(0).random((1, 9, 16), "float32")
        >>> whole = layer(book, book, use_causal_mask=True)
        >>> state = layer.initial_state(batch_size=1)
        >>> start, state = layer.prefill(book[:, :8], state)
        >>> last, state = layer.step(book[:, 8:], state)
        >>> bool(np.allclose(whole[:, 8:], last, atol=1e-5))
        True
        """
        size = self._feature_map.size(self._key_dim, self.feature_parameters)
        dtype = "float64" if self.compute_dtype == "float64" else "float32"
        heads = self._num_key_value_heads
        return recurrent.initial_state(batch_size, heads, size, self._value_dim, dtype)

    def prefill(self, x, state, mask=None):
        """Causal self-attention of a span, from the state before it.

        What `call` with `use_causal_mask=True` gives for the whole, span by span.

        Args:
            x: Tensor of shape (B, T, F).
            state: What `initial_state` or the call before returned.
            mask: Boolean tensor of shape (B, T), True at the positions that count, or
                `None`. What it hides leaves the state as it is: rows of unequal length
                are padded on the left.

        Returns:
            Output of shape (B, T, F), or (B, T, *output_shape), and the new state.

        Raises:
            ValueError: If the layer is not built, or the state is of another shape.
        """
        return self._attend_from(recurrent.prefill, x, state, mask)

    def step(self, x, state, mask=None):
        """Causal self-attention of one position, in constant time and memory.

        Args:
            x: Tensor of shape (B, 1, F).
            state: As for `prefill`.
            mask: Boolean tensor of shape (B, 1), or `None`.

        Returns:
            Output of shape (B, 1, F), or (B, 1, *output_shape), and the new state.

        Raises:
            ValueError: As `prefill`, or if there is not one position.
        """
        return self._attend_from(recurrent.step, x, state, mask)

    def _attend_from(self, attend, x, state, mask):
        self._check_built("streaming")
        heads, gate = self._heads(x, x, x)
        parameters = self._feature_weights.tensors(wide_dtype(heads[0]))
        output, state = attend(state, *heads, self._feature_map, parameters, mask)
        return self._joined(output, gate), state

    def _heads(self, query, key, value):
        """Queries (B, T, H, D), keys (B, S, Hk, D), values (B, S, Hk, Dv); the gate."""
        with masks.detached(query, value, key):
            gate = self._gate_dense(query) if self._use_gate else None
            heads = (
                self._query_dense(query),
                self._key_dense(key),
                self._value_dense(value),
            )
        return heads, gate

    def _joined(self, output, gate):
        """The output of the heads, (B, T, H, Dv), gated and projected."""
        if gate is not None:
            output = ops.multiply(output, gate)
        return self._output_dense(output)
