"""Inputs, closed forms and measured errors of `benchmarks.approximation.error`."""

import functools
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_performer import feature_maps, ops
from keras_performer.ops import projections

PROJECTIONS = ("gaussian", "orthogonal", "simplex")
MAPS = ("trigonometric", "softmax", "hyperbolic", "favor_plus_plus")
# The same as FAVOR++ where no direction is larger than another.
FOR_SKEWED = ("favor_sharp", "sderf", "aderf")
PAIRED = ("trigonometric", "hyperbolic")  # two features for each row
PAIRS = 1024
MOST_KERNEL_DRAWS = 240
BLOCK = 512
TOLERANCE = 1e-4


class WrongAnswer(Exception):
    """The fast form is not the attention that its kernel stands for."""


class Point(NamedTuple):
    """Errors of one map, projection and M, one for each draw."""

    map: str
    projection: str
    features: int
    error: Any
    line: float | None = None
    bias: float | None = None
    bias_error: float | None = None
    log_second_moment: float | None = None


class Setting:
    """Queries, keys and values (1, T, 1, D), with their exact attention.

    Args:
        name: A word for it.
        title: What tables and pictures call it.
        query: Array of shape (T, D).
        key: Array of shape (T, D).
        value: Array of shape (T, D).
        maps: Names of the maps that are measured on it.
        has_lines: Whether draws can meet the closed forms.
    """

    def __init__(self, name, title, query, key, value, maps, has_lines):
        self.name, self.title = name, title
        self.maps, self.has_lines = maps, has_lines
        self.query, self.key, self.value = (
            tf.constant(x[None, :, None], "float32") for x in (query, key, value)
        )
        moments = feature_maps.Moments.of(self.query, self.key)
        self.adapted = {
            name: feature_maps.get(name).adapted_parameters(moments) for name in maps
        }

    @functools.cached_property
    def exact(self):
        """Softmax attention (1, T, 1, D), in blocks of queries."""
        length = self.query.shape[1]
        blocks = (
            ops.exact_attention(self.query[:, i : i + BLOCK], self.key, self.value)
            for i in range(0, length, BLOCK)
        )
        return np.concatenate([block.numpy() for block in blocks], axis=1)

    def uniform_error(self):
        """The error of attention that weighs all keys alike."""
        mean = np.mean(self.value, axis=1, keepdims=True)
        return np.mean(np.square(mean - self.exact))

    def parameters(self, name, projection, seed, features):
        """Parameters of a map with M features, adapted to the inputs where it adapts.

        The seed holds M too, so that points at different M are independent.
        """
        feature_map = feature_maps.get(name)
        rows = features // 2 if name in PAIRED else features
        draw, dim = projections.get(projection), self.query.shape[-1]
        drawn = feature_map.draw(draw, (seed, features), rows, dim)
        return {**feature_map.initial_parameters(1, dim, drawn), **self.adapted[name]}


def settings(length, dim):
    """The inputs, from a seed: unit and skewed directions, and standard normal ones.

    Where the kernel is measured, queries and keys have the norm D^(1/4), so that those
    of the kernel's arguments are one: of normal ones, the mean squared error is that
    of the few longest pairs, and comes from rows that no draw of this size meets.
    """
    generator = np.random.default_rng(0)
    normal = [generator.standard_normal((length, dim)) for _ in range(3)]
    unit = [with_norm(x, dim**0.25) for x in normal[:2]]
    uneven = [with_norm(x, dim**0.25) for x in skewed(generator, length, dim)]
    return (
        Setting("unit", "Unit directions", *unit, normal[2], MAPS, True),
        Setting(
            "skewed", "Skewed directions", *uneven, normal[2], MAPS + FOR_SKEWED, True
        ),
        Setting("normal", "Standard normal", *normal, MAPS, False),
    )


def with_norm(rows, norm):
    return rows * (norm / np.linalg.norm(rows, axis=-1, keepdims=True))


def skewed(generator, length, dim):
    """Queries and keys whose sizes fall and rise along the coordinates: (T, D) each.

    Each is turned by a rotation of its own, near the identity, and has a mean.
    """
    sizes = np.geomspace(3.0, 0.2, dim)
    for side in (sizes, sizes[::-1] ** 0.5):
        mixing = np.eye(dim) + 0.3 * generator.standard_normal((dim, dim))
        rotation, _ = np.linalg.qr(mixing)
        mean = 0.3 * generator.standard_normal(dim)
        yield generator.standard_normal((length, dim)) * side @ rotation + mean


def kernel_errors(setting, sizes, draws):
    """Squared errors of the kernel, as a `Point` for each map, projection and M.

    Query i meets key i for as many of the positions as `PAIRS`. A draw of few features
    costs little, so that there are more of them: as many as hold the features of
    `draws` at the largest M, up to `MOST_KERNEL_DRAWS`.
    """
    query, key = (x[:, :PAIRS] for x in (setting.query, setting.key))
    x, y = (scaled(side[0, :, 0].numpy()) for side in (query, key))
    kernel = np.exp(np.sum(x * y, axis=-1))
    points = []
    for name in setting.maps:
        lines, moment = closed_form(setting, name, x, y)
        for projection in PROJECTIONS:
            for features in sizes:
                count = min(MOST_KERNEL_DRAWS, draws * sizes[-1] // features)
                off = []
                for seed in range(max(draws, count)):
                    parameters = setting.parameters(name, projection, seed, features)
                    estimated = estimate(name, features)(query, key, parameters)
                    off.append(estimated.numpy() - kernel)
                off = np.stack(off)
                bias = off.mean(axis=1)
                points.append(
                    Point(
                        name,
                        projection,
                        features,
                        error=np.mean(off**2, axis=1),
                        line=np.mean(lines) / features,
                        bias=bias.mean(),
                        bias_error=standard_error(bias),
                        log_second_moment=moment,
                    )
                )
    return points


def output_errors(setting, sizes, draws):
    """Squared errors of the attention output, as a `Point` each."""
    points = []
    for name in setting.maps:
        for projection in PROJECTIONS:
            for features in sizes:
                errors = []
                for seed in range(draws):
                    parameters = setting.parameters(name, projection, seed, features)
                    output = attend(name, features)(
                        setting.query, setting.key, setting.value, parameters
                    )
                    errors.append(np.mean(np.square(output.numpy() - setting.exact)))
                points.append(Point(name, projection, features, np.array(errors)))
    return points


def check_fast_form(setting, features):
    """Raises `WrongAnswer` unless linear attention is what the quadratic form says."""
    arguments = setting.query, setting.key, setting.value
    for name in setting.maps:
        # Its denominators may be nearly nothing here, with none of their digits right.
        if name == "trigonometric" and not setting.has_lines:
            continue
        parameters = setting.parameters(name, "orthogonal", 0, features)
        output = attend(name, features)(*arguments, parameters)[:, :64]
        expected = ops.kernel_attention(
            setting.query[:, :64], *arguments[1:], feature_maps.get(name), parameters
        )
        off = np.abs(output - expected).max() / np.abs(expected).max()
        if off > TOLERANCE:
            raise WrongAnswer(
                f"{name}, M = {features}, {setting.name} inputs: linear attention is "
                f"off by {off:.1g} of the largest value of its quadratic form."
            )


@functools.cache
def attend(name, features):
    """A compiled function to linear attention; traced once for each map and M."""
    feature_map = feature_maps.get(name)

    @tf.function
    def attention(query, key, value, parameters):
        return ops.linear_attention(query, key, value, feature_map, parameters)

    return attention


@functools.cache
def estimate(name, features):
    """A compiled function to `φ(q_i)·φ(k_i)`: (1, N, 1, D) twice to (N,), float64."""
    feature_map = feature_maps.get(name)

    @tf.function
    def kernel(query, key, parameters):
        query, key = (tf.transpose(x, (0, 2, 1, 3)) for x in (query, key))
        queries, query_weight = feature_map.queries(query, parameters)
        keys, key_weight = feature_map.keys(key, parameters)
        product = tf.reduce_sum(queries * keys, axis=-1)
        weight = tf.exp(tf.cast(query_weight + key_weight, "float64"))
        return (tf.cast(product, "float64") * weight)[0, 0]

    return kernel


def closed_form(setting, name, x, y):
    """M times the mean squared error of independent rows, for each pair.

    Also the mean of the log second moment of one feature (of one row, where rows make
    pairs), which is what FAVOR++ and FAVOR# minimise.

    Args:
        setting: The inputs that a map adapts to.
        name: Of the map.
        x: Scaled queries (N, D).
        y: Scaled keys (N, D).

    Returns:
        Array of shape (N,), and a number.
    """
    sums, differences = (np.sum((x + z) ** 2, axis=-1) for z in (y, -y))
    square = np.exp(2 * np.sum(x * y, axis=-1))
    if name == "trigonometric":  # two features a row: 2 / (2 M)
        lines = np.exp(sums) / square * (1 - np.exp(-differences)) ** 2
        return lines, np.mean(np.log(lines / 2 + square))
    if name == "hyperbolic":
        lines = np.exp(sums) * square * (1 - np.exp(-sums)) ** 2
        return lines, np.mean(np.log(lines / 2 + square))
    log_moment = log_second_moment(setting.parameters(name, "gaussian", 0, 2), x, y)
    return np.exp(log_moment) - square, np.mean(log_moment)


def log_second_moment(parameters, x, y):
    """`log E[(M φ(x)_m φ(y)_m)²]` of the positive maps, coordinate by coordinate."""
    dim = x.shape[-1]
    initial = {"curvature": np.zeros((1, dim)), "query_transform": np.eye(dim)[None]}
    initial["key_transform"] = initial["query_transform"]
    curvature, to_query, to_key = (
        np.asarray(parameters.get(part, initial[part]), "float64")[0]
        for part in ("curvature", "query_transform", "key_transform")
    )
    x, y = x @ to_query.T, y @ to_key.T
    stretch, damping = 1 - 4 * curvature, 1 - 8 * curvature
    quadratic = 2 * np.sum(stretch / damping * (x + y) ** 2, axis=-1)
    quadratic -= np.sum(x**2, axis=-1) + np.sum(y**2, axis=-1)
    return np.sum(np.log(stretch) - 0.5 * np.log(damping)) + quadratic


def scaled(rows):
    return np.float64(rows) / rows.shape[-1] ** 0.25


def standard_error(values):
    return np.std(values, ddof=1) / np.sqrt(len(values))
