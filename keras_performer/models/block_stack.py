"""`BlockStack`: the layers of one encoder or decoder of a backbone."""

from collections.abc import Mapping

import keras

from keras_performer.layers import (
    PerformerDecoder,
    PositionEmbedding,
    SinePositionEncoding,
)
from keras_performer.layers.sublayers import ResidualNormal, normalization_layer

POSITIONS = ("sinusoidal", "rotary", "learned")
EPSILON = 1e-5
# The kinds of blocks: what `PerformerEncoder` and `PerformerDecoder` are made with.
BLOCKS = {
    "plain": {},
    "gated": {
        "short_convolution": 4,
        "normalize_heads": True,
        "output_gate": "silu",
    },
}
BLOCK_OPTIONS = (*BLOCKS["gated"], "forget_gate")


def block_options(block, causal):
    """The arguments of the blocks of a kind.

    Args:
        block: A name in `BLOCKS`, or a dictionary of some of `BLOCK_OPTIONS`.
        causal: Whether the blocks are causal: then `"gated"` ones forget, too.

    Returns:
        Dictionary of arguments of `PerformerEncoder` or `PerformerDecoder`.

    Raises:
        ValueError: If a name is unknown.

    Example:

    >>> block_options("gated", causal=True)["forget_gate"]
    True
    """
    if isinstance(block, str) and block in BLOCKS:
        forgets = {"forget_gate": True} if block == "gated" and causal else {}
        return BLOCKS[block] | forgets
    if not isinstance(block, Mapping) or not set(block) <= set(BLOCK_OPTIONS):
        raise ValueError(
            f"`block` must be one of {tuple(BLOCKS)}, or a dictionary of some of "
            f"{BLOCK_OPTIONS}. Received: block={block!r}"
        )
    return dict(block)


class BlockStack:
    """Makes the layers between embedded tokens and hidden states.

    The model that calls these layers owns them: it passes embedded tokens to `begin`,
    calls each of `blocks`, and passes what comes out to `end`.

    Args:
        block_type: `PerformerEncoder` or `PerformerDecoder`.
        block_name: What the names of the blocks start with.
        num_layers: Number of blocks.
        hidden_dim: F.
        block: As for `block_options`.
        positions: `"sinusoidal"`, `"rotary"` or `"learned"`.
        max_wavelength: The largest wavelength of sinusoidal positions, the base of
            rotary ones.
        max_sequence_length: The longest sequence where positions are learned, or
            `None`.
        position_scale: Size of sinusoidal positions, or `None` for that of the
            embedded tokens, `F^-½`.
        attention: `"linear"` or `"exact"`, or a list with one for each block.
        feature_map: A feature map, or a list with one for each block.
        exact_window: Positions of the exact window or `None`, or a list with one for
            each block. Blocks of exact attention ignore it.
        dropout: Dropout rate, of the embedded tokens too.
        normalize_first: Whether the normalization stands behind the blocks (pre-norm)
            or before them (post-norm).
        normalization: `"layer_norm"` or `"rms_norm"`.
        seed: Integer that seeds the first block; each following block and the learned
            positions have the next integer. Or `None`.
        dropout_seed: Integer that seeds the dropout of embedded tokens, or `None`.
        dtype: Dtype or dtype policy of the layers.
        prefix: What the names of all layers but the blocks start with.
        **arguments: Further arguments of every block.

    Raises:
        ValueError: If a list has not one entry for each block, `positions` is unknown,
            or `max_sequence_length` or `position_scale` does not go with it.

    Example:

    >>> from keras_performer.layers import PerformerEncoder
    >>> stack = BlockStack(
    ...     PerformerEncoder, "block", num_layers=2, hidden_dim=16, block="gated",
    ...     num_heads=2, intermediate_dim=32,
    ...     positions="rotary", max_wavelength=10000, max_sequence_length=None,
    ...     attention=["linear", "exact"], feature_map="softmax", exact_window=None,
    ...     dropout=0.0, normalize_first=True, normalization="layer_norm", seed=0,
    ...     dropout_seed=0, dtype=None,
    ... )
    >>> [(block.name, block.attention) for block in stack.blocks]
    [('block_0', 'linear'), ('block_1', 'exact')]
    """

    def __init__(
        self,
        block_type,
        block_name,
        *,
        num_layers,
        hidden_dim,
        block,
        positions,
        max_wavelength,
        max_sequence_length,
        position_scale=None,
        attention,
        feature_map,
        exact_window,
        dropout,
        normalize_first,
        normalization,
        seed,
        dropout_seed,
        dtype,
        prefix="",
        **arguments,
    ):
        self.normalize_first = normalize_first
        self.positions = _position_layer(
            positions,
            max_wavelength,
            max_sequence_length,
            position_scale,
            hidden_dim,
            seed=shifted(seed, num_layers),
            dtype=dtype,
            name=f"{prefix}position_embedding",
        )
        self.dropout = keras.layers.Dropout(
            dropout, seed=dropout_seed, dtype=dtype, name=f"{prefix}embedding_dropout"
        )
        attentions = _per_block("attention", attention, num_layers)
        maps = _per_block("feature_map", feature_map, num_layers)
        windows = _per_block("exact_window", exact_window, num_layers)
        arguments |= block_options(block, causal=block_type is PerformerDecoder)
        self.blocks = [
            block_type(
                attention=attentions[index],
                feature_map=maps[index],
                exact_window=windows[index] if attentions[index] == "linear" else None,
                rotary_base=max_wavelength if positions == "rotary" else None,
                dropout=dropout,
                layer_norm_epsilon=EPSILON,
                kernel_initializer=ResidualNormal(
                    stddev(hidden_dim), 2 * num_layers, shifted(seed, index)
                ),
                normalize_first=normalize_first,
                normalization=normalization,
                seed=shifted(seed, index),
                dtype=dtype,
                name=f"{block_name}_{index}",
                **arguments,
            )
            for index in range(num_layers)
        ]
        norm_name = "output_norm" if normalize_first else "embedding_norm"
        self.norm = normalization_layer(
            normalization, epsilon=EPSILON, dtype=dtype, name=f"{prefix}{norm_name}"
        )

    def begin(self, x, training=None, **position_arguments):
        """What the first block gets.

        Args:
            x: Embedded tokens, tensor of shape (B, T, F).
            training: Whether dropout acts.
            **position_arguments: Arguments of the layer that adds positions, such as
                `segment_ids`, `mask` and `start_index`.

        Returns:
            Tensor of shape (B, T, F).
        """
        if self.positions is not None:
            x = self.positions(x, **position_arguments)
        if not self.normalize_first:
            x = self.norm(x)
        return self.dropout(x, training=training)

    def end(self, x):
        """The hidden states of shape (B, T, F), from what the last block returned."""
        return self.norm(x) if self.normalize_first else x


def stddev(hidden_dim):
    """Standard deviation of starting values: `F^-½`, by which kernels keep sizes.

    GPT-2's 0.02 is about half of that at its width of 768, and a quarter at 128, where
    a small model spends hundreds of steps on growing its kernels.
    """
    return hidden_dim**-0.5


def initializer(hidden_dim, seed):
    """The initializer of embeddings and of kernels that are not a block's."""
    return keras.initializers.TruncatedNormal(stddev=stddev(hidden_dim), seed=seed)


def shifted(seed, offset):
    """A seed plus an offset, so that no two layers draw the same; `None` for none."""
    return None if seed is None else seed + offset


def _per_block(name, value, num_layers):
    """A list with the value of each block, from that list or one value for all."""
    if not isinstance(value, (list, tuple)):
        return [value] * num_layers
    if len(value) != num_layers:
        raise ValueError(
            f"`{name}` must be one value for all layers, or a list with one for each "
            f"of the {num_layers}. Received: {len(value)} entries, {name}={value!r}"
        )
    return list(value)


def _position_layer(
    positions,
    max_wavelength,
    max_sequence_length,
    position_scale,
    hidden_dim,
    seed,
    **options,
):
    """The layer that adds positions; `None` where attention rotates by them."""
    if positions not in POSITIONS:
        raise ValueError(
            f"`positions` must be one of {POSITIONS}. Received: positions={positions!r}"
        )
    if (max_sequence_length is not None) != (positions == "learned"):
        raise ValueError(
            "`max_sequence_length` is for `positions='learned'`, which need it; other "
            "positions have no longest sequence. Received: positions="
            f"{positions!r}, max_sequence_length={max_sequence_length}"
        )
    if position_scale is not None and positions != "sinusoidal":
        raise ValueError(
            "`position_scale` is for `positions='sinusoidal'`; learned positions have "
            "the size that they are trained to, and rotary ones none. Received: "
            f"positions={positions!r}, position_scale={position_scale}"
        )
    scale = stddev(hidden_dim) if position_scale is None else position_scale
    if positions == "learned":
        return PositionEmbedding(
            max_sequence_length, stddev=scale, seed=seed, **options
        )
    if positions == "sinusoidal":
        return SinePositionEncoding(max_wavelength, scale=scale, **options)
    return None
