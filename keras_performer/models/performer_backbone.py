"""`PerformerBackbone`: tokens to contextual hidden states, in linear time."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_performer.layers import PerformerDecoder, PerformerEncoder
from keras_performer.layers.attention_kinds import current_attention
from keras_performer.layers.quantizable import ReversibleEmbedding
from keras_performer.models import presets
from keras_performer.models.backbone import Backbone, get_feature_maps
from keras_performer.models.block_stack import BlockStack, initializer, shifted


@keras.saving.register_keras_serializable(package="keras_performer")
class PerformerBackbone(Backbone):
    """Embeddings and a stack of `PerformerEncoder` or `PerformerDecoder` blocks.

    Token 0 is padding: it is masked everywhere and changes nothing. Sequences may be
    of any length. `from_preset` and `from_depth` make backbones of sensible sizes.

    Args:
        vocabulary_size: Number of token ids, padding included.
        num_layers: Number of blocks.
        num_heads: H, attention heads of a block.
        hidden_dim: F, features of a position; a multiple of `num_heads`, even.
        intermediate_dim: Hidden size of the feed-forward networks.
        dropout: Dropout rate.
        max_wavelength: The slowest of the wavelengths of sinusoidal positions, see
            `SinePositionEncoding`; the base of rotary ones, see `FastAttention`.
        feature_map: Feature map of the attention, `"relu"`, `"softmax"` (FAVOR+) or
            another of `feature_maps`, or a list with one for each block.
        num_features: M, random features of a head; `None` for D·log(D), rounded to a
            multiple of 64.
        seed: Integer that seeds weights, projections and dropout, or `None`.
        dtype: Dtype or dtype policy of the layers.
        causal: Whether a position attends only to itself and earlier ones. Then the
            blocks are `PerformerDecoder`s, and sequences can be streamed.
        positions: `"sinusoidal"`, `"rotary"` or `"learned"`. Defaults to `"rotary"`
            where `causal`, else to `"sinusoidal"`.
        max_sequence_length: The longest sequence, where positions are learned.
        exact_window: Number of nearest positions that get exact softmax attention
            besides, `None` for none, or a list with one for each block.
        num_key_value_heads: Hk, heads of keys and values, a divisor of `num_heads`;
            `None` for as many.
        attention: `"linear"`, linear attention, `"exact"`, softmax attention, or a list
            with one for each block. Where it is exact, `feature_map` and
            `exact_window` have no meaning.
        block: The kind of the blocks. `"gated"`: a short convolution before
            self-attention, normalized heads and a SiLU output gate, as in the linear
            models of today, and where `causal` a forget gate. `"plain"`: the
            Transformer's. Or a dictionary of some of `short_convolution`,
            `normalize_heads`, `output_gate` and `forget_gate`, see `PerformerEncoder`.
        activation: Activation of the feed-forward networks.
        normalize_first: Whether blocks normalize before attention and feed-forward
            networks, with a normalization after the last block (pre-norm); or after
            each, and the embeddings too (post-norm).
        normalization: `"layer_norm"` or `"rms_norm"`.
        feedforward: `"dense"` or `"gated"`, see `PerformerEncoder`.
        feedforward_chunk: Number of positions that a feed-forward network computes at a
            time, or `None` for all.
        remat: Whether the backward pass computes the activations of each block again
            instead of keeping them.
        tie_embeddings: Whether the token embedding in reverse, which gives logits, has
            the same weights.
        packed: Whether rows hold several sequences: then the input is a dictionary of
            `token_ids` and `segment_ids`, and no sequence attends to another.
        position_scale: Size of sinusoidal positions, or `None` for that of the embedded
            tokens, `F^-½`.
        **kwargs: Arguments of `keras.Model`, such as `name`.

    Call arguments:
        inputs: `token_ids`, an integer tensor of shape (B, T); where `packed`, a
            dictionary of it and `segment_ids`, an integer tensor of shape (B, T), where
            adjacent equal ids mark a segment: one sequence.

    Returns:
        Tensor of shape (B, T, F).

    Raises:
        ValueError: If a list has not one entry for each block, or the arguments of
            positions do not belong together.

    Example:

    >>> import numpy as np
    >>> backbone = PerformerBackbone(
    ...     vocabulary_size=257, num_layers=1, num_heads=2, hidden_dim=16,
    ...     intermediate_dim=32, seed=0,
    ... )
    >>> backbone(np.ones((1, 100), "int32")).shape
    TensorShape([1, 100, 16])
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
        causal: bool = False,
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
        packed: bool = False,
        position_scale: float | None = None,
        **kwargs: Any,
    ) -> None:
        if positions is None:
            positions = "rotary" if causal else "sinusoidal"
        options: dict[str, Any] = {
            "num_layers": num_layers,
            "num_heads": num_heads,
            "intermediate_dim": intermediate_dim,
            "dropout": dropout,
            "positions": positions,
            "max_wavelength": max_wavelength,
            "max_sequence_length": max_sequence_length,
            "position_scale": position_scale,
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

        # === Layers ===
        embedding = ReversibleEmbedding(
            vocabulary_size,
            hidden_dim,
            tie_weights=tie_embeddings,
            embeddings_initializer=initializer(hidden_dim, seed),
            mask_zero=True,
            reverse_dtype="float32",
            dtype=dtype,
            name="token_embedding",
        )
        stack = BlockStack(
            PerformerDecoder if causal else PerformerEncoder,
            "performer_decoder" if causal else "performer_encoder",
            seed=shifted(seed, 1),
            dropout_seed=seed,
            hidden_dim=hidden_dim,
            dtype=dtype,
            **options,
        )

        # === Functional model ===
        inputs = token_ids = keras.Input((None,), dtype="int32", name="token_ids")
        segments = {}
        if packed:
            segment_ids = keras.Input((None,), dtype="int32", name="segment_ids")
            inputs = {"token_ids": token_ids, "segment_ids": segment_ids}
            segments = {"segment_ids": segment_ids}
        x = stack.begin(embedding(token_ids), **segments)
        for layer in stack.blocks:
            x = layer(x, **segments)
        super().__init__(inputs=inputs, outputs=stack.end(x), **kwargs)

        # === Config ===
        self.token_embedding = embedding
        self.blocks = stack.blocks
        self._set_arguments(
            stack,
            vocabulary_size=vocabulary_size,
            hidden_dim=hidden_dim,
            seed=seed,
            causal=causal,
            tie_embeddings=tie_embeddings,
            packed=packed,
            **options,
        )

    @classmethod
    def from_preset(cls, preset: str, **arguments: Any) -> "PerformerBackbone":
        """A backbone of a known size, without trained weights.

        Args:
            preset: One of `presets.PRESETS`, such as `"small"`.
            **arguments: Arguments that are added to these or replace them.

        Raises:
            ValueError: If the preset is unknown, or `vocabulary_size` is missing.

        Example:

        >>> PerformerBackbone.from_preset("tiny", vocabulary_size=257).hidden_dim
        128
        """
        return cls(**presets.preset(preset, **arguments))

    @classmethod
    def from_depth(cls, depth: int, **arguments: Any) -> "PerformerBackbone":
        """A backbone whose sizes follow from its depth: see `presets.of_depth`.

        Args:
            depth: Number of blocks.
            **arguments: Arguments that are added to these or replace them.

        Raises:
            ValueError: If the depth is not positive, or `vocabulary_size` is missing.

        Example:

        >>> PerformerBackbone.from_depth(3, vocabulary_size=257).hidden_dim
        192
        """
        return cls(**presets.of_depth(depth, **arguments))

    def initial_state(self, batch_size):
        """The state of a causal stream before its first token.

        Its size does not depend on how long the stream becomes.

        Args:
            batch_size: B, the number of streams side by side.

        Returns:
            A tuple with the `StreamState` of each block.

        Raises:
            ValueError: If the backbone cannot stream.

        Example:

        >>> import numpy as np
        >>> backbone = PerformerBackbone(
        ...     vocabulary_size=257, num_layers=1, num_heads=2, hidden_dim=16,
        ...     intermediate_dim=32, causal=True, seed=0,
        ... )
        >>> token_ids = np.arange(1, 10)[None]
        >>> state = backbone.initial_state(batch_size=1)
        >>> start, state = backbone.stream(token_ids[:, :8], state)
        >>> last, state = backbone.stream(token_ids[:, 8:], state)
        >>> bool(np.allclose(backbone(token_ids)[:, 8:], last, atol=1e-5))
        True
        """
        self._check_streams()
        return tuple(block.initial_state(batch_size) for block in self.blocks)

    def stream(self, token_ids, state):
        """The hidden states of the next tokens of a stream.

        Padding leaves the state as it is: rows of unequal length are padded on the
        left.

        Args:
            token_ids: Integer tensor of shape (B, T), 0 where there is padding.
            state: The state from `initial_state` or from the call before.

        Returns:
            Tensor of shape (B, T, F), and the new state.

        Raises:
            ValueError: If the backbone cannot stream, or the state is another model's.
        """
        self._check_streams()
        mask = keras.ops.not_equal(token_ids, 0)
        x = self._stack.begin(
            self.token_embedding(token_ids),
            training=False,
            mask=mask,
            start_index=state[0].position,
        )
        states = []
        for block, before in zip(self.blocks, state, strict=True):
            x, after = block(
                x,
                decoder_padding_mask=mask,
                self_attention_cache=before,
                training=False,
            )
            states.append(after)
        return self._stack.end(x), tuple(states)

    def _check_streams(self):
        if not self.causal or self.positions == "sinusoidal":
            raise ValueError(
                "A stream needs a backbone with `causal=True`, whose positions are "
                "'rotary' or 'learned', which go on from a state. Received: "
                f"causal={self.causal}, positions={self.positions!r}"
            )
