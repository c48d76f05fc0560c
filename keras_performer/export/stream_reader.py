"""Reads a document of any length by a causal backbone, and keeps what it has read."""

import math
from typing import Any, NamedTuple

import tensorflow as tf

from keras_performer.models import PerformerBackbone

# A text is read in chunks of tokens. Memory does not depend on its length, and that of
# the logits of a chunk is bounded.
MAX_CHUNK_LOGITS = 2**20
CHUNK_LENGTHS = (64, 4096)

_FOREIGN_STATE = (
    "`state_bytes` must be what `begin`, `step` or `generate` of this very version "
    "gave: ask for the version by its number, or begin again."
)


class Reading(NamedTuple):
    """What there is to know of the part of a document that was read.

    Attributes:
        stream: The state of the backbone.
        logits: Of the token that follows, float32 (B, V).
        log_likelihood: Sum over the tokens but the first, float64 (B,).
    """

    stream: Any
    logits: Any
    log_likelihood: Any

    @property
    def num_tokens(self) -> Any:
        """How many tokens were read, int32 (B,)."""
        return self.stream[0].position


class StreamReader:
    """Reads tokens a chunk at a time, in the graph.

    Args:
        backbone: A causal `PerformerBackbone` of rotary positions.
        mark: Bytes that packed readings begin with.

    Attributes:
        read: Function from further tokens, int32 (B, T) with 0 for padding anywhere,
            and a `Reading`, to the `Reading` after them.
    """

    def __init__(self, backbone: PerformerBackbone, mark: bytes) -> None:
        self._backbone = backbone
        self._mark = list(mark)
        size = MAX_CHUNK_LOGITS // backbone.vocabulary_size
        self._chunk_length = min(max(size, CHUNK_LENGTHS[0]), CHUNK_LENGTHS[1])
        self._specs = tf.nest.map_structure(
            lambda x: tf.TensorSpec([None, *x.shape[1:]], x.dtype), self.start(1)
        )
        token_ids = tf.TensorSpec([None, None], tf.int32)
        # Signatures share one function of the graph.
        self.read = tf.function(
            self._read, input_signature=[token_ids, self._specs], autograph=False
        )

    def start(self, num_rows: Any) -> Reading:
        """The reading of nothing, of B rows."""
        vocabulary_size = self._backbone.vocabulary_size
        start = Reading(
            self._backbone.initial_state(1),
            tf.zeros((1, vocabulary_size)),
            tf.zeros((1,), tf.float64),
        )
        return tf.nest.map_structure(lambda x: tf.repeat(x, num_rows, axis=0), start)

    def _read(self, token_ids: Any, reading: Reading) -> Reading:
        """The reading after further tokens, int32 (B, T), 0 where there is padding."""
        is_token = tf.cast(tf.not_equal(token_ids, 0), tf.int32)
        # Padding is to stand on the left.
        order = tf.argsort(is_token, axis=1, stable=True)
        token_ids = tf.gather(token_ids, order, batch_dims=1)
        length = tf.shape(token_ids)[1]
        size = self._chunk_length

        def read_chunk(end: Any, *parts: Any) -> Any:
            chunk = token_ids[:, tf.maximum(end - size, 0) : end]
            after = self._read_chunk(chunk, tf.nest.pack_sequence_as(reading, parts))
            return end + size, *self._with_shapes(after)

        parts = self._with_shapes(reading)
        _, *parts = tf.while_loop(
            lambda end, *_: end <= length,
            read_chunk,
            # The first chunk has what is left over by the others.
            ((length - 1) % size + 1, *parts),
            shape_invariants=(
                tf.TensorShape([]),
                *(spec.shape for spec in tf.nest.flatten(self._specs)),
            ),
            parallel_iterations=1,
        )
        return tf.nest.pack_sequence_as(reading, parts)

    def _read_chunk(self, token_ids: Any, reading: Reading) -> Reading:
        """One chunk, (B, C), with padding on the left."""
        hidden_states, stream = self._backbone.stream(token_ids, reading.stream)
        logits = self._backbone.token_embedding(hidden_states, reverse=True)
        logits = tf.cast(logits, tf.float32)
        is_token = tf.not_equal(token_ids, 0)
        targets = token_ids[:, 1:]
        scores = tf.gather(logits[:, :-1], targets, batch_dims=2)
        scores -= tf.reduce_logsumexp(logits[:, :-1], axis=-1)
        follows = tf.logical_and(is_token[:, 1:], is_token[:, :-1])
        # The first token of the chunk follows the last one of the chunk before.
        begins = tf.logical_and(
            is_token, tf.cumsum(tf.cast(is_token, tf.int32), 1) == 1
        )
        first = tf.reduce_sum(tf.where(begins, token_ids, 0), axis=1)
        score = tf.gather(tf.nn.log_softmax(reading.logits), first, batch_dims=1)
        has_score = tf.logical_and(first > 0, reading.num_tokens > 0)
        log_likelihood = (
            reading.log_likelihood
            + _sum(tf.where(follows, scores, 0.0))
            + tf.cast(tf.where(has_score, score, 0.0), tf.float64)
        )
        next_logits = tf.where(is_token[:, -1:], logits[:, -1], reading.logits)
        return Reading(stream, next_logits, log_likelihood)

    def _with_shapes(self, reading: Reading) -> list[Any]:
        """The parts, with what is known of their shapes."""
        pairs = zip(tf.nest.flatten(reading), tf.nest.flatten(self._specs), strict=True)
        return [tf.ensure_shape(part, spec.shape) for part, spec in pairs]

    def pack(self, reading: Reading) -> Any:
        """A reading as strings (B,), of a size that does not grow."""
        parts = tf.nest.flatten(reading)
        rows = tf.shape(parts[0])[0]
        columns = [tf.tile(tf.constant([self._mark], tf.uint8), [rows, 1])]
        columns += [
            tf.reshape(tf.bitcast(part, tf.uint8), [rows, _count_bytes(spec)])
            for part, spec in zip(parts, tf.nest.flatten(self._specs), strict=True)
        ]
        return tf.map_fn(
            tf.io.serialize_tensor,
            tf.concat(columns, axis=1),
            fn_output_signature=tf.TensorSpec([], tf.string),
        )

    def unpack(self, strings: Any) -> Reading:
        """A reading from what `pack` returned."""
        specs = tf.nest.flatten(self._specs)
        sizes = [len(self._mark), *map(_count_bytes, specs)]
        rows = tf.map_fn(
            lambda string: _parse(string, sum(sizes)),
            strings,
            fn_output_signature=tf.TensorSpec([sum(sizes)], tf.uint8),
        )
        found, *columns = tf.split(rows, sizes, axis=1)
        same = tf.reduce_all(found == tf.constant(self._mark, tf.uint8))
        check = tf.debugging.Assert(
            same,
            [_FOREIGN_STATE],
        )
        with tf.control_dependencies([check]):
            parts = [
                _from_bytes(column, spec)
                for column, spec in zip(columns, specs, strict=True)
            ]
        return tf.nest.pack_sequence_as(self._specs, parts)


def _sum(scores: Any) -> Any:
    return tf.reduce_sum(tf.cast(scores, tf.float64), axis=1)


def _count_bytes(spec: Any) -> int:
    return math.prod(spec.shape[1:]) * spec.dtype.size


def _parse(string: Any, size: int) -> Any:
    return tf.ensure_shape(tf.io.parse_tensor(string, tf.uint8), [size])


def _from_bytes(values: Any, spec: Any) -> Any:
    """Tensors (B, ...) from their bytes (B, N)."""
    shape = [tf.shape(values)[0], *spec.shape[1:]]
    size = [spec.dtype.size] if spec.dtype.size > 1 else []
    return tf.bitcast(tf.reshape(values, [*shape, *size]), spec.dtype)
