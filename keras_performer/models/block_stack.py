"""`block_stack`: the blocks of a model, alike but for what is given for each."""

import keras

from keras_performer import feature_maps
from keras_performer.models.per_layer import per_layer

INITIAL_STDDEV = 0.02
BLOCK_EPSILON = 1e-5


def block_stack(
    block_type, name, num_layers, seed, attention, feature_map, exact_window, **options
):
    """Makes the blocks of an encoder or a decoder.

    Args:
        block_type: `PerformerEncoder` or `PerformerDecoder`.
        name: What the names of the blocks start with.
        num_layers: Number of blocks.
        seed: Integer that seeds the first block, whose followers have those that
            follow; or `None`.
        attention: As for the block, or a list with one for each.
        feature_map: As for the block, or a list with one for each.
        exact_window: As for the block, or a list with one for each. Blocks whose
            attention is exact have none.
        **options: The same arguments for all blocks.

    Returns:
        List of blocks.

    Raises:
        ValueError: If a list has not one entry for each block.
    """
    kinds = per_layer("attention", attention, num_layers)
    maps = per_layer("feature_map", feature_map, num_layers)
    windows = per_layer("exact_window", exact_window, num_layers)
    return [
        block_type(
            attention=kinds[index],
            feature_map=maps[index],
            exact_window=windows[index] if kinds[index] == "linear" else None,
            layer_norm_epsilon=BLOCK_EPSILON,
            kernel_initializer=initializer(seed, index),
            seed=None if seed is None else seed + index,
            name=f"{name}_{index}",
            **options,
        )
        for index in range(num_layers)
    ]


def get_feature_maps(identifiers):
    """The feature map of an identifier, or a list of them of a list."""
    if isinstance(identifiers, (list, tuple)):
        return [feature_maps.get(identifier) for identifier in identifiers]
    return feature_maps.get(identifiers)


def initializer(seed, index):
    """The initializer of kernels and embeddings, each index with its own draws."""
    seed = None if seed is None else seed + index
    return keras.initializers.TruncatedNormal(stddev=INITIAL_STDDEV, seed=seed)
