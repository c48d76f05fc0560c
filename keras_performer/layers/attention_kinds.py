"""The kinds of attention that a block may have, by their names and former ones."""

import warnings

import keras

ATTENTIONS = ("linear", "exact")


def current_attention(attention, stacklevel=3):
    """The name of a kind of attention, with a warning where an old one is given.

    Args:
        attention: A name, or a list with one for each block.
        stacklevel: As in `warnings.warn`.
    """
    renamed = renamed_attention(attention)
    if renamed != attention:
        warnings.warn(
            "`attention='favor'` is now called `attention='linear'`.",
            DeprecationWarning,
            stacklevel=stacklevel,
        )
    return renamed


def renamed_attention(attention):
    """`current_attention` without a warning, for configs of before."""
    return keras.tree.map_structure(
        lambda name: "linear" if name == "favor" else name, attention
    )
