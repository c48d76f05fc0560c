"""Sizes of models, by name or by depth."""

from typing import Any

from keras_performer.layers.validation import check_size

HEAD_DIM = 64

PRESETS: dict[str, dict[str, Any]] = {
    # For trials; the sizes of BERT and GPT-2 where they have such names.
    "tiny": {
        "num_layers": 2,
        "num_heads": 2,
        "hidden_dim": 128,
        "intermediate_dim": 512,
    },
    "small": {
        "num_layers": 6,
        "num_heads": 8,
        "hidden_dim": 512,
        "intermediate_dim": 2048,
    },
    "base": {
        "num_layers": 12,
        "num_heads": 12,
        "hidden_dim": 768,
        "intermediate_dim": 3072,
    },
    "large": {
        "num_layers": 24,
        "num_heads": 16,
        "hidden_dim": 1024,
        "intermediate_dim": 4096,
    },
    # Of the appendix of arXiv 2009.14794.
    "protein": {
        "vocabulary_size": 30,
        "num_layers": 36,
        "num_heads": 8,
        "hidden_dim": 512,
        "intermediate_dim": 1024,
    },
    "imagenet64": {
        "vocabulary_size": 257,
        "num_layers": 6,
        "num_heads": 8,
        "hidden_dim": 512,
        "intermediate_dim": 2048,
        "causal": True,
    },
}


def preset(name: str, **arguments: Any) -> dict[str, Any]:
    """The arguments of a `PerformerBackbone` of a known size.

    Args:
        name: One of `PRESETS`.
        **arguments: Arguments that are added to the preset's or replace them.

    Returns:
        Dictionary of arguments.

    Raises:
        ValueError: If the name is unknown, or no `vocabulary_size` is given where the
            preset has none.

    Example:

    >>> preset("small", vocabulary_size=257)["hidden_dim"]
    512
    """
    if name not in PRESETS:
        raise ValueError(
            f"There is no preset {name!r}. Known presets: {', '.join(PRESETS)}; "
            "another size is made by `PerformerBackbone.from_depth`, or by naming its "
            "arguments."
        )
    return _with_vocabulary({**PRESETS[name], **arguments})


def of_depth(depth: int, **arguments: Any) -> dict[str, Any]:
    """The arguments of a `PerformerBackbone` whose sizes follow from its depth.

    Width grows with depth: F = 64·depth, with heads of 64 features and feed-forward
    networks of 4·F features. So one number sets the size of a model, from a trial (2)
    to the smallest BERT and GPT-2 (12) and beyond; the number of weights grows as its
    cube.

    Args:
        depth: Number of blocks.
        **arguments: Arguments that are added to these sizes or replace them.

    Returns:
        Dictionary of arguments.

    Raises:
        ValueError: If the depth is not positive, or no `vocabulary_size` is given.

    Example:

    >>> of_depth(12, vocabulary_size=257)["hidden_dim"]
    768
    """
    check_size("depth", depth)
    hidden_dim = HEAD_DIM * depth
    sizes = {
        "num_layers": depth,
        "num_heads": depth,
        "hidden_dim": hidden_dim,
        "intermediate_dim": 4 * hidden_dim,
    }
    return _with_vocabulary({**sizes, **arguments})


def _with_vocabulary(arguments: dict[str, Any]) -> dict[str, Any]:
    if "vocabulary_size" not in arguments:
        raise ValueError(
            "A size says nothing of the tokens: pass `vocabulary_size` too, such as "
            "`ByteTokenizer().vocabulary_size`."
        )
    return arguments
