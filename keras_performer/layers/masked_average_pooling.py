"""`MaskedAveragePooling`: the mean over the positions that count."""

import keras
from keras import ops

from keras_performer.layers.attention_axes import compatible
from keras_performer.layers.attention_masks import check_mask_values


@keras.saving.register_keras_serializable(package="keras_performer")
class MaskedAveragePooling(keras.layers.Layer):
    """Averages a sequence over the positions that its mask keeps.

    `keras.layers.GlobalAveragePooling1D` divides zero by zero where a mask keeps none;
    here an empty document gets zeros. Sums are taken in float32 at least: half types
    overflow or lose digits over a long document.

    Call arguments:
        inputs: Tensor of shape (B, T, F).
        mask: Boolean tensor of shape (B, T), or (1, T) for the whole batch. Defaults
            to the Keras mask of `inputs`.

    Returns:
        Tensor of shape (B, F).

    Raises:
        ValueError: If `inputs` or `mask` is of another shape, or a mask of numbers has
            others than 0 and 1.

    Example:

    >>> import numpy as np
    >>> x = np.array([[[1.0], [3.0], [9.0]]])
    >>> mask = np.array([[True, True, False]])
    >>> np.asarray(MaskedAveragePooling()(x, mask=mask)).tolist()
    [[2.0]]
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs, mask=None):
        _check(inputs, mask)
        dtype = "float64" if self.compute_dtype == "float64" else "float32"
        x = ops.cast(inputs, dtype)
        if mask is None:
            mask = ops.ones(ops.shape(x)[:2], dtype)
        weights = ops.expand_dims(ops.cast(mask, dtype), -1)  # (B, T, 1)
        x = ops.where(weights > 0, x, ops.zeros_like(x))
        count = ops.sum(weights, axis=1)
        mean = ops.sum(x, axis=1) / ops.where(count > 0, count, 1.0)
        return ops.cast(mean, self.compute_dtype)

    def compute_mask(self, inputs, previous_mask=None):
        return None

    def compute_output_shape(self, inputs_shape):
        return (inputs_shape[0], inputs_shape[2])

    def compute_output_spec(self, inputs, mask=None):
        _check(inputs, mask)
        shape = self.compute_output_shape(inputs.shape)
        return keras.KerasTensor(shape, dtype=self.compute_dtype)


def _check(inputs, mask):
    """Raises a `ValueError` where a mask is not one of the positions of a sequence."""
    shape = tuple(inputs.shape)
    if len(shape) != 3:
        raise ValueError(
            "`inputs` must have the shape (batch, length, features). Received: "
            f"inputs.shape={shape}"
        )
    if mask is None:
        return
    is_for_all = len(mask.shape) == 2 and mask.shape[0] == 1
    expected = (1, shape[1]) if is_for_all else shape[:2]
    if len(mask.shape) != 2 or not compatible(mask.shape, expected):
        raise ValueError(
            "`mask` must have the shape of `inputs` without its features: "
            f"{shape[:2]}. A layer that shortens a sequence, such as a strided "
            "convolution, shortens its mask as well. Received: mask.shape="
            f"{tuple(mask.shape)}"
        )
    check_mask_values("mask", mask)
