"""`MaskedAveragePooling`: the mean over the positions that count."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_performer")
class MaskedAveragePooling(keras.layers.Layer):
    """Averages a sequence over the positions that its mask keeps.

    `keras.layers.GlobalAveragePooling1D` divides zero by zero where a mask keeps none;
    here an empty document gets zeros. Sums are taken in float32 at least: half types
    overflow or lose digits over a long document.

    Call arguments:
        inputs: Tensor of shape (B, T, F).
        mask: Boolean tensor of shape (B, T). Defaults to the Keras mask of `inputs`.

    Returns:
        Tensor of shape (B, F).

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
