"""Sequence parallelism on JAX: each device has a part of the sequence."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_performer.feature_maps import FeatureMap
from keras_performer.layers import FastAttention
from keras_performer.ops import attend, checks, prefill, summarize
from keras_performer.ops.accumulation import to_accumulation_dtype

if keras.backend.backend() == "jax":
    import jax
    from jax.sharding import PartitionSpec


def sequence_parallel(model: Any, mesh: Any, axis_name: str) -> None:
    """Divides the attention of a model by positions over the devices of a mesh's axis.

    For documents that are too long for one device. All other layers of a model work on
    each position alone, so that the compiler divides them as their inputs are divided;
    attention it would gather. With this call each device attends in its own segment of
    the sequence, and devices send each other states, whose size does not depend on the
    length. The model's outputs stay the same. Blocks with a short convolution need the
    neighbour's last positions besides, which the compiler sends.

    It changes the layers of this model object, not their configuration: a saved model
    has no devices. Compile a model again that was trained or called before.

    Args:
        model: A built Keras model or layer, on the JAX backend.
        mesh: A `keras.distribution.DeviceMesh` or a `jax.sharding.Mesh`.
        axis_name: Name of the mesh's axis along which the positions are divided.

    Raises:
        ValueError: If the backend is not JAX, the mesh has no such axis, the model no
            `FastAttention`, or one of them has an `exact_window`.

    Example, with your own `model` and `mesh`:

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
        layer.attention_function = functools.partial(
            sequence_parallel_attention, mesh=mesh, axis_name=axis_name
        )


def sequence_parallel_attention(
    query: Any,
    key: Any,
    value: Any,
    feature_map: FeatureMap,
    parameters: dict[str, Any],
    *,
    mesh: Any,
    axis_name: str,
    causal: bool = False,
    key_mask: Any = None,
    segment_ids: Any = None,
    window_size: int | None = None,
    window_log_weight: Any = None,
    log_decay: Any = None,
) -> Any:
    """`ops.linear_attention` of a sequence whose positions are divided over devices.

    Each of P devices sums up its T/P keys: `S_p = Σ [v, 1] φ(k)ᵀ`. Bidirectionally,
    queries read the sum over all devices. Causally, a device goes on from
    `S_0 + … + S_{p-1}`, so that the features of keys are computed twice. Where sums
    decay, each of these is multiplied by what the devices in between leave of it.

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
        window_log_weight: Not used, as there is no window.
        log_decay: Tensor of shape (B, S, Hk), where causal; or `None`.

    Returns:
        Tensor of shape (B, T, H, Dv) and `value`'s dtype, divided as the queries are.

    Raises:
        ValueError: If the backend is not JAX, the mesh has no such axis, shapes do not
            fit or are no multiples of P, segments or a window are given, or a
            `log_decay` that is not causal.
    """
    mesh = _checked_mesh(mesh, axis_name)
    if segment_ids is not None:
        raise ValueError(
            "Sequences packed in a row cannot be divided over devices. Leave "
            "`segment_ids` out, or divide the batch instead. Received: "
            f"segment_ids.shape={tuple(segment_ids.shape)}"
        )
    _check_without_window(window_size)
    if log_decay is not None and not causal:
        raise ValueError(
            "Sums that decay to both sides cannot be divided over devices: pass "
            "`causal=True`, or make the layer without `forget_gate`. Received: causal="
            f"{causal}, log_decay.shape={tuple(log_decay.shape)}"
        )
    checks.check_log_decay(log_decay, key)
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
    return compiled(parameters, query, key, value, key_mask, log_decay)


@functools.cache
def _compiled(
    feature_map: FeatureMap, mesh: Any, axis_name: str, causal: bool
) -> Callable[..., Any]:
    """Attention of segments, as a function that JAX compiles once."""
    divided, whole = PartitionSpec(None, axis_name), PartitionSpec()
    segment = _causal_segment if causal else _bidirectional_segment
    attend_segments = jax.shard_map(
        functools.partial(segment, feature_map, axis_name, mesh.shape[axis_name]),
        mesh=mesh,
        axis_names={axis_name},
        in_specs=(whole, divided, divided, divided, divided, divided),
        out_specs=divided,
        # The loops over chunks start from zeros, which JAX takes to be equal on all
        # devices where what they become is not.
        check_vma=False,
    )
    return jax.jit(attend_segments)


def _bidirectional_segment(
    feature_map: FeatureMap,
    axis_name: str,
    number: int,
    parameters: dict[str, Any],
    query: Any,
    key: Any,
    value: Any,
    key_mask: Any,
    log_decay: None,
) -> Any:
    state = summarize(key, value, feature_map, parameters, key_mask)
    state = state._replace(sums=jax.lax.psum(state.sums, axis_name))
    return ops.cast(attend(state, query, feature_map, parameters), value.dtype)


def _causal_segment(
    feature_map: FeatureMap,
    axis_name: str,
    number: int,
    parameters: dict[str, Any],
    query: Any,
    key: Any,
    value: Any,
    key_mask: Any,
    log_decay: Any,
) -> Any:
    keys = key, value, feature_map, parameters, key_mask
    state = summarize(*keys, log_decay=log_decay)
    sums = _nan_after_nonfinite(state.sums, key, value, key_mask)
    kept = ops.zeros_like(sums[..., 0, 0]) if log_decay is None else state.log_decay
    state = state._replace(sums=_sum_of_earlier(sums, kept, axis_name, number))
    output, _ = prefill(state, query, *keys, log_decay=log_decay)
    return output


def _sum_of_earlier(sums: Any, log_decay: Any, axis_name: str, number: int) -> Any:
    """The sums of the devices before this one, decayed; zeros on the first.

    Each step doubles the number of devices whose sum a device has. Nothing is ever sent
    to an earlier device, so that no NaN of a later segment reaches an earlier one.

    Args:
        sums: Sums (B, Hk, Dv + 1, M) of this device's segment.
        log_decay: The logarithm (B, Hk) of what the segment leaves of sums before it.
        axis_name: Name of the mesh's axis.
        number: P.

    Returns:
        Tensor of the shape of the sums.
    """

    def shifted(x: Any, distance: int) -> Any:
        pairs = [(i, i + distance) for i in range(number - distance)]
        return jax.lax.ppermute(x, axis_name, pairs)

    sums, log_decay, distance = shifted(sums, 1), shifted(log_decay, 1), 1
    while distance < number:
        earlier = shifted(sums, distance) * ops.exp(log_decay)[..., None, None]
        sums = earlier + sums
        log_decay = shifted(log_decay, distance) + log_decay
        distance *= 2
    return sums


def _nan_after_nonfinite(sums: Any, key: Any, value: Any, key_mask: Any) -> Any:
    """Sums that are all NaN if a key or a value is not finite."""
    finite = ops.isfinite(
        sum(ops.sum(to_accumulation_dtype(x), axis=-1) for x in (key, value))
    )
    if key_mask is not None:
        hidden = ops.logical_not(ops.cast(key_mask, "bool"))
        finite = ops.logical_or(finite, hidden[..., None])
    finite = ops.all(finite, axis=1)[..., None, None]  # (B, Hk, 1, 1)
    return ops.where(finite, sums, np.nan)


def _checked_mesh(mesh: Any, axis_name: str) -> Any:
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


def _check_without_window(window_size: int | None) -> None:
    if window_size is not None:
        raise ValueError(
            "An exact window cannot be divided over devices, as it reaches into the "
            f"neighbour's segment: leave it out. Received: {window_size}"
        )
