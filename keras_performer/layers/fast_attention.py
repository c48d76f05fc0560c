"""`FastAttention`: multi-head attention in time linear in the sequence length."""

import math
import warnings

import keras
from keras import ops

from keras_performer import feature_maps
from keras_performer import ops as attention_ops
from keras_performer.feature_maps import Moments
from keras_performer.layers import attention_masks as masks
from keras_performer.layers.base_attention import BaseAttention
from keras_performer.layers.feature_weights import FeatureWeights
from keras_performer.layers.signatures import with_arguments_of
from keras_performer.layers.stream_state import StreamState
from keras_performer.layers.validation import check_optional_size
from keras_performer.ops import (
    AttentionState,
    DecayedState,
    DecayedWindowedState,
    WindowedState,
    count_positions,
    projections,
    rotary,
)
from keras_performer.ops.accumulation import accumulation_dtype


@keras.saving.register_keras_serializable(package="keras_performer")
class FastAttention(BaseAttention):
    """Multi-head attention in time and memory linear in the sequence length.

    Takes the place of `keras.layers.MultiHeadAttention`: the same constructor, call,
    sublayers and weights, and one non-trainable weight more, the random projection.
    Softmax attention is replaced by `D⁻¹ φ(Q) (φ(K)ᵀ V)`, `D = diag(φ(Q) φ(K)ᵀ 1)`,
    with a feature map φ whose dot product is, or estimates, the kernel of attention:
    FAVOR+ of "Rethinking Attention with Performers", arXiv 2009.14794.

    Outputs depend neither on later positions (causally), nor on the other documents of
    the batch, nor on padding: no statistic is taken over positions.

    Args:
        num_heads: H, the number of heads.
        key_dim: D, the size of a head for queries and keys.
        value_dim: Size of a head for values. Defaults to `key_dim`.
        dropout: Dropout rate, applied to the heads' outputs before the output
            projection. (There is no attention matrix to drop entries of.)
        use_bias: Whether the projections of queries, keys, values and outputs have
            biases.
        output_shape: Size of the output's features, an int or a tuple. Defaults to
            the query's.
        attention_axes: The axes that attention runs over, an int or a tuple, of
            inputs that have more than one axis of length. Defaults to all between
            batch and features. Over several it is attention over their product.
        sliding_window: Not available in linear attention; must be `None`. See
            `exact_window`.
        flash_attention: Not available in linear attention; must be `None` or `False`.
        kernel_initializer: Initializer of the kernels.
        bias_initializer: Initializer of the biases.
        kernel_regularizer: Regularizer of the kernels.
        bias_regularizer: Regularizer of the biases.
        activity_regularizer: Regularizer of the projections' outputs.
        kernel_constraint: Constraint of the kernels.
        bias_constraint: Constraint of the biases.
        use_gate: Whether the heads' outputs are multiplied by a sigmoid gate of the
            query.
        seed: Integer that seeds the projection and dropout, or `None` for one drawn
            from Keras's global seed.
        num_key_value_heads: Hk, the number of heads of keys and values, each of which
            serves `num_heads / Hk` heads of queries in a row, as in
            `keras.layers.GroupQueryAttention`. Defaults to `num_heads`.
        feature_map: `"softmax"` (FAVOR+), `"relu"`, `"favor_sharp"`, `"learned"` or
            another name that `feature_maps.get` knows, or a
            `keras_performer.feature_maps.FeatureMap`. Maps that adapt to the data
            gather its moments in training, while the layer is `trainable`, or by
            `calibration.adapt`.
        num_features: M, the number of random features, where the map draws a
            projection. Defaults to `D log D`, rounded to a multiple of 64. In a long
            training resample them by `callbacks.RedrawProjections`: with one sample a
            model fits the error of that sample. `"relu"` has none to resample.
        projection: How the projection is drawn: `"orthogonal"`, `"simplex"`,
            `"gaussian"` or another name that `ops.projections.get` knows, or a
            callable `(seed, num_features, head_dim) -> array`. Used by maps that draw
            one.
        rotary_base: Base of rotary positions, such as 10,000: queries and keys are
            rotated by their positions before the feature map (`ops.rotary`), with
            `key_dim` even. Masked positions do not count, so that padding shifts
            nothing. `None` for no positions.
        exact_window: w, the number of nearest positions that a query attends to by
            exact softmax, beside linear attention to all others
            (`ops.linear_attention`, as LoLCATs, arXiv 2410.10254); their
            balance is a trainable weight of each head. In self-attention alone.
            `None` for no window.
        gate_activation: Activation of the output gate, such as `"silu"`.
        normalize_heads: Whether each head's output is divided by its root mean square
            (before the gate), as in gated linear attention, arXiv 2312.06635. The
            sizes of sums over a few positions and over many then do not differ.
        forget_gate: Whether a head forgets: at each position what it has summed up
            before is multiplied by `σ(w·x + b)`, a number for each of the Hk heads of
            keys, from the query's features there. The biases start spread between 2
            and 6, so that heads remember 8 to 400 positions. In self-attention along
            one axis. Bidirectionally what is behind a query is forgotten in the same
            way from the end on. A gate of exactly 1 gives the layer without.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Call arguments:
        query: Tensor of shape (B, T, F).
        value: Tensor of shape (B, S, Fv).
        key: Tensor of shape (B, S, Fk). Defaults to `value`.
        query_mask: Boolean tensor of shape (B, T). It passes on to the output as its
            Keras mask.
        value_mask: Boolean tensor of shape (B, S), True at the positions that count.
        key_mask: Boolean tensor of shape (B, S), True at the positions that count.
        attention_mask: A key mask of shape (B, 1, S). A mask of (B, T, S), or (T, S),
            is refused: linear attention never forms the matrix it would act on.
        return_attention_scores: Whether to return the attention matrix
            `D⁻¹ φ(Q) φ(K)ᵀ` too, of shape (B, H, T, S). It costs O(T·S).
        training: Whether dropout is active.
        use_causal_mask: Whether a query sees only the keys at and before its position.
            It needs one axis of attention.
        segment_ids: Integer tensor of shape (B, T), for self-attention in which
            several sequences stand in a row: a position attends to its own segment, a
            run of equal ids, and gets what its sequence alone would give. Or `None`.
        positions: Integer tensor of shape (T,) or (B, T), the positions of queries and
            keys for `rotary_base`. By default they are counted.

    Where inputs have more axes of length, (B, *axes, F), masks have their shape
    without the features, an `attention_mask` has that of the scores with 1 for the
    queries, and scores have the shape (*batch axes, H, *T axes, *S axes). A mask of
    numbers is of ones and zeros: one that is added to scores (0 and -1e9) is refused
    where its values are known, which in a traced function they are not.

    Returns:
        Tensor of shape (B, T, F), or (B, T, *output_shape); with
        `return_attention_scores`, a pair of it and the scores. A query that sees no
        key gets the output projection of zeros.

    Raises:
        ValueError: If an argument is out of its range or not possible in linear time.

    Example:

    >>> import numpy as np
    >>> layer = FastAttention(num_heads=2, key_dim=8, seed=0)
    >>> book = np.zeros((1, 1000, 16), "float32")
    >>> layer(book, book, use_causal_mask=True).shape
    TensorShape([1, 1000, 16])
    """

    @with_arguments_of(BaseAttention)
    def __init__(
        self,
        *args,
        feature_map="softmax",
        num_features=None,
        projection="orthogonal",
        exact_window=None,
        **kwargs,
    ):
        super().__init__(*args, **kwargs)
        check_optional_size("num_features", num_features)
        check_optional_size("exact_window", exact_window)
        self.feature_map = feature_maps.get(feature_map)
        if num_features is not None and not self.feature_map.draws_projection:
            raise ValueError(
                f"The feature map {self.feature_map!r} draws no projection, so "
                "`num_features` has no meaning for it: leave it out. Received: "
                f"num_features={num_features}"
            )
        self._num_features = num_features
        self._draw_projection = projections.get(projection)
        self.exact_window = exact_window
        # Another way to the same result: see `distribution.sequence_parallel`.
        self.attention_function = attention_ops.linear_attention
        # Called with the heads of queries and keys: see `calibration.recorded`.
        self.probe = None

    @property
    def num_features(self):
        """M, or `None` where the feature map draws no projection."""
        if not self.feature_map.draws_projection:
            return None
        return self._num_features or default_num_features(self.key_dim)

    @property
    def feature_parameters(self):
        """The tensors of the feature map, by name, in float32."""
        self._check_built("asking for its features")
        return self._feature_weights.tensors("float32")

    @property
    def redraws(self):
        """Whether the layer has a random projection that can be resampled."""
        return self.feature_map.draws_projection and not self.feature_map.trainable

    def build(self, query_shape, value_shape=None, key_shape=None):
        super().build(query_shape, value_shape, key_shape)
        self._feature_weights = FeatureWeights(
            self,
            self.feature_map,
            self._draw,
            self.num_key_value_heads,
            self.key_dim,
            self.seed,
        )
        self._window_log_weight = None
        if self.exact_window is not None:
            self._window_log_weight = self.add_weight(
                name="window_log_weight",
                shape=(self.num_heads,),
                initializer="zeros",
                dtype="float32",
                autocast=False,
            )

    def redraw_projection(self, seed):
        """Resamples the projection; the kernel that it estimates stays the same.

        Args:
            seed: Non-negative integer, or a sequence of them such as `(seed, step)`.

        Raises:
            ValueError: If the layer is not built, or has no random projection.
        """
        self._check_built("resampling it")
        if not self.redraws:
            raise ValueError(
                f"The feature map {self.feature_map!r} of the layer {self.name!r} has "
                "no random projection that could be resampled."
            )
        self._feature_weights.redraw(seed)

    def adapt(self, moments):
        """Fits a feature map that adapts to the data; the kernel stays the same.

        `calibration.adapt` does this for the layers of a model.

        Args:
            moments: `keras_performer.feature_maps.Moments` of the layer's queries and
                keys.

        Raises:
            ValueError: If the layer is not built, or its feature map does not adapt.
        """
        self._check_built("adapting")
        if not self.feature_map.adapts:
            raise ValueError(
                f"The feature map {self.feature_map!r} of the layer {self.name!r} "
                "does not adapt to data; 'favor_sharp' and 'favor_plus_plus' do."
            )
        self._feature_weights.adapt(moments)

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
        state = attention_ops.initial_state(
            batch_size,
            self.num_key_value_heads,
            size,
            self.value_dim,
            dtype,
            head_dim=self.key_dim,
            window_size=self.exact_window,
            decays=self.forget_gate,
        )
        return StreamState(state, ops.zeros((batch_size,), dtype="int32"))

    def prefill(self, x, state, mask=None):
        """Causal self-attention of several positions, from the state before them.

        What `call` with `use_causal_mask=True` gives for the whole, part by part.

        Args:
            x: Tensor of shape (B, T, F).
            state: `StreamState` from `initial_state`, `prefill` or `step`.
            mask: Boolean tensor of shape (B, T), True at the positions that count, or
                `None`. What it hides is not seen later: rows of unequal length are
                padded on the left.

        Returns:
            Output of shape (B, T, F), or (B, T, *output_shape), and the new
            `StreamState`.

        Raises:
            ValueError: If the layer is not built, or the state is of another shape.
        """
        return self._advance(attention_ops.prefill, x, state, mask)

    def step(self, x, state, mask=None):
        """Causal self-attention of one position, in constant time and memory.

        Args:
            x: Tensor of shape (B, 1, F).
            state: `StreamState` from `initial_state`, `prefill` or `step`.
            mask: Boolean tensor of shape (B, 1), True where the position counts, or
                `None`.

        Returns:
            Output of shape (B, 1, F), or (B, 1, *output_shape), and the new
            `StreamState`.

        Raises:
            ValueError: If the layer is not built, the state is of another shape, or
                there is not one position.
        """
        return self._advance(attention_ops.step, x, state, mask)

    def summarize(self, value, key=None, key_mask=None):
        """The sums over a source that cross-attention needs, whatever its length.

        A decoder that attends to a source at each step keeps this in place of the
        source's keys and values.

        Args:
            value: Tensor of shape (B, S, Fv).
            key: Tensor of shape (B, S, Fk). Defaults to `value`.
            key_mask: Boolean tensor of shape (B, S), or `None`.

        Returns:
            `keras_performer.ops.AttentionState`, for `attend`.

        Raises:
            ValueError: If the layer is not built, or has rotary positions or a window,
                which sums do not keep.

        Example:

        >>> import numpy as np
        >>> layer = FastAttention(num_heads=2, key_dim=8, seed=0)
        >>> source = np.random.default_rng(0).random((1, 9, 16), "float32")
        >>> query = source[:, :3]
        >>> whole = layer(query, source)
        >>> output = layer.attend(query, layer.summarize(source))
        >>> bool(np.allclose(whole, output, atol=1e-6))
        True
        """
        self._check_summaries(value)
        key_mask = masks.sequence_mask("key_mask", key_mask, "value", value)
        keys, values = self._key_value_heads(value if key is None else key, value)
        parameters = self._map_parameters(keys)
        return attention_ops.summarize(
            keys, values, self.feature_map, parameters, key_mask
        )

    def attend(self, query, state):
        """Cross-attention of queries to a source that `summarize` was given.

        Args:
            query: Tensor of shape (B, T, F).
            state: `keras_performer.ops.AttentionState` from `summarize`.

        Returns:
            Tensor of shape (B, T, F), or (B, T, *output_shape).

        Raises:
            ValueError: If the layer is not built, has rotary positions or a window, or
                the state is of another shape.
        """
        self._check_summaries(query)
        queries, gate = self._query_heads(query)
        output = attention_ops.attend(
            state, queries, self.feature_map, self._map_parameters(queries)
        )
        return self._join_heads(ops.cast(output, queries.dtype), gate, query)

    def read(self, query, state):
        """The former name of `attend`."""
        warnings.warn(
            "`FastAttention.read` is now called `FastAttention.attend`.",
            DeprecationWarning,
            stacklevel=2,
        )
        return self.attend(query, state)

    def get_config(self):
        return {
            **super().get_config(),
            "feature_map": feature_maps.serialize(self.feature_map),
            "num_features": self._num_features,
            "projection": projections.serialize(self._draw_projection),
            "exact_window": self.exact_window,
        }

    def _attend(self, inputs, training):
        queries, keys, key_mask = inputs.queries, inputs.keys, inputs.key_mask
        if self.probe is not None:
            self.probe(self, queries, keys, inputs.query_mask, key_mask, inputs.causal)
        output = self.attention_function(
            queries,
            keys,
            inputs.values,
            self.feature_map,
            self._map_parameters(queries),
            causal=inputs.causal,
            key_mask=key_mask,
            segment_ids=inputs.segment_ids,
            window_size=self.exact_window,
            window_log_weight=self._window_log_weight,
            log_decay=inputs.log_decay,
        )
        if self.feature_map.adapts and training and self.trainable:
            moments = Moments.of(queries, keys, inputs.query_mask, key_mask)
            self._feature_weights.gather(moments)
        return output

    def _scores(self, inputs):
        return attention_ops.kernel_attention_scores(
            inputs.queries,
            inputs.keys,
            self.feature_map,
            self._map_parameters(inputs.queries),
            masks.visible_keys(inputs),
            window_size=self.exact_window,
            window_log_weight=self._window_log_weight,
            log_decay=masks.counted_log_decay(inputs),
        )

    def _advance(self, advance, x, state, mask):
        """The output (B, T, F) of causal attention from a state, and the next state."""
        self._check_streams(x)
        self._check_state(state)
        mask = masks.sequence_mask("mask", mask, "x", x)
        queries, gate = self._query_heads(x)
        keys, values = self._key_value_heads(x, x)
        counted = ops.ones(ops.shape(x)[:2], "bool") if mask is None else mask
        if self.rotary_base is not None:
            positions = state.position[:, None] + count_positions(counted)
            queries = rotary(queries, positions, self.rotary_base)
            keys = rotary(keys, positions, self.rotary_base)
        output, attention = advance(
            state.attention,
            queries,
            keys,
            values,
            self.feature_map,
            self._map_parameters(queries),
            key_mask=mask,
            window_log_weight=self._window_log_weight,
            log_decay=self._log_decay(x),
        )
        counts = ops.sum(ops.cast(counted, "int32"), axis=1)
        counts = ops.cast(counts, "int32")  # JAX with float64 sums up in int64
        state = StreamState(attention, state.position + counts)
        return self._join_heads(output, gate, x), state

    def _map_parameters(self, heads):
        """The feature map's tensors, in the dtype in which sums over heads are kept."""
        return self._feature_weights.tensors(accumulation_dtype(heads))

    def _draw(self, seed):
        return self.feature_map.draw(
            self._draw_projection, seed, self.num_features, self.key_dim
        )

    def _check_built(self, what):
        if not self.built:
            raise ValueError(
                f"The layer {self.name!r} has no projection yet: build it, or call it "
                f"once, before {what}."
            )

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

    def _check_state(self, state):
        kinds = [AttentionState, DecayedState], [WindowedState, DecayedWindowedState]
        kind = kinds[self.exact_window is not None][self.forget_gate]
        is_stream = isinstance(state, StreamState)
        if not is_stream or not isinstance(state.attention, kind):
            received = type(state.attention if is_stream else state).__name__
            raise ValueError(
                "`state` must be what `initial_state`, `prefill` or `step` of such a "
                f"layer returned, a `StreamState` of a `{kind.__name__}`. Received: "
                f"{received}"
            )

    def _check_summaries(self, x):
        self._check_streams(x)
        if (
            self.rotary_base is not None
            or self.exact_window is not None
            or self.forget_gate
        ):
            raise ValueError(
                "A source that is summed up has neither positions nor a window, and "
                "nothing of it is forgotten: `summarize` and `attend` are for layers "
                f"without. Received: rotary_base={self.rotary_base}, exact_window="
                f"{self.exact_window}, forget_gate={self.forget_gate}"
            )


def default_num_features(head_dim):
    """`D log D`, rounded to a multiple of 64, at least 64.

    `O(D log D)` features suffice for a uniform approximation of the attention matrix
    (theorem 4 of arXiv 2009.14794).

    Args:
        head_dim: D, the size of a head.

    Returns:
        M, an int.

    Example:

    >>> [default_num_features(head_dim) for head_dim in (8, 32, 64, 128)]
    [64, 128, 256, 640]
    """
    return max(64, round(head_dim * math.log(head_dim) / 64) * 64)
