"""`FastAttention`: multi-head attention in time linear in the sequence length."""

import math

import keras
from keras import ops

from keras_performer import feature_maps
from keras_performer.feature_maps import Moments
from keras_performer.layers import attention_masks as masks
from keras_performer.layers.attention_arguments import check_optional_size
from keras_performer.layers.feature_weights import FeatureWeights
from keras_performer.layers.multi_head_layer import MultiHeadLayer
from keras_performer.ops import (
    bidirectional_attention,
    causal_attention,
    kernel_attention_scores,
    projections,
)
from keras_performer.ops.chunking import wide_dtype


@keras.saving.register_keras_serializable(package="keras_performer")
class FastAttention(MultiHeadLayer):
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
        feature_map: `"softmax"` (FAVOR+), `"relu"`, `"hyperbolic"`, `"learned"` or
            another name that `feature_maps.get` knows, or a
            `keras_performer.feature_maps.FeatureMap`.
        num_features: M, the number of random features, where the map draws a
            projection. Defaults to `D log D`, rounded to a multiple of 64.
        projection: How the projection is drawn: `"orthogonal"`, `"gaussian"`,
            `"regularized_orthogonal"`, or a callable
            `(seed, num_features, head_dim) -> array`. Used by maps that draw one.
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
            **kwargs,
        )
        check_optional_size("num_features", num_features)
        self._feature_map = feature_maps.get(feature_map)
        if num_features is not None and not self._feature_map.draws_projection:
            raise ValueError(
                f"The feature map {self._feature_map!r} draws no projection, so "
                "`num_features` has no meaning for it: leave it out. Received: "
                f"num_features={num_features}"
            )
        self._num_features = num_features
        self._draw_projection = projections.get(projection)

    @property
    def feature_map(self):
        return self._feature_map

    @property
    def num_features(self):
        """M, or `None` where the feature map draws no projection."""
        if not self._feature_map.draws_projection:
            return None
        return self._num_features or default_num_features(self._key_dim)

    @property
    def redraws(self):
        """Whether the layer has a random projection that can be drawn anew."""
        return self._feature_map.draws_projection and not self._feature_map.trainable

    def build(self, query_shape, value_shape, key_shape=None):
        self.build_projections(query_shape, value_shape, key_shape)
        self._feature_weights = FeatureWeights(
            self,
            self._feature_map,
            self._drawn,
            self._num_heads,
            self._key_dim,
            self.seed,
        )

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
        with masks.detached(query, value, key):
            queries = self._query_dense(query)  # (B, T, H, D)
            keys = self._key_dense(key)  # (B, S, H, D)
            values = self._value_dense(value)  # (B, S, H, Dv)
            gate = self._gate_dense(query) if self._use_gate else None
        parameters = self._feature_weights.tensors(wide_dtype(queries))

        attend = causal_attention if use_causal_mask else bidirectional_attention
        output = attend(
            queries, keys, values, self._feature_map, parameters, key_mask=key_mask
        )
        if training and self._feature_map.adapts:
            moments = Moments.of(queries, keys, query_mask, key_mask)
            self._feature_weights.gather(moments)
        output = self._dropout_layer(output, training=training)
        if gate is not None:
            output = ops.multiply(output, gate)
        output = self._output_dense(output)
        masks.set_keras_mask(output, query_mask)
        if not return_attention_scores:
            return output

        visible = masks.visible(key_mask, use_causal_mask, ops.shape(queries)[1])
        scores = kernel_attention_scores(
            queries, keys, self._feature_map, parameters, visible
        )
        return output, ops.cast(scores, self.compute_dtype)

    def redraw_projection(self, seed):
        """Draws the projection anew; the kernel it estimates stays the same.

        Args:
            seed: Non-negative integer, or a sequence of them such as `(seed, step)`.

        Raises:
            ValueError: If the layer is not built, or has no random projection.
        """
        if not self.built:
            raise ValueError(
                f"The layer {self.name!r} has no projection yet: build it, or call it "
                "once, before drawing anew."
            )
        if not self.redraws:
            raise ValueError(
                f"The feature map {self._feature_map!r} of the layer {self.name!r} has "
                "no random projection that could be drawn anew."
            )
        self._feature_weights.redraw(seed)

    def get_config(self):
        return {
            **super().get_config(),
            "feature_map": feature_maps.serialize(self._feature_map),
            "num_features": self._num_features,
            "projection": projections.serialize(self._draw_projection),
        }

    def _drawn(self, seed):
        return self._feature_map.draw(
            self._draw_projection, seed, self.num_features, self._key_dim
        )


def default_num_features(head_dim):
    """`D log D`, rounded to a multiple of 64, at least 64.

    `O(D log D)` features suffice for a uniform approximation of the attention matrix
    (theorem 4 of arXiv 2009.14794).

    Example:

    >>> [default_num_features(head_dim) for head_dim in (8, 32, 64, 128)]
    [64, 128, 256, 640]
    """
    return max(64, round(head_dim * math.log(head_dim) / 64) * 64)
