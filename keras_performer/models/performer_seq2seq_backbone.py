"""`PerformerSeq2SeqBackbone`: an encoder, and a decoder that attends to it."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from keras_performer.layers import PerformerDecoder
from keras_performer.layers.attention_kinds import current_attention
from keras_performer.models.backbone import Backbone, get_feature_maps
from keras_performer.models.block_stack import BlockStack, shifted
from keras_performer.models.performer_backbone import PerformerBackbone


@keras.saving.register_keras_serializable(package="keras_performer")
class PerformerSeq2SeqBackbone(Backbone):
    """An encoder of a source, and a stack of `PerformerDecoder` blocks beside it.

    The encoder is a `PerformerBackbone`. Each block of the decoder attends to the
    tokens before and, by cross-attention, to the whole source. Both take linear time
    and share the token embedding. Token 0 is padding: it is masked everywhere and
    changes nothing.

    Args:
        vocabulary_size: Number of token ids, padding included.
        num_layers: Number of blocks of the encoder, and of the decoder.
        num_heads: H, attention heads of a block.
        hidden_dim: F, features of a position; a multiple of `num_heads`, even.
        intermediate_dim: Hidden size of the feed-forward networks.
        dropout: Dropout rate.
        max_wavelength: The slowest of the wavelengths of sinusoidal positions, the base
            of rotary ones.
        feature_map: Feature map of the attention, `"relu"`, `"softmax"` (FAVOR+) or
            another of `feature_maps`, or a list with one for each block of a stack.
        num_features: M, random features of a head; `None` for D·log(D), rounded to a
            multiple of 64.
        seed: Integer that seeds weights, projections and dropout, or `None`.
        dtype: Dtype or dtype policy of the layers.
        positions: `"sinusoidal"`, `"rotary"` or `"learned"`, in both stacks. Defaults
            to `"sinusoidal"` in the encoder and `"rotary"` in the decoder.
        max_sequence_length: The longest sequence of each stack, where positions are
            learned.
        exact_window: Number of nearest positions that get exact softmax attention
            besides, in self-attention; `None` for none, or a list with one for each
            block of a stack.
        num_key_value_heads: Hk, heads of keys and values in self-attention, a divisor
            of `num_heads`; `None` for as many.
        attention: `"linear"`, `"exact"`, or a list with one for each block of a stack.
            A decoder with an exact block cannot stream.
        block: The kind of the blocks. `"gated"`: a short convolution before
            self-attention, normalized heads and a SiLU output gate, as in the linear
            models of today, and in the decoder a forget gate. `"plain"`: the
            Transformer's. Or a dictionary of some of `short_convolution`,
            `normalize_heads`, `output_gate` and `forget_gate`, see `PerformerEncoder`.
        activation: Activation of the feed-forward networks.
        normalize_first: Whether blocks are pre-norm or, if `False`, post-norm.
        normalization: `"layer_norm"` or `"rms_norm"`.
        feedforward: `"dense"` or `"gated"`, see `PerformerEncoder`.
        feedforward_chunk: Number of positions that a feed-forward network computes at a
            time, or `None` for all.
        remat: Whether the backward pass computes the activations of each block again
            instead of keeping them.
        tie_embeddings: Whether the token embedding in reverse, which gives logits, has
            the same weights.
        position_scale: Size of sinusoidal positions, or `None` for that of the embedded
            tokens, `F^-½`.
        **kwargs: Arguments of `keras.Model`, such as `name`.

    Call arguments:
        inputs: Dictionary of `encoder_token_ids`, an integer tensor of shape (B, S),
            and `decoder_token_ids`, one of shape (B, T).

    Returns:
        Dictionary of `encoder_sequence_output`, a tensor of shape (B, S, F), and
        `decoder_sequence_output`, one of shape (B, T, F).

    Raises:
        ValueError: If a list has not one entry for each block, or the arguments of
            positions do not belong together.

    Example:

    >>> import numpy as np
    >>> backbone = PerformerSeq2SeqBackbone(
    ...     vocabulary_size=257, num_layers=1, num_heads=2, hidden_dim=16,
    ...     intermediate_dim=32, seed=0,
    ... )
    >>> outputs = backbone({
    ...     "encoder_token_ids": np.ones((1, 100), "int32"),
    ...     "decoder_token_ids": np.ones((1, 7), "int32"),
    ... })
    >>> outputs["decoder_sequence_output"].shape
    TensorShape([1, 7, 16])
    """

    def __init__(
        self,
        vocabulary_size: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        intermediate_dim: int,
        dropout: float = 0.1,
        max_wavelength: float = 10000,
        feature_map: Any = "relu",
        num_features: int | None = None,
        seed: int | None = None,
        dtype: Any = None,
        *,
        positions: str | None = None,
        max_sequence_length: int | None = None,
        exact_window: int | Sequence[int | None] | None = None,
        num_key_value_heads: int | None = None,
        attention: str | Sequence[str] = "linear",
        block: str | Mapping[str, Any] = "gated",
        activation: Any = "gelu",
        normalize_first: bool = True,
        normalization: str = "layer_norm",
        feedforward: str = "dense",
        feedforward_chunk: int | None = None,
        remat: bool = False,
        tie_embeddings: bool = True,
        position_scale: float | None = None,
        **kwargs: Any,
    ) -> None:
        options: dict[str, Any] = {
            "num_layers": num_layers,
            "num_heads": num_heads,
            "intermediate_dim": intermediate_dim,
            "dropout": dropout,
            "max_wavelength": max_wavelength,
            "max_sequence_length": max_sequence_length,
            "attention": current_attention(attention),
            "block": block,
            "feature_map": get_feature_maps(feature_map),
            "num_features": num_features,
            "exact_window": exact_window,
            "num_key_value_heads": num_key_value_heads,
            "activation": keras.activations.get(activation),
            "normalize_first": normalize_first,
            "normalization": normalization,
            "feedforward": feedforward,
            "feedforward_chunk": feedforward_chunk,
            "remat": remat,
        }
        encoder_options: dict[str, Any] = {
            "vocabulary_size": vocabulary_size,
            "hidden_dim": hidden_dim,
            "seed": seed,
            "positions": positions,
            "position_scale": position_scale,
            "tie_embeddings": tie_embeddings,
            **options,
        }

        # === Layers ===
        encoder = PerformerBackbone(dtype=dtype, name="encoder", **encoder_options)
        # Beyond the seeds of the encoder, so that no two weights start equal.
        decoder_seed = shifted(seed, num_layers + 2)
        stack = BlockStack(
            PerformerDecoder,
            "performer_decoder",
            prefix="decoder_",
            positions="rotary" if positions is None else positions,
            position_scale=None if positions is None else position_scale,
            seed=decoder_seed,
            dropout_seed=decoder_seed,
            hidden_dim=hidden_dim,
            dtype=dtype,
            **options,
        )

        # === Functional model ===
        inputs = {
            name: keras.Input((None,), dtype="int32", name=name)
            for name in ("encoder_token_ids", "decoder_token_ids")
        }
        source = encoder(inputs["encoder_token_ids"])
        x = encoder.token_embedding(inputs["decoder_token_ids"], shared=True)
        x = stack.begin(x)
        for layer in stack.blocks:
            x = layer(x, source)
        outputs = {
            "encoder_sequence_output": source,
            "decoder_sequence_output": stack.end(x),
        }
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)

        # === Config ===
        self.encoder = encoder
        self.token_embedding = encoder.token_embedding
        self.decoder_blocks = stack.blocks
        self._set_arguments(stack, **encoder_options)

    def initial_state(self, encoder_token_ids):
        """The state of the decoder's stream before its first token.

        The source is read here, once: the state has the sums that cross-attention needs
        of it. Its size depends neither on the source's length nor on how long the
        stream becomes.

        Args:
            encoder_token_ids: Integer tensor of shape (B, S), 0 where there is padding.

        Returns:
            A tuple with a pair for each block: its `StreamState`, and the
            `AttentionState` of the source.

        Raises:
            ValueError: If the decoder cannot stream.

        Example:

        >>> import numpy as np
        >>> backbone = PerformerSeq2SeqBackbone(
        ...     vocabulary_size=257, num_layers=1, num_heads=2, hidden_dim=16,
        ...     intermediate_dim=32, seed=0,
        ... )
        >>> source, target = np.arange(1, 100)[None], np.arange(1, 10)[None]
        >>> whole = backbone(
        ...     {"encoder_token_ids": source, "decoder_token_ids": target}
        ... )["decoder_sequence_output"]
        >>> state = backbone.initial_state(source)
        >>> start, state = backbone.stream(target[:, :8], state)
        >>> last, state = backbone.stream(target[:, 8:], state)
        >>> bool(np.allclose(whole[:, 8:], last, atol=1e-5))
        True
        """
        if self.positions == "sinusoidal":
            raise ValueError(
                "A stream needs a decoder whose positions are 'rotary' or 'learned', "
                "which go on from a state. Received: positions='sinusoidal'"
            )
        batch = ops.shape(encoder_token_ids)[0]
        source = self.encoder(encoder_token_ids, training=False)
        mask = ops.not_equal(encoder_token_ids, 0)
        states = []
        for block in self.decoder_blocks:
            _, *state = block(
                source[:, :0],  # no token yet
                source,
                encoder_padding_mask=mask,
                self_attention_cache=block.initial_state(batch),
                cross_attention_cache=block.initial_cross_state(batch),
                cross_attention_cache_update_index=0,
                training=False,
            )
            states.append(tuple(state))
        return tuple(states)

    def stream(self, decoder_token_ids, state):
        """The decoder's hidden states of the next tokens of a stream.

        Padding leaves the state as it is: rows of unequal length are padded on the
        left.

        Args:
            decoder_token_ids: Integer tensor of shape (B, T), 0 where there is padding.
            state: The state from `initial_state` or from the call before.

        Returns:
            Tensor of shape (B, T, F), and the new state.

        Raises:
            ValueError: If the state is another model's.
        """
        mask = ops.not_equal(decoder_token_ids, 0)
        x = self._stack.begin(
            self.token_embedding(decoder_token_ids),
            training=False,
            mask=mask,
            start_index=state[0][0].position,
        )
        states = []
        for block, (before, of_source) in zip(self.decoder_blocks, state, strict=True):
            x, *after = block(
                x,
                x[:, :0],  # the source is in its state
                decoder_padding_mask=mask,
                self_attention_cache=before,
                cross_attention_cache=of_source,
                training=False,
            )
            states.append(tuple(after))
        return self._stack.end(x), tuple(states)
