"""`PerformerDecoder`: a Transformer decoder block with attention in linear time."""

import inspect

import keras
from keras import ops

from keras_performer.layers import decoder_cache
from keras_performer.layers.attention_masks import block_key_mask
from keras_performer.layers.stream_state import BlockState
from keras_performer.layers.transformer_block import TransformerBlock
from keras_performer.ops.backend.keras_internals import get_keras_mask


@keras.saving.register_keras_serializable(package="keras_performer")
class PerformerDecoder(TransformerBlock):
    """Decoder block: causal self-attention, cross-attention, a feed-forward network.

    Takes the place of `keras_hub.layers.TransformerDecoder`: the same constructor,
    call and sublayers, with `FastAttention` where that has `MultiHeadAttention`.
    Cross-attention is there if the first call, or `build`, has an encoder sequence.

    A cache is a state of constant size, however long the sequence becomes: the sums of
    what attention has seen. It counts every position that it is given and cannot be
    overwritten, so prompts of unequal length are padded on the left, and are given
    without their last token, which is the first one of the loop.

    Args:
        intermediate_dim: Hidden size of the feed-forward network.
        num_heads: H, the number of attention heads, of `F // H` features each.
        dropout: Dropout rate of attention and of the residual branches.
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
            by `ExactAttention`, for which the feature map has no meaning, and which
            has no caches.
        feature_map: Name of a feature map, such as `"softmax"` (FAVOR+) or `"relu"`, or
            a `keras_performer.feature_maps.FeatureMap`.
        num_features: M, the number of random features. Defaults to `D log D`, rounded
            to a multiple of 64.
        projection: How the random projection is drawn: `"orthogonal"` or another name
            that `ops.projections.get` knows, or a callable
            `(seed, num_features, head_dim) -> array`.
        rotary_base: Base of rotary positions in self-attention, such as 10,000, or
            `None` for none.
        exact_window: Number of nearest positions to which self-attention is exact, or
            `None`.
        num_key_value_heads: Hk, the number of heads of keys and values in
            self-attention. Defaults to `num_heads`.
        short_convolution: Number of positions that a depthwise convolution mixes into
            the input of self-attention, such as 4, or `None` for none; see
            `ShortConvolution`. It is causal.
        forget_gate: Whether self-attention forgets; see `FastAttention`.
        normalize_heads: Whether the heads' outputs of self-attention are normalized;
            see `FastAttention`.
        output_gate: Activation of a gate that the heads' outputs of self-attention are
            multiplied by, such as `"silu"`, or `None` for no gate.
        remat: Whether the backward pass computes the block again instead of keeping
            what it computed: exactly, dropout included.
        seed: Integer that seeds the projections and dropout, or `None`.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Call arguments:
        decoder_sequence: Tensor of shape (B, T, F).
        encoder_sequence: Tensor of shape (B, S, Fs), if there is cross-attention.
        decoder_padding_mask: Boolean tensor of shape (B, T), True at the positions
            that count, or its Keras mask. What it hides leaves a cache as it is.
        decoder_attention_mask: A key mask of shape (B, 1, T).
        encoder_padding_mask: Boolean tensor of shape (B, S), or its Keras mask.
        encoder_attention_mask: A key mask of shape (B, 1, S).
        self_attention_cache: State from `initial_state` or the call before.
        self_attention_cache_update_index: Position of `decoder_sequence[:, 0]`: how
            many positions were given before. The state knows it by itself, so it may
            be left out; one that would count positions twice is an error, where it is
            known (in a traced function it is not).
        cross_attention_cache: State of the source, from `initial_cross_state` or the
            call before.
        cross_attention_cache_update_index: 0 to sum up `encoder_sequence`, `None` to
            attend to `cross_attention_cache` as it is, masks included.
        use_causal_mask: Whether a position sees only those at and before it.
        training: Whether dropout is active.
        segment_ids: Integer tensor of shape (B, T), for several sequences in a row,
            each of which attends to itself alone; not with a cache. Or `None`.

    Returns:
        Tensor of shape (B, T, F); with caches, a tuple of it, the new
        `self_attention_cache` and, where the block has cross-attention, the
        `cross_attention_cache`.

    Raises:
        ValueError: If a size is not positive, F is less than `num_heads`, an attention
            mask differs between queries, or caches are not as above.

    Example:

    >>> import numpy as np
    >>> block = PerformerDecoder(intermediate_dim=32, num_heads=2, seed=0)
    >>> book = np.random.default_rng(0).random((1, 9, 16), "float32")
    >>> whole = block(book)
    >>> state = block.initial_state(batch_size=1)
    >>> start, state = block(book[:, :8], self_attention_cache=state)
    >>> last, state = block(book[:, 8:], self_attention_cache=state)
    >>> bool(np.allclose(whole[:, 8:], last, atol=1e-5))
    True
    """

    _num_seeds = 5
    # A state stays in float32 where a policy computes in half precision.
    _autocasts_arguments = False

    def build(self, decoder_sequence_shape, encoder_sequence_shape=None):
        shape = decoder_sequence_shape
        self._convolution = self._short_convolution(shape, causal=True)
        self._self_attention_layer = self._self_attention("self_attention", shape, 0)
        self._self_attention_layer_norm = self._norm("self_attention_layer_norm", shape)
        self._self_attention_dropout = self._drop("self_attention_dropout", 1)
        self._cross_attention_layer = None
        if encoder_sequence_shape is not None:
            self._cross_attention_layer = self._cross_attention(
                "cross_attention", shape, encoder_sequence_shape, 2
            )
            self._cross_attention_layer_norm = self._norm(
                "cross_attention_layer_norm", shape
            )
            self._cross_attention_dropout = self._drop("cross_attention_dropout", 3)
        self._build_feedforward(shape, 4)
        self._feedforward_layer_norm = self._norm("feedforward_layer_norm", shape)

    def call(
        self,
        decoder_sequence,
        encoder_sequence=None,
        decoder_padding_mask=None,
        decoder_attention_mask=None,
        encoder_padding_mask=None,
        encoder_attention_mask=None,
        self_attention_cache=None,
        self_attention_cache_update_index=None,
        cross_attention_cache=None,
        cross_attention_cache_update_index=None,
        use_causal_mask=True,
        training=None,
        *,
        segment_ids=None,
    ):
        has_cross = self._cross_attention_layer is not None
        decoder_cache.check_source(self.name, has_cross, encoder_sequence)
        decoder_cache.check_caches(
            self_attention_cache,
            self_attention_cache_update_index,
            cross_attention_cache,
            cross_attention_cache_update_index,
            has_cross,
        )
        x, query_mask, key_mask = self._masked(
            "decoder_", decoder_sequence, decoder_padding_mask, decoder_attention_mask
        )
        inputs, source_mask = (x,), None
        if has_cross:
            source, _, source_mask = self._masked(
                "encoder_",
                encoder_sequence,
                encoder_padding_mask,
                encoder_attention_mask,
            )
            inputs = (x, source)

        if self_attention_cache is not None:
            decoder_cache.check_streamable(
                use_causal_mask, segment_ids, training, self.dropout, self.attention
            )
            decoder_cache.check_update_index(
                self_attention_cache_update_index, self_attention_cache
            )

        def attend(x):
            layer = self._self_attention_layer
            if self_attention_cache is not None:
                return self._advance(x, self_attention_cache, key_mask)
            x = self._convolve(x, key_mask, segment_ids)
            output = layer(
                x,
                x,
                query_mask=query_mask,
                value_mask=key_mask,
                use_causal_mask=use_causal_mask,
                training=training,
                segment_ids=segment_ids,
            )
            return output, None

        def attend_to_source(x, source):
            layer, state = self._cross_attention_layer, cross_attention_cache
            if self_attention_cache is not None:
                if cross_attention_cache_update_index is not None:
                    state = layer.summarize(source, key_mask=source_mask)
                return layer.attend(x, state), state
            masks = {"query_mask": query_mask, "value_mask": source_mask}
            return layer(x, source, training=training, **masks), None

        def forward(x, source=None):
            x, state = self._residual("self_attention", x, attend, training)
            source_state = None
            if has_cross:
                x, source_state = self._residual(
                    "cross_attention",
                    x,
                    lambda x: attend_to_source(x, source),
                    training,
                )
            x = self._feedforward(x, training)
            return _with_caches(x, state, source_state)

        if self_attention_cache is not None:
            return forward(*inputs)
        return self._call_with_remat(forward, inputs, training)

    def initial_state(self, batch_size):
        """The `self_attention_cache` before the first position.

        Args:
            batch_size: B.

        Returns:
            A pytree of tensors with leading B, of constant size.

        Raises:
            ValueError: If the block is not built.
        """
        self._check_built()
        attention = self._self_attention_layer.initial_state(batch_size)
        if self._convolution is None:
            return attention
        return BlockState(attention, self._convolution.initial_state(batch_size))

    def initial_cross_state(self, batch_size):
        """The `cross_attention_cache` of an empty source, which attends to nothing.

        Args:
            batch_size: B.

        Returns:
            A pytree of tensors with leading B, of constant size.

        Raises:
            ValueError: If the block is not built with cross-attention.
        """
        self._check_built()
        if self._cross_attention_layer is None:
            raise ValueError(
                f"The block {self.name!r} has no cross-attention: build it with "
                "`encoder_sequence_shape`, or call it with an `encoder_sequence`."
            )
        return self._cross_attention_layer.initial_state(batch_size).attention

    def compute_output_shape(self, decoder_sequence_shape):
        return decoder_sequence_shape

    def compute_output_spec(self, *args, **kwargs):
        given = inspect.signature(self.call).bind(*args, **kwargs).arguments
        output = keras.KerasTensor(
            given["decoder_sequence"].shape, dtype=self.compute_dtype
        )
        caches = [given.get(f"{of}_attention_cache") for of in ("self", "cross")]
        return keras.tree.map_structure(
            lambda x: keras.KerasTensor(x.shape, dtype=x.dtype),
            _with_caches(output, *caches),
        )

    @classmethod
    def from_config(cls, config):
        # The config of KerasHub's block has the shapes that it was built with; Keras
        # saves those of ours beside its config.
        config = dict(config)
        shape = config.pop("decoder_sequence_shape", None)
        source_shape = config.pop("encoder_sequence_shape", None)
        block = super().from_config(config)
        if shape is not None:
            block.build(shape, source_shape)
        return block

    def _advance(self, x, state, mask):
        """Self-attention's output for the next positions, and the state after them."""
        layer = self._self_attention_layer
        advance = layer.step if x.shape[1] == 1 else layer.prefill
        if self._convolution is None:
            return advance(x, state, mask=mask)
        if not isinstance(state, BlockState):
            raise ValueError(
                "`self_attention_cache` must be what `initial_state` or a call of such "
                "a block returned, a `BlockState`, as it has a short convolution. "
                f"Received: {type(state).__name__}"
            )
        mixed, convolution = self._convolution.advance(x, state.convolution, mask)
        output, attention = advance(x + mixed, state.attention, mask=mask)
        return output, BlockState(attention, convolution)

    def _masked(self, name, sequence, padding_mask, attention_mask):
        """A sequence in the compute dtype, its padding mask, and its mask of keys."""
        if padding_mask is None:
            padding_mask = get_keras_mask(sequence)
        key_mask = block_key_mask(name, padding_mask, attention_mask)
        return ops.cast(sequence, self.compute_dtype), padding_mask, key_mask

    def _check_built(self):
        decoder_cache.check_linear(self.attention)
        if not self.built:
            raise ValueError(
                f"The block {self.name!r} is not built yet: build it, or call it once "
                "without a cache, before asking for its state."
            )


def _with_caches(output, self_attention_cache, cross_attention_cache):
    """What a call returns: the caches there are after the output."""
    caches = (self_attention_cache, cross_attention_cache)
    given = tuple(cache for cache in caches if cache is not None)
    return (output, *given) if given else output
