"""`ShortConvolution`: each position mixed with the few beside it, by a convolution."""

import keras
from keras import initializers, ops

from keras_performer.layers.validation import check_size
from keras_performer.ops.segments import number_segments


@keras.saving.register_keras_serializable(package="keras_performer")
class ShortConvolution(keras.layers.Layer):
    """A depthwise convolution along a sequence, over a few positions.

    What stands beside a position is what linear attention tells apart worst: kernels of
    positions that are alike are alike. So the linear models of today put such a
    convolution before it, as Mamba (arXiv 2312.00752) and gated linear attention do.

    `y_t = Σ_j w_j ⊙ x_{t−j}`, over j from 0 to `width − 1`; where it is not causal, as
    many positions behind as before, with one more before where the width is even.

    What a mask hides is not there: the convolution goes on with the position beyond
    it, so that padding anywhere changes nothing. Nothing passes between segments.

    Args:
        width: Number of positions that are mixed.
        causal: Whether these are the position itself and those before it.
        kernel_initializer: Initializer of the kernel. By default uniform between
            `±width^-½`.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Call arguments:
        inputs: Tensor of shape (B, T, F).
        mask: Boolean tensor of shape (B, T), True at the positions that count, or
            `None`.
        segment_ids: Integer tensor of shape (B, T), for several sequences in a row, or
            `None`.

    Returns:
        Tensor of shape (B, T, F).

    Raises:
        ValueError: If `width` is not a positive integer.

    Example:

    >>> import numpy as np
    >>> layer = ShortConvolution(width=2, kernel_initializer="ones")
    >>> x = np.array([[[1.0], [10.0], [100.0]]], "float32")
    >>> np.asarray(layer(x))[0, :, 0].tolist()
    [1.0, 11.0, 110.0]
    >>> np.asarray(layer(x, mask=np.array([[True, False, True]])))[0, 2].tolist()
    [101.0]
    """

    def __init__(self, width=4, causal=True, kernel_initializer=None, **kwargs):
        check_size("width", width)
        super().__init__(**kwargs)
        self.supports_masking = True
        self.width = width
        self.causal = causal
        self.kernel_initializer = initializers.get(
            kernel_initializer or starting_kernel(width)
        )

    def build(self, inputs_shape):
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.width, inputs_shape[-1]),
            initializer=self.kernel_initializer,
        )

    def call(self, inputs, mask=None, segment_ids=None):
        behind = 0 if self.causal else (self.width - 1) // 2
        sides = [(0, 0), (self.width - 1 - behind, behind)]
        x, places = _counting_first(inputs, mask)
        segments = None
        if segment_ids is not None:
            numbers = ops.expand_dims(number_segments(segment_ids), -1)
            segments = numbers if places is None else _rows(numbers, places[0])
            segments = ops.pad(segments, [*sides, (0, 0)], constant_values=-1)
        output = self._convolve(ops.pad(x, [*sides, (0, 0)]), segments, behind)
        return output if places is None else _rows(output, places[1])

    def initial_state(self, batch_size):
        """The positions before the first one of a stream: zeros.

        Args:
            batch_size: B.

        Returns:
            Tensor of shape (B, width − 1, F).
        """
        shape = (batch_size, self.width - 1, self.kernel.shape[1])
        return ops.zeros(shape, self.compute_dtype)

    def advance(self, x, state, mask=None):
        """The output for the next positions of a stream, and the state after them.

        Args:
            x: Tensor of shape (B, T, F).
            state: Tensor of shape (B, width − 1, F), from `initial_state` or `advance`.
            mask: Boolean tensor of shape (B, T), or `None`. What it hides leaves the
                state as it is.

        Returns:
            Tensor of shape (B, T, F), and the new state.

        Raises:
            ValueError: If the convolution is not causal.
        """
        if not self.causal:
            raise ValueError(
                "A stream needs a convolution of what has been: make the layer with "
                f"`causal=True`. Received: causal={self.causal}"
            )
        x, places = _counting_first(ops.cast(x, self.compute_dtype), mask)
        x = ops.concatenate([ops.cast(state, x.dtype), x], axis=1)
        output = self._convolve(x)
        if places is None:
            return output, x[:, ops.shape(x)[1] - (self.width - 1) :]
        counted = ops.sum(ops.cast(mask, "int32"), axis=1, keepdims=True)
        last = ops.cast(counted, "int32") + ops.arange(self.width - 1, dtype="int32")
        return _rows(output, places[1]), _rows(x, last)

    def compute_output_shape(self, inputs_shape):
        return inputs_shape

    def get_config(self):
        return {
            **super().get_config(),
            "width": self.width,
            "causal": self.causal,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
        }

    def _convolve(self, x, segments=None, behind=0):
        """The convolution of positions with `width` − 1 more around them."""
        batch, length, features = ops.shape(x)
        length = length - (self.width - 1)
        own = None
        if segments is not None:
            start = self.width - 1 - behind  # of the positions themselves
            own = segments[:, start : start + length]
        output = 0
        for j in range(self.width):
            first = self.width - 1 - j
            # Not x[:, a:b], whose gradient takes TensorFlow four times as long.
            term = ops.slice(x, (0, first, 0), (batch, length, features))
            term = term * ops.cast(self.kernel[j], x.dtype)
            if own is not None:
                same = segments[:, first : first + length] == own
                term = ops.where(same, term, ops.zeros_like(term))
            output = output + term
        return output


def starting_kernel(width, seed=None):
    """The default initializer of a kernel: uniform between `±width^-½`."""
    bound = width**-0.5
    return initializers.RandomUniform(-bound, bound, seed)


def _counting_first(x, mask):
    """The positions that count before those that do not, which become zeros.

    Args:
        x: Tensor of shape (B, T, F).
        mask: Boolean tensor of shape (B, T), or `None`.

    Returns:
        Tensor of shape (B, T, F), and two tensors of shape (B, T): which position
        stands in each place now, and where each position stands; or `None`.
    """
    if mask is None:
        return x, None
    mask = ops.cast(mask, "bool")
    x = ops.where(ops.expand_dims(mask, -1), x, ops.zeros_like(x))
    length = ops.shape(mask)[1]
    positions = ops.arange(length, dtype="int32")
    places = ops.argsort(ops.where(mask, positions, positions + length), axis=1)
    counted = ops.cumsum(ops.cast(mask, "int32"), axis=1)
    hidden = ops.cumsum(ops.cast(ops.logical_not(mask), "int32"), axis=1)
    back = ops.where(mask, counted, counted[:, -1:] + hidden) - 1
    return _rows(x, places), (places, back)


def _rows(x, indices):
    """The rows of each (T, F) at indices (B, S): (B, T, F) to (B, S, F)."""
    batch, length, features = ops.shape(x)
    starts = ops.arange(batch, dtype="int32")[:, None] * length
    flat = ops.reshape(x, (batch * length, features))
    rows = ops.take(flat, ops.cast(indices, "int32") + starts, axis=0)
    return ops.reshape(rows, (*ops.shape(indices), features))  # JAX: also of no rows
