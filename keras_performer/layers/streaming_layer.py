"""`StreamingLayer`: attention of a layer span by span, and of what it has summed up."""

from keras import ops

from keras_performer.layers.attention_axes import compatible
from keras_performer.layers.linear_attention_layer import LinearAttentionLayer
from keras_performer.layers.stream_state import StreamState
from keras_performer.ops import (
    AttentionState,
    WindowedState,
    attend,
    count_positions,
    initial_state,
    prefill,
    step,
    summarize,
)
from keras_performer.ops.chunking import wide_dtype


class StreamingLayer(LinearAttentionLayer):
    """What `FastAttention` can do with a state: go on from it, or read it.

    A base class. The state is a value that is passed and returned; the layer keeps
    none.
    """

    def initial_state(self, batch_size):
        """The state of a causal stream before its first position.

        Its shapes do not depend on how long the stream becomes.

        Args:
            batch_size: B, the number of streams side by side.

        Returns:
            `StreamState`, a pytree of tensors with leading B.

        Raises:
            ValueError: If the layer is not built.

        Example:

        >>> import numpy as np
        >>> from keras_performer.layers import FastAttention
        >>> layer = FastAttention(num_heads=2, key_dim=8, seed=0)
        >>> book = np.random.default_rng(0).random((1, 9, 16), "float32")
        >>> whole = layer(book, book, use_causal_mask=True)
        >>> state = layer.initial_state(batch_size=1)
        >>> start, state = layer.prefill(book[:, :8], state)
        >>> last, state = layer.step(book[:, 8:], state)
        >>> bool(np.allclose(whole[:, 8:], last, atol=1e-5))
        True
        """
        self._check_streams()
        size = self.feature_map.size(self.key_dim, self.feature_parameters)
        dtype = "float64" if self.compute_dtype == "float64" else "float32"
        state = initial_state(
            batch_size,
            self.num_key_value_heads,
            size,
            self.value_dim,
            dtype,
            head_dim=self.key_dim,
            window_size=self._exact_window,
        )
        return StreamState(state, ops.zeros((batch_size,), dtype="int32"))

    def prefill(self, x, state, mask=None):
        """Causal self-attention of a span, from the state before it.

        What `call` with `use_causal_mask=True` gives for the whole, span by span.

        Args:
            x: Tensor of shape (B, T, F).
            state: What `initial_state` or the call before returned.
            mask: Boolean tensor of shape (B, T), True at the positions that count, or
                `None`. What it hides is not seen later: rows of unequal length are
                padded on the left.

        Returns:
            Output of shape (B, T, F), or (B, T, *output_shape), and the new state.

        Raises:
            ValueError: If the layer is not built, or the state is of another shape.
        """
        return self._attend_from(prefill, x, state, mask)

    def step(self, x, state, mask=None):
        """Causal self-attention of one position, in constant time and memory.

        Args:
            x: Tensor of shape (B, 1, F).
            state: As for `prefill`.
            mask: Boolean tensor of shape (B, 1), or `None`.

        Returns:
            Output of shape (B, 1, F), or (B, 1, *output_shape), and the new state.

        Raises:
            ValueError: As `prefill`, or if there is not one position.
        """
        return self._attend_from(step, x, state, mask)

    def summarize(self, value, key=None, key_mask=None):
        """What cross-attention needs to know of a source, whatever its length.

        A decoder that reads a source at each step keeps this in place of the source's
        keys and values.

        Args:
            value: Tensor of shape (B, S, Fv).
            key: Tensor of shape (B, S, Fk). Defaults to `value`.
            key_mask: Boolean tensor of shape (B, S), or `None`.

        Returns:
            `keras_performer.ops.AttentionState`, for `read`.

        Raises:
            ValueError: If the layer is not built, or has positions or a window, which
                sums do not keep.

        Example:

        >>> import numpy as np
        >>> from keras_performer.layers import FastAttention
        >>> layer = FastAttention(num_heads=2, key_dim=8, seed=0)
        >>> source = np.random.default_rng(0).random((1, 9, 16), "float32")
        >>> query = source[:, :3]
        >>> whole = layer(query, source)
        >>> output = layer.read(query, layer.summarize(source))
        >>> bool(np.allclose(whole, output, atol=1e-6))
        True
        """
        self._check_streams(value)
        self._check_summaries()
        key = value if key is None else key
        keys, values = self._key_heads(key, value)
        key_mask = None if key_mask is None else ops.cast(key_mask, "bool")
        parameters = self._feature_weights.tensors(wide_dtype(keys))
        return summarize(keys, values, self.feature_map, parameters, key_mask)

    def read(self, query, state):
        """Cross-attention of queries to a source that `summarize` was given.

        Args:
            query: Tensor of shape (B, T, F).
            state: What `summarize` returned.

        Returns:
            Tensor of shape (B, T, F), or (B, T, *output_shape).

        Raises:
            ValueError: As `summarize`, or if the state is of another shape.
        """
        self._check_streams(query)
        self._check_summaries()
        queries, gate = self._query_heads(query)
        parameters = self._feature_weights.tensors(wide_dtype(queries))
        output = attend(state, queries, self.feature_map, parameters)
        output = ops.cast(output, queries.dtype)
        return self._joined(output, gate, query)

    def _attend_from(self, advance, x, state, mask):
        self._check_streams(x)
        self._check_stream_state(state)
        mask = _stream_mask(x, mask)
        (queries, keys, values), gate = self._heads(x, x, x)
        counted = ops.ones(ops.shape(x)[:2], "bool") if mask is None else mask
        if self._rotary_base is not None:
            positions = state.position[:, None] + count_positions(counted)
            queries, keys = (self._rotated(x, positions) for x in (queries, keys))
        parameters = self._feature_weights.tensors(wide_dtype(queries))
        output, attention = advance(
            state.attention,
            queries,
            keys,
            values,
            self.feature_map,
            parameters,
            key_mask=mask,
            window_log_weight=self._window_log_weight,
        )
        counts = ops.sum(ops.cast(counted, "int32"), axis=1)
        counts = ops.cast(counts, "int32")  # JAX with float64 sums up in int64
        state = StreamState(attention, state.position + counts)
        return self._joined(output, gate, x), state

    def _check_streams(self, x=None):
        """Raises a `ValueError` where there is no one axis to stream along."""
        self._check_built("streaming")
        rank = self._axes.rank if x is None else len(x.shape)
        if rank != 3 or self._axes.rank != 3:
            raise ValueError(
                "Streaming needs inputs of rank 3: (batch, length, features). Fold "
                "other axes into the batch, and build the layer for that. Received: "
                f"rank {rank}, for a layer built for rank {self._axes.rank}"
            )

    def _check_stream_state(self, state):
        kind = AttentionState if self._exact_window is None else WindowedState
        is_stream = isinstance(state, StreamState)
        if not is_stream or not isinstance(state.attention, kind):
            received = type(state.attention if is_stream else state).__name__
            raise ValueError(
                "`state` must be what `initial_state`, `prefill` or `step` of such a "
                f"layer returned, a `StreamState` of an `{kind.__name__}`. Received: "
                f"{received}"
            )

    def _check_summaries(self):
        if self._rotary_base is not None or self._exact_window is not None:
            raise ValueError(
                "A source that is summed up has neither positions nor a window: "
                "`summarize` and `read` are for layers without. Received: rotary_base="
                f"{self._rotary_base}, exact_window={self._exact_window}"
            )


def _stream_mask(x, mask):
    if mask is None:
        return None
    if len(mask.shape) != 2 or not compatible(mask.shape, x.shape[:2]):
        raise ValueError(
            f"`mask` must have the shape of `x` without its features: "
            f"{tuple(x.shape[:2])}. Received: mask.shape={tuple(mask.shape)}"
        )
    return ops.cast(mask, "bool")
