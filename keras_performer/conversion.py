"""`copy_weights`: weights of a model with exact attention, moved by their paths."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras

# What Keras calls these layers where they have no name of their own.
_ATTENTION = {
    "exact_attention",
    "fast_attention",
    "grouped_query_attention",
    "group_query_attention",
    "multi_head_attention",
}


class CopiedWeights(NamedTuple):
    """What `copy_weights` did, as paths of weights.

    Attributes:
        copied: Pairs of a path in the source and the path in the target.
        kept: Paths in the target that have no counterpart and stay as they were: the
            random projection of `FastAttention`, states of dropout.
        left: Paths in the source that have no counterpart in the target.
    """

    copied: list[tuple[str, str]]
    kept: list[str]
    left: list[str]

    def __str__(self) -> str:
        lines = [f"{len(self.copied)} weights copied"]
        lines += [f"kept as it was: {path}" for path in self.kept]
        lines += [f"left in the source: {path}" for path in self.left]
        return "\n".join(lines)


def copy_weights(source: Any, target: Any) -> CopiedWeights:
    """Copies weights to a layer or model in which attention has been exchanged.

    `FastAttention` has the weights of `keras.layers.MultiHeadAttention` under the same
    paths, and more: its projection. So `load_weights` of a file without that is
    refused, and `set_weights` counts and orders them otherwise. Here each weight goes
    where its path leads. Layers whose names Keras has made up are told apart by
    their order: both models have to be built alike.

    Args:
        source: A built layer or model, such as one with `MultiHeadAttention`.
        target: A built layer or model, such as the same with `FastAttention`.

    Returns:
        `CopiedWeights`. Print it.

    Raises:
        ValueError: If the source or target is not built, a trainable weight of either
            has no counterpart, or two have different shapes. Then nothing is copied.

    Example:

    >>> from keras_performer.layers import FastAttention
    >>> exact = keras.layers.MultiHeadAttention(num_heads=2, key_dim=4)
    >>> exact.build((None, None, 8), (None, None, 8))
    >>> linear = FastAttention(num_heads=2, key_dim=4, name="linear")
    >>> linear.build((None, None, 8), (None, None, 8))
    >>> print(copy_weights(exact, linear))
    8 weights copied
    kept as it was: linear/projection
    """
    for name, layer in (("source", source), ("target", target)):
        if not layer.built:
            raise ValueError(
                f"`{name}` has no weights yet: build it, or call it once. Received: "
                f"{name}={layer!r}"
            )
    sources, targets = dict(_by_place(source)), dict(_by_place(target))
    pairs = [(sources[place], targets[place]) for place in sources if place in targets]
    left = [w for place, w in sources.items() if place not in targets]
    kept = [w for place, w in targets.items() if place not in sources]
    _check(pairs, left, kept)
    for weight, other in pairs:
        other.assign(keras.ops.convert_to_numpy(weight))
    return CopiedWeights(
        [(weight.path, other.path) for weight, other in pairs],
        [weight.path for weight in kept],
        [weight.path for weight in left],
    )


def _by_place(layer: Any) -> Iterator[tuple[tuple[str, int], Any]]:
    """Weights by their path without made-up names, and how many had it before."""
    seen: dict[str, int] = {}
    for weight in layer.weights:
        path = "/".join(_kind(part) for part in _below(layer, weight.path).split("/"))
        seen[path] = seen.get(path, -1) + 1
        yield (path, seen[path]), weight


def _below(layer: Any, path: str) -> str:
    """The path of a weight below the layer, whose own name may be another."""
    return path.removeprefix(f"{layer.path or layer.name}/")


def _kind(part: str) -> str:
    name = re.sub(r"_\d+$", "", part)
    return "attention" if name in _ATTENTION else name


def _check(pairs: list[tuple[Any, Any]], left: list[Any], kept: list[Any]) -> None:
    wrong = [
        f"{weight.path} {tuple(weight.shape)} and {other.path} {tuple(other.shape)}"
        for weight, other in pairs
        if weight.shape != other.shape
    ]
    wrong += [f"{w.path}, of the source alone" for w in left if w.trainable]
    wrong += [f"{w.path}, of the target alone" for w in kept if w.trainable]
    if wrong:
        raise ValueError(
            "The trainable weights of `source` and `target` must be alike, under the "
            "same paths: give both models the same arguments and the same names of "
            "layers, in the same order. Received: " + "; ".join(wrong)
        )
