"""`PerformerBackbone`: tokens to contextual vectors, in linear time."""

import keras

from keras_performer import feature_maps
from keras_performer.layers import PerformerDecoder, PerformerEncoder
from keras_performer.models.per_layer import per_layer
from keras_performer.models.positions import position_layer, rotary_base

INITIAL_STDDEV = 0.02


@keras.saving.register_keras_serializable(package="keras_performer")
class PerformerBackbone(keras.Model):
    """Embeddings and a stack of `PerformerEncoder` or `PerformerDecoder` blocks.

    Blocks normalize first, with a normalization after the last one. Token 0 is
    padding: it is masked everywhere and changes nothing. Sequences may be of any
    length.

    Args:
        vocabulary_size: Number of token ids, padding included.
        num_layers: Number of blocks.
        num_heads: H, attention heads of a block.
        hidden_dim: F, features of a position; a multiple of `num_heads`, even.
        intermediate_dim: Hidden size of the feed-forward networks.
        dropout: Dropout rate.
        max_wavelength: The slowest of the wavelengths of sinusoidal positions, see
            `SinusoidalPositions`; the base of rotary ones, see `FastAttention`.
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
        **kwargs: Arguments of `keras.Model`, such as `name`.

    Call arguments:
        token_ids: Integer tensor of shape (B, T).

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
        **kwargs,
    ):
        # === Layers ===
        if positions is None:
            positions = "rotary" if causal else "sinusoidal"
        if isinstance(feature_map, (list, tuple)):
            feature_map = [feature_maps.get(each) for each in feature_map]
        else:
            feature_map = feature_maps.get(feature_map)
        maps = per_layer("feature_map", feature_map, num_layers)
        windows = per_layer("exact_window", exact_window, num_layers)
        embedding = keras.layers.ReversibleEmbedding(
            vocabulary_size,
            hidden_dim,
            embeddings_initializer=_initializer(seed, 0),
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
        make_block = PerformerDecoder if causal else PerformerEncoder
        block_name = "performer_decoder" if causal else "performer_encoder"
        blocks = [
            make_block(
                intermediate_dim,
                num_heads,
                dropout=dropout,
                activation="gelu",
                kernel_initializer=_initializer(seed, index + 1),
                normalize_first=True,
                feature_map=maps[index],
                num_features=num_features,
                rotary_base=rotary_base(positions, max_wavelength),
                exact_window=windows[index],
                num_key_value_heads=num_key_value_heads,
                seed=None if seed is None else seed + index + 1,
                dtype=dtype,
                name=f"{block_name}_{index}",
            )
            for index in range(num_layers)
        ]
        norm = keras.layers.LayerNormalization(
            epsilon=1e-5, dtype=dtype, name="output_norm"
        )

        # === Functional model ===
        token_ids = keras.Input((None,), dtype="int32", name="token_ids")
        x = embedding(token_ids)
        if add_positions is not None:
            x = add_positions(x)
        x = embedding_dropout(x)
        for block in blocks:
            x = block(x)
        super().__init__(inputs=token_ids, outputs=norm(x), **kwargs)

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
        self.token_embedding = embedding
        self.blocks = blocks
        self._add_positions = add_positions
        self._norm = norm

    @property
    def redraws(self):
        """Whether the blocks have random projections that can be drawn anew."""
        maps = per_layer("feature_map", self.feature_map, self.num_layers)
        return any(each.draws_projection and not each.trainable for each in maps)

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
        """The vectors of a span of tokens, from the state before it.

        Padding leaves the state as it is: rows of unequal length are padded on the
        left.

        Args:
            token_ids: Integer tensor of shape (B, T), 0 where there is padding.
            state: What `initial_state` or the call before returned.

        Returns:
            Tensor of shape (B, T, F), and the new state.

        Raises:
            ValueError: If the backbone cannot stream, or the state is of another one.
        """
        self._check_streams()
        mask = keras.ops.not_equal(token_ids, 0)
        x = self.token_embedding(token_ids)
        if self._add_positions is not None:
            x = self._add_positions(x, mask=mask, start_index=state[0].position)
        states = []
        for block, before in zip(self.blocks, state, strict=True):
            x, after = block(
                x,
                decoder_padding_mask=mask,
                self_attention_cache=before,
                training=False,
            )
            states.append(after)
        return self._norm(x), tuple(states)

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
            "dtype": keras.dtype_policies.serialize(self.layers[-1].dtype_policy),
            "causal": self.causal,
            "positions": self.positions,
            "max_sequence_length": self.max_sequence_length,
            "exact_window": self.exact_window,
            "num_key_value_heads": self.num_key_value_heads,
            "name": self.name,
            "trainable": self.trainable,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        dtype = config.get("dtype")
        if isinstance(dtype, dict):
            config["dtype"] = keras.dtype_policies.deserialize(dtype)
        return cls(**config)

    def _check_streams(self):
        if not self.causal or self.positions == "sinusoidal":
            raise ValueError(
                "A stream needs a backbone with `causal=True`, whose positions are "
                "'rotary' or 'learned', which go on from a state. Received: "
                f"causal={self.causal}, positions={self.positions!r}"
            )


def _initializer(seed, index):
    seed = None if seed is None else seed + index
    return keras.initializers.TruncatedNormal(stddev=INITIAL_STDDEV, seed=seed)
