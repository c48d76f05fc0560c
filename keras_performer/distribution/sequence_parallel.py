"""Sequence parallelism on JAX: a span of the sequence on each device, states added."""

import functools

import keras
import numpy as np
from keras import ops

from keras_performer.layers import FastAttention
from keras_performer.ops import (
    attend,
    checks,
    chunking,
    prefill,
    summarize,
)

if keras.backend.backend() == "jax":
    import jax
    from jax.sharding import PartitionSpec


def sequence_parallel(model, mesh, axis_name):
    """Divides the attention of a model by positions over the devices of a mesh's axis.

    For documents that are too long for one device. All else in a model works position
    by position, so that the compiler divides it as its inputs are divided; attention
    it would gather. With this each device attends in its own span, and what devices
    send each other is states, whose size does not depend on the length. The model
    computes what it computed before.

    It changes the layers of this model object, not their configuration: a saved model
    knows of no device. Compile a model again that was trained or called before.

    Args:
        model: A built Keras model or layer, on the JAX backend.
        mesh: A `keras.distribution.DeviceMesh` or a `jax.sharding.Mesh`.
        axis_name: Name of the mesh's axis along which the positions are divided.

    Raises:
        ValueError: If the backend is not JAX, the mesh has no such axis, the model no
            `FastAttention`, or one of them has an `exact_window`.

    Example, with a `model` and a mesh of devices of one's own:

    ```python
    sequence_parallel(model, mesh, axis_name="sequence")
    model.fit(books, labels)
    ```
    """
    mesh = _checked_mesh(mesh, axis_name)
    layers = [x for x in model._flatten_layers() if isinstance(x, FastAttention)]
    if not layers:
        raise ValueError(
            f"{model.name!r} has no `FastAttention` layer whose positions could be "
            "divided over devices."
        )
    for layer in layers:
        _check_without_window(layer.exact_window)
    for layer in layers:
        layer.attend = functools.partial(
            sequence_parallel_attention, mesh=mesh, axis_name=axis_name
        )


def sequence_parallel_attention(
    query,
    key,
    value,
    feature_map,
    parameters,
    *,
    mesh,
    axis_name,
    causal=False,
    key_mask=None,
    segment_ids=None,
    window_size=None,
    window_log_weight=None,
):
    """`ops.linear_attention` of a sequence whose positions are divided over devices.

    Each of P devices sums up its T/P keys: `S_p = Σ [v, 1] φ(k)ᵀ`. Bidirectionally,
    queries read the sum over all devices. Causally, a device goes on from
    `S_0 + … + S_{p-1}`, so that the features of keys are computed twice.

    Devices send states alone: (Dv + 1)·M numbers a head, whatever the length, once in
    an all-reduce, or in `1 + ⌈log₂ P⌉` steps for the sums of the devices before. Of
    these a device holds two at a time, where gathering would make it hold P. Backward
    as forward.

    Value and gradients are those of one device but for rounding. It may be called
    eagerly and inside of `jax.jit`. How other axes of the mesh divide the batch, say,
    is left to the compiler.

    Args:
        query: Tensor of shape (B, T, H, D), T a multiple of P. A sequence that is
            not is to be padded, and the padding hidden by `key_mask`.
        key: Tensor of shape (B, S, Hk, D), S a multiple of P, and T where causal.
        value: Tensor of shape (B, S, Hk, Dv).
        feature_map: A `keras_performer.feature_maps.FeatureMap`.
        parameters: Dictionary of the map's tensors.
        mesh: A `keras.distribution.DeviceMesh` or a `jax.sharding.Mesh`.
        axis_name: Name of the mesh's axis, of P devices.
        causal: Whether a query sees only the keys at and before its position.
        key_mask: Boolean tensor of shape (B, S), or `None`.
        segment_ids: Not available over several devices; must be `None`.
        window_size: Not available over several devices; must be `None`.
        window_log_weight: Of use with a window alone.

    Returns:
        Tensor of shape (B, T, H, Dv) and `value`'s dtype, divided as the queries are.

    Raises:
        ValueError: If the backend is not JAX, the mesh has no such axis, shapes do not
            fit or are no multiples of P, or segments or a window are given.
    """
    mesh = _checked_mesh(mesh, axis_name)
    if segment_ids is not None:
        raise ValueError(
            "Sequences packed in a row cannot be divided over devices. Leave "
            "`segment_ids` out, or divide the batch instead. Received: "
            f"segment_ids.shape={tuple(segment_ids.shape)}"
        )
    _check_without_window(window_size)
    checks.check_shapes(query, key, value, key_mask)
    if causal:
        checks.check_self_attention(query, key)
    number = mesh.shape[axis_name]
    for name, x in (("query", query), ("key", key)):
        if x.shape[1] % number:
            raise ValueError(
                f"The length of `{name}` must be a multiple of the {number} devices "
                f"of the mesh's axis {axis_name!r}: pad it, and hide the padding by a "
                f"mask. Received: {name}.shape={tuple(x.shape)}"
            )
    compiled = _compiled(feature_map, mesh, axis_name, bool(causal))
    return compiled(parameters, query, key, value, key_mask)


@functools.cache
def _compiled(feature_map, mesh, axis_name, causal):
    """Attention of spans, as a function that JAX compiles once, called eagerly too."""
    spans, whole = PartitionSpec(None, axis_name), PartitionSpec()
    span = _causal_span if causal else _bidirectional_span
    attend_spans = jax.shard_map(
        functools.partial(span, feature_map, axis_name, mesh.shape[axis_name]),
        mesh=mesh,
        axis_names={axis_name},
        in_specs=(whole, spans, spans, spans, spans),
        out_specs=spans,
        # The loops over chunks start from zeros, which JAX takes to be equal on all
        # devices where what they become is not.
        check_vma=False,
    )
    return jax.jit(attend_spans)


def _bidirectional_span(
    feature_map, axis_name, number, parameters, query, key, value, key_mask
):
    state = summarize(key, value, feature_map, parameters, key_mask)
    state = state._replace(sums=jax.lax.psum(state.sums, axis_name))
    return ops.cast(attend(state, query, feature_map, parameters), value.dtype)


def _causal_span(
    feature_map, axis_name, number, parameters, query, key, value, key_mask
):
    state = summarize(key, value, feature_map, parameters, key_mask)
    sums = _poisoned(state.sums, key, value, key_mask)
    state = state._replace(sums=_sum_of_earlier(sums, axis_name, number))
    output, _ = prefill(state, query, key, value, feature_map, parameters, key_mask)
    return output


def _sum_of_earlier(x, axis_name, number):
    """The sum of a tensor over the devices before this one; zeros on the first.

    After each step a device has the sum over twice as many before it. Nothing is ever
    sent to an earlier device, so that no span learns of a later one, not by a NaN.
    """

    def shifted(x, distance):
        pairs = [(i, i + distance) for i in range(number - distance)]
        return jax.lax.ppermute(x, axis_name, pairs)

    x, distance = shifted(x, 1), 1
    while distance < number:
        x, distance = x + shifted(x, distance), 2 * distance
    return x


def _poisoned(sums, key, value, key_mask):
    """Sums that are all NaN where a key is not finite, as in causal attention."""
    sound = ops.isfinite(sum(ops.sum(chunking.wide(x), axis=-1) for x in (key, value)))
    if key_mask is not None:
        hidden = ops.logical_not(ops.cast(key_mask, "bool"))
        sound = ops.logical_or(sound, hidden[..., None])
    sound = ops.all(sound, axis=1)[..., None, None]  # (B, Hk, 1, 1)
    return ops.where(sound, sums, np.nan)


def _checked_mesh(mesh, axis_name):
    """The `jax.sharding.Mesh` of a mesh that has an axis of this name."""
    backend = keras.backend.backend()
    if backend != "jax":
        raise ValueError(
            "Sequences are divided over devices on Keras's JAX backend alone: set "
            f"KERAS_BACKEND=jax. Received: backend {backend!r}"
        )
    mesh = getattr(mesh, "backend_mesh", mesh)
    if axis_name not in mesh.axis_names:
        raise ValueError(
            "`axis_name` must name an axis of the mesh. Received: "
            f"axis_name={axis_name!r}, mesh.axis_names={tuple(mesh.axis_names)}"
        )
    return mesh


def _check_without_window(window_size):
    if window_size is not None:
        raise ValueError(
            "An exact window cannot be divided over devices, as it reaches into the "
            f"neighbour's span: leave it out. Received: {window_size}"
        )
