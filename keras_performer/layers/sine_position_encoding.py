"""`SinePositionEncoding`: position embeddings for sequences of any length."""

import math

import keras
from keras import ops

from keras_performer.layers.attention_masks import check_integers, sequence_mask
from keras_performer.ops import count_positions
from keras_performer.renamed import also_registered_as


@also_registered_as("SinusoidalPositions")
@keras.saving.register_keras_serializable(package="keras_performer")
class SinePositionEncoding(keras.layers.Layer):
    """Adds sinusoidal position embeddings, computed for whatever length comes.

    Features `i` and `i + F/2` of position `t` are `sin(t / w_i)` and `cos(t / w_i)`
    with `w_i = max_wavelength^(2i/F)`: section 3.5 of arXiv 1706.03762, sines first.
    There is no table, so no longest length. For a model that shall read longer
    sequences than it was trained on, choose `max_wavelength` so small that training
    sees whole periods, `2π·max_wavelength` at most the trained length: then later
    positions bring no value that is new to the model.

    Padding takes no position, so that a sequence has the positions that it would have
    alone, wherever it is padded.

    Args:
        max_wavelength: The slowest of the wavelengths, in positions per radian.
        scale: Factor of the embeddings, to be of the size of what they are added to.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Call arguments:
        inputs: Tensor of shape (B, T, F), F even.
        mask: Boolean tensor of shape (B, T), True at the positions that count.
            Defaults to the Keras mask of `inputs`; beside a tensor as `start_index`
            Keras gives none, so there it must be passed.
        start_index: Position of the first element that counts: an int, or an integer
            tensor of shape () or (B,).
        segment_ids: Integer tensor of shape (B, T), for several sequences in a row:
            each segment, a run of equal ids, starts at `start_index`. Or `None`.

    Returns:
        Tensor of shape (B, T, F).

    Raises:
        ValueError: If `max_wavelength` is less than 1, or F is odd.

    Example:

    >>> import numpy as np
    >>> x = SinePositionEncoding()(np.zeros((1, 3, 4), "float32"))
    >>> np.round(np.asarray(x)[0, 0], 3).tolist()
    [0.0, 0.0, 1.0, 1.0]
    """

    def __init__(self, max_wavelength=10000, scale=1.0, **kwargs):
        super().__init__(**kwargs)
        if max_wavelength < 1:
            raise ValueError(
                "`max_wavelength` must be at least 1 position per radian. Received: "
                f"max_wavelength={max_wavelength}"
            )
        self.supports_masking = True
        self.max_wavelength = max_wavelength
        self.scale = scale

    def build(self, inputs_shape):
        if inputs_shape[-1] % 2:
            raise ValueError(
                "The feature size must be even: half are sines, half are cosines. "
                f"Received: inputs.shape={tuple(inputs_shape)}"
            )

    def call(self, inputs, start_index=0, segment_ids=None, mask=None):
        mask = sequence_mask("mask", mask, "inputs", inputs)
        if segment_ids is not None:
            check_integers("segment_ids", segment_ids)
        length, half = ops.shape(inputs)[1], inputs.shape[-1] // 2
        if mask is None and segment_ids is None:
            positions = ops.arange(length)[None]
        else:
            if mask is None:
                mask = ops.ones(ops.shape(inputs)[:2], dtype="bool")
            positions = count_positions(mask, segment_ids)
        start = ops.reshape(ops.convert_to_tensor(start_index, "int32"), (-1, 1))
        # In float32 whatever the policy: half types cannot count past a few thousand.
        positions = ops.cast(start + positions, "float32")  # (1, T) or (B, T)
        rates = ops.exp(
            ops.arange(half, dtype="float32") * (-math.log(self.max_wavelength) / half)
        )
        # LiteRT knows no slices with an ellipsis.
        angles = ops.expand_dims(positions, -1) * rates  # (1, T, F/2) or (B, T, F/2)
        table = ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)
        return inputs + ops.cast(table * self.scale, inputs.dtype)

    def compute_output_shape(self, inputs_shape):
        return inputs_shape

    def get_config(self):
        return {
            **super().get_config(),
            "max_wavelength": self.max_wavelength,
            "scale": self.scale,
        }
