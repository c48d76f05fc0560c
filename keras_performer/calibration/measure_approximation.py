"""How far a model's linear attention is from exact softmax attention, head by head."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_performer import feature_maps
from keras_performer.calibration.approximation import Approximation, Head
from keras_performer.calibration.recording import Recording, recorded
from keras_performer.feature_maps import FeatureMap, Moments
from keras_performer.layers import FastAttention
from keras_performer.ops import exact_attention_scores, kernel_attention_scores
from keras_performer.ops import projections as strategies

MAPS = ("softmax", "hyperbolic", "favor_plus_plus", "favor_sharp", "sderf", "aderf")


def measure_approximation(
    model: Any,
    data: Iterable[Any],
    maps: Sequence[Any] = MAPS,
    num_features: Sequence[int] = (32, 64, 128, 256, 512),
    projection: Any = "orthogonal",
    draws: int = 3,
    rows: int = 128,
    seed: int = 0,
) -> Approximation:
    """Measures how well linear attention approximates a model's exact attention.

    For each head, the implicit attention matrix `Â = D⁻¹ φ(Q) φ(K)ᵀ` is compared with
    `A = softmax(Q Kᵀ / √D)` of the same queries and keys, by `‖Â − A‖ / ‖A‖` in the
    Frobenius norm: for the layer as it is, for other feature maps and numbers of
    features, and for uniform attention. `Head.needed` says how many features a smaller
    error needs.

    The cost is O(rows · S) for each candidate: of each batch, `rows` queries, evenly
    spaced, are compared with all keys.

    Args:
        model: A built Keras model with `FastAttention` layers.
        data: Iterable of batches, as `model.fit` takes: inputs, or tuples whose first
            element is the inputs. A few are enough.
        maps: Identifiers of the candidate feature maps. Those that adapt are adapted to
            this data.
        num_features: The candidates' numbers of features M.
        projection: Identifier of the candidates' projection.
        draws: Projections drawn for each candidate; errors are means over them.
        rows: Largest number of queries of a sequence that are compared.
        seed: Non-negative integer.

    Returns:
        An `Approximation`: print its `table(0.2)` to read for each head which map with
        how many features has an error of 0.2, `plot(path)` for a picture.

    Raises:
        ValueError: If the model has no `FastAttention`, data is empty, or an argument
            is unknown.

    Example:

    >>> import keras
    >>> from keras_performer.layers import FastAttention
    >>> inputs = keras.Input((None, 8))
    >>> model = keras.Model(inputs, FastAttention(2, 4, seed=0)(inputs, inputs))
    >>> batch = np.random.default_rng(0).standard_normal((3, 50, 8)).astype("float32")
    >>> result = measure_approximation(model, [batch], num_features=(16, 64))
    >>> [head.head for head in result.heads]
    [0, 1]
    >>> list(result.heads[0].needed(0.1))[:2]
    ['softmax', 'hyperbolic']
    """
    samples: dict[FastAttention, list[_Sample]] = {}
    for recordings in recorded(model, data):
        for recording in recordings:
            samples.setdefault(recording.layer, []).append(_Sample(recording, rows))
    draw = strategies.get(projection)
    heads = []
    for layer, seen in samples.items():
        candidates = {
            name: _candidate_errors(
                feature_maps.get(name), num_features, draw, range(draws), seed, seen
            )
            for name in maps
        }
        present = _errors(seen, layer.feature_map, layer.feature_parameters)
        uniform = _relative(seen, [sample.uniform for sample in seen])
        for i in range(layer.num_heads):
            errors = {
                name: {size: float(error[i]) for size, error in by_size.items()}
                for name, by_size in candidates.items()
            }
            heads.append(
                Head(layer.path, i, float(present[i]), float(uniform[i]), errors)
            )
    return Approximation(heads)


class _Sample:
    """Some queries of a batch with all its keys, and their exact attention."""

    def __init__(self, recording: Recording, rows: int) -> None:
        length = recording.query.shape[1]
        at = np.unique(np.linspace(0, length - 1, min(rows, length)).astype(int))
        self.key = recording.key
        self.query = ops.take(recording.query, at, axis=1)
        self.moments = Moments.of(
            recording.query, recording.key, recording.query_mask, recording.key_mask
        )
        positions = np.arange(self.key.shape[1])
        visible: np.ndarray = np.ones((1, 1, len(at), len(positions)), bool)
        if recording.causal:
            visible = visible & (positions <= at[:, None])
        if recording.key_mask is not None:
            visible = visible & _boolean(recording.key_mask)[:, None, None, :]
        if recording.query_mask is not None:
            visible = visible & _boolean(recording.query_mask)[:, None, at, None]
        self.visible = visible
        self.exact = ops.convert_to_numpy(
            exact_attention_scores(self.query, self.key, visible)
        )

    @property
    def uniform(self) -> np.ndarray:
        counts = np.maximum(self.visible.sum(axis=-1, keepdims=True), 1)
        return np.broadcast_to(self.visible / counts, self.exact.shape)

    def approximate(
        self, feature_map: FeatureMap, parameters: dict[str, Any]
    ) -> np.ndarray:
        return ops.convert_to_numpy(
            kernel_attention_scores(
                self.query, self.key, feature_map, parameters, self.visible
            )
        )


def _boolean(mask: Any) -> np.ndarray:
    return ops.convert_to_numpy(ops.cast(mask, "bool"))


def _candidate_errors(
    feature_map: FeatureMap,
    num_features: Sequence[int],
    draw: Any,
    draws: Sequence[int],
    seed: int,
    samples: list[_Sample],
) -> dict[int | None, np.ndarray]:
    """Errors of each head, by number of features; `None` where none is drawn."""
    key_heads, dim = samples[0].key.shape[2:]
    moments = Moments.mean([sample.moments for sample in samples])
    adapted = feature_map.adapted_parameters(moments)
    sizes: Sequence[int | None] = (
        num_features if feature_map.draws_projection else (None,)
    )
    errors = {}
    for size in sizes:
        of_draws = []
        for i in draws if feature_map.draws_projection else (0,):
            drawn = feature_map.draw(draw, (seed, i), size, dim)
            initial = feature_map.initial_parameters(key_heads, dim, drawn)
            of_draws.append(_errors(samples, feature_map, {**initial, **adapted}))
        errors[size] = np.mean(of_draws, axis=0)
    return errors


def _errors(
    samples: list[_Sample], feature_map: FeatureMap, parameters: dict[str, Any]
) -> np.ndarray:
    scores = [sample.approximate(feature_map, parameters) for sample in samples]
    return _relative(samples, scores)


def _relative(samples: list[_Sample], scores: list[np.ndarray]) -> np.ndarray:
    """`‖Â − A‖ / ‖A‖` of each head, over all samples: (H,)."""
    axes = (0, 2, 3)
    squares = [
        (np.sum((s - sample.exact) ** 2, axis=axes), np.sum(sample.exact**2, axis=axes))
        for sample, s in zip(samples, scores, strict=True)
    ]
    error, size = np.sum(squares, axis=0)
    return np.sqrt(error / size)
