"""Inputs for attention: every axis has a length of its own, so none can be swapped."""

import numpy as np
from gradients import on_arrays, to_numpy
from keras import ops
from tolerances import EXACT

from keras_performer import feature_maps
from keras_performer import ops as performer_ops
from keras_performer.feature_maps import Moments
from keras_performer.ops import bidirectional, causal, projections

B, T, S, H, D, DV, M = 2, 13, 17, 3, 5, 7, 11

bidirectional_attention = on_arrays(bidirectional.bidirectional_attention)
causal_attention = on_arrays(causal.causal_attention)
exact_attention = on_arrays(performer_ops.exact_attention)
kernel_attention = on_arrays(performer_ops.kernel_attention)
kernel_attention_scores = on_arrays(performer_ops.kernel_attention_scores)

FORMS = {"bidirectional": bidirectional_attention, "causal": causal_attention}
# So small that T positions are several chunks, of which the last is not full.
CHUNKS = {
    "bidirectional": {"chunk_size": 4},
    "causal": {"chunk_size": 2, "outer_chunk_size": 4},
}


def draw(dtype=EXACT, target=T, source=None, head_dim=D, seed=0, scale=1.0):
    """Random query, key and value, of shape (B, length, H, D or DV)."""
    source = target if source is None else source
    generator = np.random.default_rng(seed)
    shapes = [(target, head_dim), (source, head_dim), (source, DV)]
    query, key, value = (
        generator.standard_normal((B, length, H, size)) for length, size in shapes
    )
    return [x.astype(dtype) for x in (query * scale, key * scale, value)]


def draw_map(name, dtype=EXACT, head_dim=D, num_features=M, seed=0, heads=H):
    """A feature map by name, and its parameters."""
    feature_map = feature_maps.get(name)
    drawn = feature_map.draw(projections.orthogonal, seed, num_features, head_dim)
    parameters = feature_map.initial_parameters(heads, head_dim, drawn)
    generator = np.random.default_rng(seed)
    if feature_map.adapts:
        samples = generator.standard_normal((2, 1, 50, heads, head_dim)).cumsum(-1)
        moments = Moments.of(*(x.astype("float32") for x in samples))
        parameters |= feature_map.adapted_parameters(moments)
    if feature_map.trainable:  # every head and bias of its own, as after a training
        for key, value in parameters.items():
            parameters[key] = value + 0.3 * generator.standard_normal(value.shape)
    return feature_map, {
        key: to_numpy(ops.convert_to_tensor(x)).astype(dtype)
        for key, x in parameters.items()
    }


def split_trainable(feature_map, parameters):
    """The parameters that gradients flow to, and the others."""
    return (parameters, {}) if feature_map.trainable else ({}, parameters)


def draw_mask(source=S, seed=0):
    """A random mask of shape (B, source) that hides some keys, not the first."""
    mask = np.random.default_rng(seed).random((B, source)) < 0.6
    mask[:, :1] = True
    return mask
