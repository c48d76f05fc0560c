"""`PerformerEncoder`: a Transformer encoder block with attention in linear time."""

import keras

from keras_performer.layers.attention_masks import block_key_mask
from keras_performer.layers.transformer_block import TransformerBlock
from keras_performer.ops.backend.keras_internals import get_keras_mask


@keras.saving.register_keras_serializable(package="keras_performer")
class PerformerEncoder(TransformerBlock):
    """Encoder block: linear-time self-attention and a feed-forward network.

    Takes the place of `keras_hub.layers.TransformerEncoder`: the same constructor,
    call and sublayers, with `FastAttention` where that has `MultiHeadAttention`.

    Args:
        intermediate_dim: Hidden size of the feed-forward network.
        num_heads: H, the number of attention heads, of `F // H` features each.
        dropout: Dropout rate of attention and of both residual branches.
        activation: Activation of the feed-forward network.
        layer_norm_epsilon: Epsilon of the layer normalizations.
        kernel_initializer: Initializer of the kernels.
        bias_initializer: Initializer of the biases.
        normalize_first: Whether a branch's input is normalized (pre-norm), rather
            than the sum after it (post-norm).
        normalization: `"layer_norm"` or `"rms_norm"`.
        feedforward: `"dense"`, or `"gated"`: then the hidden features are multiplied
            by as many others, to which the activation is applied (arXiv 2002.05202).
        feedforward_chunk: How many positions at a time go through the feed-forward
            network; the backward pass computes its hidden features again instead of
            keeping them. `None` for all at once.
        attention: `"linear"`, by `FastAttention`, or `"exact"`, softmax attention
            by `ExactAttention`, for which the feature map has no meaning.
        feature_map: Name of a feature map, such as `"softmax"` (FAVOR+) or `"relu"`, or
            a `keras_performer.feature_maps.FeatureMap`.
        num_features: M, the number of random features. Defaults to `D log D`, rounded
            to a multiple of 64.
        projection: How the random projection is drawn: `"orthogonal"` or another name
            that `ops.projections.get` knows, or a callable
            `(seed, num_features, head_dim) -> array`.
        rotary_base: Base of rotary positions, such as 10,000, or `None` for none.
        exact_window: Number of nearest positions to which attention is exact, or
            `None`.
        num_key_value_heads: Hk, the number of heads of keys and values. Defaults to
            `num_heads`.
        short_convolution: Number of positions that a depthwise convolution mixes into
            the input of self-attention, such as 4, or `None` for none; see
            `ShortConvolution`. It reaches to both sides.
        forget_gate: Whether self-attention forgets; see `FastAttention`.
        normalize_heads: Whether the heads' outputs of self-attention are normalized;
            see `FastAttention`.
        output_gate: Activation of a gate that the heads' outputs of self-attention are
            multiplied by, such as `"silu"`, or `None` for no gate.
        remat: Whether the backward pass computes the block again instead of keeping
            what it computed: exactly, dropout included.
        seed: Integer that seeds the projection and dropout, or `None`.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Call arguments:
        inputs: Tensor of shape (B, T, F).
        padding_mask: Boolean tensor of shape (B, T), True at the positions that count.
            Defaults to the Keras mask of `inputs`.
        attention_mask: A key mask of shape (B, 1, T).
        training: Whether dropout is active.
        return_attention_scores: Whether to return the attention matrix too, of shape
            (B, H, T, T). It costs O(T²).
        segment_ids: Integer tensor of shape (B, T), for several sequences in a row,
            each of which attends to itself alone. Or `None`.

    Returns:
        Tensor of shape (B, T, F); with `return_attention_scores`, a pair of it and
        the scores.

    Raises:
        ValueError: If a size is not positive, F is less than `num_heads`, or
            `attention_mask` differs between queries.

    Example:

    >>> import numpy as np
    >>> block = PerformerEncoder(intermediate_dim=32, num_heads=2, seed=0)
    >>> block(np.zeros((1, 1000, 16), "float32")).shape
    TensorShape([1, 1000, 16])
    """

    _num_seeds = 3

    def build(self, inputs_shape):
        self._convolution = self._short_convolution(inputs_shape, causal=False)
        self._self_attention_layer = self._self_attention(
            "self_attention_layer", inputs_shape, 0
        )
        self._self_attention_layer_norm = self._norm(
            "self_attention_layer_norm", inputs_shape
        )
        self._self_attention_dropout = self._drop("self_attention_dropout", 1)
        self._feedforward_layer_norm = self._norm(
            "feedforward_layer_norm", inputs_shape
        )
        self._build_feedforward(inputs_shape, 2)

    def call(
        self,
        inputs,
        padding_mask=None,
        attention_mask=None,
        training=None,
        return_attention_scores=False,
        *,
        segment_ids=None,
    ):
        if padding_mask is None:
            padding_mask = get_keras_mask(inputs)

        mask = None
        if self._convolution is not None:
            mask = block_key_mask("", padding_mask, attention_mask)

        def attend(x):
            x = self._convolve(x, mask, segment_ids)
            output = self._self_attention_layer(
                x,
                x,
                query_mask=padding_mask,
                value_mask=padding_mask,
                attention_mask=attention_mask,
                training=training,
                return_attention_scores=return_attention_scores,
                segment_ids=segment_ids,
            )
            return output if return_attention_scores else (output, None)

        def forward(x):
            x, scores = self._residual("self_attention", x, attend, training)
            return self._feedforward(x, training), scores

        if return_attention_scores:
            return forward(inputs)
        return self._call_with_remat(lambda x: forward(x)[0], (inputs,), training)

    def compute_output_shape(self, inputs_shape):
        return inputs_shape

    def compute_output_spec(
        self,
        inputs,
        padding_mask=None,
        attention_mask=None,
        training=None,
        return_attention_scores=False,
        *,
        segment_ids=None,
    ):
        output = keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return output
        batch, length, _ = inputs.shape
        scores = (batch, self.num_heads, length, length)
        return output, keras.KerasTensor(scores, dtype=self.compute_dtype)
