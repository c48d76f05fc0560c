"""A causal layer on a long stream: its inputs by position, and its truth in float64."""

import functools

import keras
import numpy as np

from benchmarks.attention.peers.peer import positive_features
from keras_performer.layers import FastAttention
from keras_performer.ops import rotary

FEATURE_DIM = 512
HEADS = 8
HEAD_DIM = 64
SEED = 1
# Inputs are drawn in blocks, each from its own seed, so that none need be kept.
BLOCK = 4096
# Weight of the exact window beside the far field: one that the sums must come to meet.
WINDOW_LOG_WEIGHT = 0.5


def make_layer(rotary_base=None, exact_window=None):
    """Returns a built layer, the same in every process.

    Args:
        rotary_base: As for `FastAttention`.
        exact_window: As for `FastAttention`.
    """
    layer = FastAttention(
        num_heads=HEADS,
        key_dim=HEAD_DIM,
        rotary_base=rotary_base,
        exact_window=exact_window,
        # Queries and keys of unit components: attention is not flat.
        kernel_initializer=keras.initializers.RandomNormal(
            stddev=FEATURE_DIM**-0.5, seed=SEED
        ),
        seed=SEED,
        name="attention",
    )
    shape = (None, None, FEATURE_DIM)
    layer.build(shape, shape)
    for weight in layer.trainable_weights:
        if weight.name == "window_log_weight":
            weight.assign(np.full(HEADS, WINDOW_LOG_WEIGHT))
    return layer


def inputs(start, end):
    """Returns the float32 inputs of positions from `start` to before `end`: (T, F)."""
    parts = []
    for number in range(start // BLOCK, -(-end // BLOCK)):
        first = number * BLOCK
        parts.append(block(number)[max(start - first, 0) : end - first])
    return np.concatenate(parts)


@functools.lru_cache(maxsize=2)
def block(number):
    generator = np.random.default_rng((SEED, number))
    return generator.standard_normal((BLOCK, FEATURE_DIM), np.float32)


def parallel_outputs(layer, positions):
    """Outputs at some positions, each from all keys up to it, in float64.

    The matrix of attention row by row: `exp(q·k / √D + g)` within the window, if there
    is one, the products of the features elsewhere, and rows that add up to one.
    `ops.rotary` turns queries and keys, by the angles that float32 streams have too.

    Args:
        layer: What `make_layer` returned.
        positions: R positions, counted from 0, in increasing order.

    Returns:
        Array of shape (R, F).
    """
    positions = np.asarray(positions)
    projection = np.asarray(layer.feature_parameters["projection"], np.float64)
    x = np.concatenate([inputs(t, t + 1) for t in positions]).astype(np.float64)
    query = rotated(layer, project(layer.query_dense, x), positions)  # (R, H, D)
    query_features = positive_features(query, projection)  # (R, H, M)
    numerator, denominator = np.zeros((len(positions), HEADS, HEAD_DIM)), 0
    length = positions[-1] + 1
    for start in range(0, length, BLOCK):
        sources = np.arange(start, min(start + BLOCK, length))
        x = inputs(start, sources[-1] + 1).astype(np.float64)
        key = rotated(layer, project(layer.key_dense, x), sources)  # (S, H, D)
        features = positive_features(key, projection)
        kernel = np.einsum("rhm,shm->rhs", query_features, features, optimize=True)
        distance = (positions[:, None] - sources)[:, None]  # (R, 1, S)
        if layer.exact_window is not None:
            logits = np.einsum("rhd,shd->rhs", query, key, optimize=True)
            near = np.exp(logits / np.sqrt(HEAD_DIM) + WINDOW_LOG_WEIGHT)
            kernel = np.where(distance < layer.exact_window, near, kernel)
        kernel = np.where(distance >= 0, kernel, 0)
        value = project(layer.value_dense, x)
        numerator += np.einsum("rhs,shd->rhd", kernel, value, optimize=True)
        denominator += kernel.sum(-1, keepdims=True)
    heads = numerator / denominator
    kernel, bias = (np.asarray(w, np.float64) for w in layer.output_dense.weights)
    return np.einsum("rhd,hdf->rf", heads, kernel) + bias


def project(dense, x):
    """Heads of positions in float64: (T, F) to (T, H, D)."""
    kernel, bias = (np.asarray(weight, np.float64) for weight in dense.weights)
    return (x @ kernel.reshape(FEATURE_DIM, -1)).reshape(len(x), *bias.shape) + bias


def rotated(layer, heads, positions):
    """Heads (T, H, D) at their positions, where the layer has rotary ones."""
    if layer.rotary_base is None:
        return heads
    turned = rotary(heads[None], positions.astype("int32"), layer.rotary_base)
    return np.asarray(turned)[0]
