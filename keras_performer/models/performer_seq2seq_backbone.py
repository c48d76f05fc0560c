"""`PerformerSeq2SeqBackbone`: an encoder, and a decoder that attends to it."""

import keras

from keras_performer.layers import PerformerDecoder
from keras_performer.layers.normalizations import normalization_layer
from keras_performer.layers.transformer_block import (
    current_attention,
    renamed_attention,
)
from keras_performer.models.block_stack import (
    BLOCK_EPSILON,
    INITIAL_STDDEV,
    block_stack,
)
from keras_performer.models.performer_backbone import PerformerBackbone
from keras_performer.models.positions import position_layer, rotary_base
from keras_performer.models.seq2seq_stream import Seq2SeqStream


@keras.saving.register_keras_serializable(package="keras_performer")
class PerformerSeq2SeqBackbone(Seq2SeqStream):
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
        max_wavelength: As for `PerformerBackbone`.
        feature_map: As for `FastAttention`, or a list with one for each block of a
            stack.
        num_features: As for `FastAttention`.
        seed: Integer that seeds weights, projections and dropout, or `None`.
        dtype: Dtype or dtype policy of the layers.
        positions: `"sinusoidal"`, `"rotary"` or `"learned"`, in both stacks. Defaults
            to `"sinusoidal"` in the encoder and `"rotary"` in the decoder.
        max_sequence_length: The longest sequence of each stack, where positions are
            learned.
        exact_window: As for `FastAttention`, in self-attention, or a list with one for
            each block of a stack.
        num_key_value_heads: As for `FastAttention`, in self-attention.
        attention: As for `PerformerBackbone`. A decoder of which a block is exact
            cannot stream.
        activation: As for `PerformerBackbone`.
        normalize_first: As for `PerformerBackbone`.
        normalization: As for `PerformerBackbone`.
        feedforward: As for `PerformerBackbone`.
        feedforward_chunk: As for `PerformerBackbone`.
        remat: As for `PerformerBackbone`.
        tie_embeddings: As for `PerformerBackbone`.
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
        **kwargs,
    ):
        attention = current_attention(attention)
        # === Layers ===
        block_options = {
            "intermediate_dim": intermediate_dim,
            "num_heads": num_heads,
            "dropout": dropout,
            "feature_map": feature_map,
            "num_features": num_features,
            "exact_window": exact_window,
            "num_key_value_heads": num_key_value_heads,
            "attention": attention,
            "activation": activation,
            "normalize_first": normalize_first,
            "normalization": normalization,
            "feedforward": feedforward,
            "feedforward_chunk": feedforward_chunk,
            "remat": remat,
            "dtype": dtype,
        }
        encoder = PerformerBackbone(
            vocabulary_size,
            num_layers,
            hidden_dim=hidden_dim,
            max_wavelength=max_wavelength,
            seed=seed,
            positions=positions,
            max_sequence_length=max_sequence_length,
            tie_embeddings=tie_embeddings,
            name="encoder",
            **block_options,
        )
        decoder_positions = "rotary" if positions is None else positions
        # Beyond the seeds of the encoder, so that no two weights start equal.
        decoder_seed = None if seed is None else seed + num_layers + 2
        add_positions = position_layer(
            decoder_positions,
            max_wavelength=max_wavelength,
            max_sequence_length=max_sequence_length,
            stddev=INITIAL_STDDEV,
            seed=None if seed is None else decoder_seed + num_layers,
            dtype=dtype,
            name="decoder_position_embedding",
        )
        embedding_dropout = keras.layers.Dropout(
            dropout, seed=decoder_seed, dtype=dtype, name="decoder_embedding_dropout"
        )
        blocks = block_stack(
            PerformerDecoder,
            "performer_decoder",
            num_layers,
            seed=decoder_seed,
            rotary_base=rotary_base(decoder_positions, max_wavelength),
            **{**block_options, "feature_map": encoder.feature_map},
        )
        norm_name = "output_norm" if normalize_first else "embedding_norm"
        norm = normalization_layer(
            normalization,
            epsilon=BLOCK_EPSILON,
            dtype=dtype,
            name=f"decoder_{norm_name}",
        )

        # === Functional model ===
        encoder_token_ids, decoder_token_ids = (
            keras.Input((None,), dtype="int32", name=name)
            for name in ("encoder_token_ids", "decoder_token_ids")
        )
        source = encoder(encoder_token_ids)
        x = encoder.token_embedding(decoder_token_ids)
        if add_positions is not None:
            x = add_positions(x)
        if not normalize_first:
            x = norm(x)
        x = embedding_dropout(x)
        for block in blocks:
            x = block(x, source)
        super().__init__(
            inputs={
                "encoder_token_ids": encoder_token_ids,
                "decoder_token_ids": decoder_token_ids,
            },
            outputs={
                "encoder_sequence_output": source,
                "decoder_sequence_output": norm(x) if normalize_first else x,
            },
            **kwargs,
        )

        # === Config ===
        self.vocabulary_size = vocabulary_size
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.hidden_dim = hidden_dim
        self.intermediate_dim = intermediate_dim
        self.dropout = dropout
        self.max_wavelength = max_wavelength
        self.feature_map = encoder.feature_map
        self.num_features = num_features
        self.seed = seed
        self.positions = positions
        self.max_sequence_length = max_sequence_length
        self.exact_window = exact_window
        self.num_key_value_heads = num_key_value_heads
        self.attention = attention
        self.activation = encoder.activation
        self.normalize_first = normalize_first
        self.normalization = normalization
        self.feedforward = feedforward
        self.feedforward_chunk = feedforward_chunk
        self.remat = remat
        self.tie_embeddings = tie_embeddings
        self.encoder = encoder
        self.token_embedding = encoder.token_embedding
        self.decoder_blocks = blocks
        self._add_positions = add_positions
        self._norm = norm

    @property
    def redraws(self):
        """Whether the blocks have random projections that can be drawn anew."""
        return self.encoder.redraws

    def get_config(self):
        # The encoder has all arguments, and what they were resolved to.
        config = self.encoder.get_config()
        del config["causal"], config["packed"]
        return {
            **config,
            "positions": self.positions,
            "name": self.name,
            "trainable": self.trainable,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        changed = {"dtype": keras.dtype_policies.get(config.get("dtype"))}
        if "attention" in config:
            changed["attention"] = renamed_attention(config["attention"])
        return cls(**{**config, **changed})
