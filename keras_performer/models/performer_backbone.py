"""`PerformerBackbone`: tokens to contextual vectors, in linear time."""

import keras

from keras_performer import feature_maps
from keras_performer.layers import PerformerDecoder, PerformerEncoder
from keras_performer.layers.normalizations import normalization_layer
from keras_performer.layers.transformer_block import (
    current_attention,
    renamed_attention,
)
from keras_performer.models import presets
from keras_performer.models.block_stack import (
    BLOCK_EPSILON,
    INITIAL_STDDEV,
    block_stack,
    get_feature_maps,
    initializer,
)
from keras_performer.models.causal_stream import CausalStream
from keras_performer.models.positions import position_layer, rotary_base


@keras.saving.register_keras_serializable(package="keras_performer")
class PerformerBackbone(CausalStream):
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
        feature_map: As for `FastAttention`, or a list with one for each block.
        num_features: As for `FastAttention`.
        seed: Integer that seeds weights, projections and dropout, or `None`.
        dtype: Dtype or dtype policy of the layers.
        causal: Whether a position sees only those at and before it: then the blocks
            are `PerformerDecoder`s, and sequences can be streamed.
        positions: `"sinusoidal"`, `"rotary"` or `"learned"`. Defaults to `"rotary"`
            where `causal`, else to `"sinusoidal"`.
        max_sequence_length: The longest sequence, where positions are learned.
        exact_window: As for `FastAttention`, or a list with one for each block.
        num_key_value_heads: As for `FastAttention`.
        attention: `"linear"`, linear attention, `"exact"`, softmax attention, or a list
            with one for each block. Where it is exact, `feature_map` and
            `exact_window` have no meaning.
        activation: Activation of the feed-forward networks.
        normalize_first: Whether blocks normalize before attention and feed-forward
            networks, with a normalization after the last block (pre-norm); or after
            each, and the embeddings too (post-norm).
        normalization: `"layer_norm"` or `"rms_norm"`.
        feedforward: `"dense"` or `"gated"`, as for `PerformerEncoder`.
        feedforward_chunk: As for `PerformerEncoder`.
        remat: Whether the backward pass computes each block again instead of keeping
            what it computed.
        tie_embeddings: Whether the token embedding in reverse, which gives logits, has
            the same weights.
        packed: Whether rows hold several sequences: then the input is a dictionary of
            `token_ids` and `segment_ids`, and none sees another.
        **kwargs: Arguments of `keras.Model`, such as `name`.

    Call arguments:
        inputs: `token_ids`, an integer tensor of shape (B, T); where `packed`, a
            dictionary of it and `segment_ids`, of the same shape, whose runs of equal
            ids are sequences.

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
        vocabulary_size,
        num_layers,
        num_heads,
        hidden_dim,
        intermediate_dim,
        dropout=0.1,
        max_wavelength=10000,
        feature_map="softmax",
        num_features=None,
        seed=None,
        dtype=None,
        *,
        causal=False,
        positions=None,
        max_sequence_length=None,
        exact_window=None,
        num_key_value_heads=None,
        attention="linear",
        activation="gelu",
        normalize_first=True,
        normalization="layer_norm",
        feedforward="dense",
        feedforward_chunk=None,
        remat=False,
        tie_embeddings=True,
        packed=False,
        **kwargs,
    ):
        attention = current_attention(attention)
        # === Layers ===
        if positions is None:
            positions = "rotary" if causal else "sinusoidal"
        feature_map = get_feature_maps(feature_map)
        embedding = keras.layers.ReversibleEmbedding(
            vocabulary_size,
            hidden_dim,
            tie_weights=tie_embeddings,
            embeddings_initializer=initializer(seed, 0),
            mask_zero=True,
            reverse_dtype="float32",
            dtype=dtype,
            name="token_embedding",
        )
        add_positions = position_layer(
            positions,
            max_wavelength=max_wavelength,
            max_sequence_length=max_sequence_length,
            stddev=INITIAL_STDDEV,
            seed=None if seed is None else seed + num_layers + 1,
            dtype=dtype,
            name="position_embedding",
        )
        embedding_dropout = keras.layers.Dropout(
            dropout, seed=seed, dtype=dtype, name="embedding_dropout"
        )
        blocks = block_stack(
            PerformerDecoder if causal else PerformerEncoder,
            "performer_decoder" if causal else "performer_encoder",
            num_layers,
            seed=None if seed is None else seed + 1,
            attention=attention,
            feature_map=feature_map,
            exact_window=exact_window,
            intermediate_dim=intermediate_dim,
            num_heads=num_heads,
            dropout=dropout,
            activation=activation,
            normalize_first=normalize_first,
            normalization=normalization,
            feedforward=feedforward,
            feedforward_chunk=feedforward_chunk,
            num_features=num_features,
            rotary_base=rotary_base(positions, max_wavelength),
            num_key_value_heads=num_key_value_heads,
            remat=remat,
            dtype=dtype,
        )
        norm = normalization_layer(
            normalization,
            epsilon=BLOCK_EPSILON,
            dtype=dtype,
            name="output_norm" if normalize_first else "embedding_norm",
        )

        # === Functional model ===
        token_ids = keras.Input((None,), dtype="int32", name="token_ids")
        inputs, segments = token_ids, {}
        if packed:
            segment_ids = keras.Input((None,), dtype="int32", name="segment_ids")
            inputs = {"token_ids": token_ids, "segment_ids": segment_ids}
            segments = {"segment_ids": segment_ids}
        x = embedding(token_ids)
        if add_positions is not None:
            x = add_positions(x, **segments)
        if not normalize_first:
            x = norm(x)
        x = embedding_dropout(x)
        for block in blocks:
            x = block(x, **segments)
        outputs = norm(x) if normalize_first else x
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)

        # === Config ===
        self.vocabulary_size = vocabulary_size
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.hidden_dim = hidden_dim
        self.intermediate_dim = intermediate_dim
        self.dropout = dropout
        self.max_wavelength = max_wavelength
        self.feature_map = feature_map
        self.num_features = num_features
        self.seed = seed
        self.causal = causal
        self.positions = positions
        self.max_sequence_length = max_sequence_length
        self.exact_window = exact_window
        self.num_key_value_heads = num_key_value_heads
        self.attention = attention
        self.activation = keras.activations.get(activation)
        self.normalize_first = normalize_first
        self.normalization = normalization
        self.feedforward = feedforward
        self.feedforward_chunk = feedforward_chunk
        self.remat = remat
        self.tie_embeddings = tie_embeddings
        self.packed = packed
        self.token_embedding = embedding
        self.blocks = blocks
        self._add_positions = add_positions
        self._norm = norm

    @property
    def redraws(self):
        """Whether the blocks have random projections that can be drawn anew."""
        maps = [x.feature_map for x in self.blocks if x.attention == "linear"]
        return any(each.draws_projection and not each.trainable for each in maps)

    @classmethod
    def from_preset(cls, preset, **arguments):
        """A backbone of a known size, without trained weights.

        Args:
            preset: One of `presets.PRESETS`, such as `"small"`.
            **arguments: Arguments that are added, or differ.

        Raises:
            ValueError: If the preset is unknown, or `vocabulary_size` is missing.

        Example:

        >>> PerformerBackbone.from_preset("tiny", vocabulary_size=257).hidden_dim
        128
        """
        return cls(**presets.preset(preset, **arguments))

    @classmethod
    def from_depth(cls, depth, **arguments):
        """A backbone whose sizes follow from its depth: see `presets.of_depth`.

        Args:
            depth: Number of blocks.
            **arguments: Arguments that are added, or differ.

        Raises:
            ValueError: If the depth is not positive, or `vocabulary_size` is missing.

        Example:

        >>> PerformerBackbone.from_depth(3, vocabulary_size=257).hidden_dim
        192
        """
        return cls(**presets.of_depth(depth, **arguments))

    def get_config(self):
        return {
            "vocabulary_size": self.vocabulary_size,
            "num_layers": self.num_layers,
            "num_heads": self.num_heads,
            "hidden_dim": self.hidden_dim,
            "intermediate_dim": self.intermediate_dim,
            "dropout": self.dropout,
            "max_wavelength": self.max_wavelength,
            "feature_map": keras.tree.map_structure(
                feature_maps.serialize, self.feature_map
            ),
            "num_features": self.num_features,
            "seed": self.seed,
            "dtype": keras.dtype_policies.serialize(self._norm.dtype_policy),
            "causal": self.causal,
            "positions": self.positions,
            "max_sequence_length": self.max_sequence_length,
            "exact_window": self.exact_window,
            "num_key_value_heads": self.num_key_value_heads,
            "attention": self.attention,
            "activation": keras.activations.serialize(self.activation),
            "normalize_first": self.normalize_first,
            "normalization": self.normalization,
            "feedforward": self.feedforward,
            "feedforward_chunk": self.feedforward_chunk,
            "remat": self.remat,
            "tie_embeddings": self.tie_embeddings,
            "packed": self.packed,
            "name": self.name,
            "trainable": self.trainable,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        changed = {"dtype": keras.dtype_policies.get(config.get("dtype"))}
        if "attention" in config:
            changed["attention"] = renamed_attention(config["attention"])
        return cls(**{**config, **changed})
