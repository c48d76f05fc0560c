"""Linear attention over packed sequences: several in a row, none sees another."""

from typing import Any, NamedTuple

from keras import ops

from keras_performer.ops import checks, chunking, kernel_sums
from keras_performer.ops.backend import chunked_scan


def packed_causal_attention(
    query,
    key,
    value,
    feature_map,
    parameters,
    segment_ids,
    key_mask=None,
    chunk_size=64,
    outer_chunk_size=512,
):
    """Causal attention within each segment, as if each stood alone.

    Sequences of different lengths are packed into rows without padding between them.
    A segment is a run of equal ids: a new one starts wherever the id changes. The
    running sums start anew at each boundary, inside of a chunk as well.

    Args:
        query: Tensor of shape (B, T, H, D).
        key: Tensor of shape (B, T, Hk, D), with H a multiple of Hk.
        value: Tensor of shape (B, T, Hk, Dv).
        feature_map: A `keras_performer.feature_maps.FeatureMap`.
        parameters: Dictionary of the map's tensors.
        segment_ids: Integer tensor of shape (B, T).
        key_mask: Boolean tensor of shape (B, T), or `None`.
        chunk_size: As for `causal_attention`.
        outer_chunk_size: As for `causal_attention`.

    Returns:
        Tensor of shape (B, T, H, Dv) and `value`'s dtype. Rows that see no key are
        zeros.

    Raises:
        ValueError: If shapes or chunk sizes do not fit.

    Example:

    >>> import numpy as np
    >>> from keras_performer import feature_maps
    >>> x = np.random.default_rng(0).random((1, 5, 1, 2)).astype("float32")
    >>> ids = np.array([[7, 7, 7, 8, 8]])
    >>> y = packed_causal_attention(x, x, x, feature_maps.get("relu"), {}, ids)
    >>> bool(np.allclose(y[0, 3], x[0, 3]))  # the first of its segment sees itself
    True
    """
    sizes = (chunk_size, outer_chunk_size)
    lengths, inputs = split_packed(query, key, value, segment_ids, key_mask, *sizes)
    past = ops.tril(ops.ones((chunk_size, chunk_size), dtype="bool"))
    sums = _scan(inputs, feature_map, parameters, past)
    sums = chunking.join_heads(sums, lengths, ops.shape(query)[1], query.shape[2])
    return kernel_sums.normalize(sums, inputs.value.dtype)


def packed_bidirectional_attention(
    query,
    key,
    value,
    feature_map,
    parameters,
    segment_ids,
    key_mask=None,
    chunk_size=64,
    outer_chunk_size=512,
):
    """Attention of all to all within each segment, as if each stood alone.

    What a query sees before its chunk, and in it, is summed from the left; what it sees
    behind its chunk is summed from the right. Arguments, result and errors are as for
    `packed_causal_attention`.

    Example:

    >>> import numpy as np
    >>> from keras_performer import feature_maps
    >>> x = np.random.default_rng(0).random((1, 5, 1, 2)).astype("float32")
    >>> ids = np.array([[7, 7, 7, 7, 8]])
    >>> y = packed_bidirectional_attention(x, x, x, feature_maps.get("relu"), {}, ids)
    >>> bool(np.allclose(y[0, 4], x[0, 4]))  # alone in its segment
    True
    """
    sizes = (chunk_size, outer_chunk_size)
    lengths, inputs = split_packed(query, key, value, segment_ids, key_mask, *sizes)
    everything = ops.ones((chunk_size, chunk_size), dtype="bool")
    left = _scan(inputs, feature_map, parameters, everything)
    right = _scan(inputs.flipped(), feature_map, parameters, ~everything)
    sums = left + flipped(right)
    sums = chunking.join_heads(sums, lengths, ops.shape(query)[1], query.shape[2])
    return kernel_sums.normalize(sums, inputs.value.dtype)


class PackedChunks(NamedTuple):
    """Inputs in N outer chunks of n inner ones: (N, B, Hk, n, C, D), (N, B, n, C)."""

    query: Any
    key: Any
    value: Any
    runs: Any
    mask: Any

    def flipped(self):
        """The inputs from the end to the beginning."""
        return PackedChunks(
            *map(flipped, self[:3]), *(flipped(x, axes=(2, 3)) for x in self[3:])
        )


def flipped(x, axes=(3, 4)):
    """Chunks (N, B, Hk, n, C, ...) from the last position to the first.

    Args:
        x: Tensor whose first axis counts outer chunks.
        axes: Those of the inner chunks and of the positions.
    """
    # One at a time: LiteRT reverses no axes that are apart, Keras 3.12 no tuples.
    for axis in (0, *axes):
        x = ops.flip(x, axis=axis)
    return x


def split_packed(
    query, key, value, segment_ids, key_mask, chunk_size, outer_chunk_size
):
    """Checks the inputs and cuts them: (N, n, C), and `PackedChunks`."""
    query, key, value = map(ops.convert_to_tensor, (query, key, value))
    segment_ids = ops.convert_to_tensor(segment_ids)
    checks.check_causal(query, key, value, key_mask, chunk_size, outer_chunk_size)
    checks.check_self_attention(query, key)
    if len(segment_ids.shape) != 2:
        raise ValueError(
            "`segment_ids` must have rank 2: (batch, length), an id for each position. "
            f"Received: segment_ids.shape={tuple(segment_ids.shape)}"
        )
    if key_mask is None:
        key_mask = ops.ones(ops.shape(key)[:2], dtype="bool")
    length = ops.shape(query)[1]
    lengths = chunking.inner_lengths(length, outer_chunk_size, chunk_size)
    keys, values, mask = chunking.split_keys(key, value, key_mask, lengths)
    queries = chunking.split_heads(query, lengths, key.shape[2])
    runs = chunking.split(number_runs(segment_ids), lengths)
    return lengths, PackedChunks(queries, keys, values, runs, mask)


def _scan(inputs, feature_map, parameters, visible):
    """Sums of each position: (N, B, Hk, n, G·C, Dv + 1).

    `visible` (C, C) tells which keys of its own inner chunk a query sees; of its run it
    sees all keys in the chunks before.
    """
    tensors, bound = kernel_sums.bind(feature_map, parameters)
    groups = inputs.query.shape[-2] // inputs.key.shape[-2]

    def step(carry, chunk, shared):
        query, key, value, runs, mask = chunk
        parameters = bound(shared)
        key, value, broken = kernel_sums.set_aside_broken(key, value, mask)
        keys, values = kernel_sums.weighted_keys(
            feature_map, parameters, key, value, mask
        )
        queries, _ = feature_map.queries(chunking.wide(query), parameters)
        sums, (after, run) = _attend_within(carry, queries, keys, values, runs, visible)
        poison, last_poison = kernel_sums.poison(broken, groups)
        return (after + last_poison, run), (sums + poison,)

    sums = kernel_sums.initial_sums(inputs.key, inputs.value, feature_map, parameters)
    no_run = ops.full((ops.shape(inputs.key)[1],), -1.0, dtype="float32")
    _, (sums,) = chunked_scan(step, (sums, no_run), tuple(inputs), tensors)
    return sums


def _attend_within(carry, queries, keys, values, runs, visible):
    """As `causal.attend_within`, for runs of shape (B, n, C) and the run of `carry`."""
    groups = queries.shape[-2] // keys.shape[-2]
    same = ops.logical_and(same_run(runs, runs), visible)
    same = ops.tile(same, (1, 1, groups, 1))[:, None]  # (B, 1, n, G·C, C)
    scores = queries @ ops.swapaxes(keys, -1, -2)
    scores = ops.where(same, scores, ops.zeros_like(scores))

    states, ends, carry = states_of_runs(carry, keys, values, runs)
    read = kernel_sums.read(queries, states) * entered(runs, ends, groups, values.dtype)
    return scores @ values + read, carry


def number_runs(segment_ids):
    """Numbers the runs of equal ids, (B, T) to (B, T), in float32 from zero on."""
    changes = ops.cast(segment_ids[:, 1:] != segment_ids[:, :-1], "float32")
    return ops.pad(ops.cumsum(changes, axis=1), [(0, 0), (1, 0)])


def same_run(of_queries, of_keys):
    """Which pairs are of one run: (..., T) and (..., S) to (..., T, S)."""
    return ops.expand_dims(of_queries, -1) == ops.expand_dims(of_keys, -2)


def states_of_runs(carry, keys, values, runs):
    """The sums before each of n chunks, of the run that is open there.

    Args:
        carry: Sums (B, Hk, Dv + 1, M) before the first chunk, and the run (B,) that
            they are of.
        keys: Features of shape (B, Hk, n, C, M).
        values: Weighted values of shape (B, Hk, n, C, Dv + 1).
        runs: Tensor of shape (B, n, C), ascending.

    Returns:
        Sums (B, Hk, n, Dv + 1, M) of the keys before each chunk that are of the run of
        the last of them, those runs (B, n), and the carry after the last chunk.
    """
    before, open_run = carry
    last = runs[:, :, -1]  # (B, n)
    ends = ops.concatenate([open_run[:, None], last], axis=1)  # (B, 1 + n)
    lasting = ops.cast(runs == ops.expand_dims(last, -1), values.dtype)
    lasting = ops.expand_dims(lasting, (1, -1))
    added = kernel_sums.outer_sum(values * lasting, keys)
    added = ops.concatenate([before[:, :, None], added], axis=2)
    of_one_run = ops.tril(ops.cast(same_run(ends, ends), values.dtype))
    states = kernel_sums.sum_chunks(of_one_run[:, None], added)
    number = ops.shape(runs)[1]
    after = (states[:, :, number], ends[:, number])
    return states[:, :, :number], ends[:, :number], after


def entered(runs, ends, groups, dtype):
    """Which positions go on with the run before their chunk: (B, 1, n, G·C, 1)."""
    same = ops.cast(runs == ops.expand_dims(ends, -1), dtype)
    return ops.expand_dims(ops.tile(same, (1, 1, groups)), (1, -1))
