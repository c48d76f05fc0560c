"""`PositionEmbedding`: a trained embedding for each position, up to a longest one."""

import keras
import numpy as np
from keras import ops

from keras_performer.layers.attention_masks import check_integers, sequence_mask
from keras_performer.layers.validation import check_size
from keras_performer.ops import count_positions
from keras_performer.ops.backend.keras_internals import is_traced
from keras_performer.renamed import also_registered_as


@also_registered_as("LearnedPositions")
@keras.saving.register_keras_serializable(package="keras_performer")
class PositionEmbedding(keras.layers.Layer):
    """Adds a trained embedding for each position.

    Padding takes no position, so that a sequence has the positions that it would have
    alone, wherever it is padded.

    Args:
        max_sequence_length: The longest sequence.
        stddev: Standard deviation of the embeddings before training.
        seed: Integer that seeds the embeddings, or `None`.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Call arguments:
        inputs: Tensor of shape (B, T, F).
        mask: Boolean tensor of shape (B, T), True at the positions that count.
            Defaults to the Keras mask of `inputs`; beside a tensor as `start_index`
            Keras gives none, so there it must be passed.
        start_index: Position of the first element that counts: an int, or an integer
            tensor of shape (B,).
        segment_ids: Integer tensor of shape (B, T), for several sequences in a row:
            each segment, a run of equal ids, starts at `start_index`. Or `None`.

    Returns:
        Tensor of shape (B, T, F).

    Raises:
        ValueError: If `max_sequence_length` is not positive, or more positions count,
            where that is known: in a traced function with a mask it is not.

    Example:

    >>> import numpy as np
    >>> layer = PositionEmbedding(max_sequence_length=5)
    >>> x = np.asarray(layer(np.zeros((2, 3, 4), "float32"), start_index=1))
    >>> bool((x[0] == np.asarray(layer.embeddings)[1:4]).all())
    True
    """

    def __init__(self, max_sequence_length, stddev=0.02, seed=None, **kwargs):
        super().__init__(**kwargs)
        check_size("max_sequence_length", max_sequence_length)
        self.supports_masking = True
        self.max_sequence_length = max_sequence_length
        self.stddev = stddev
        self.seed = seed

    def build(self, inputs_shape):
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.max_sequence_length, inputs_shape[-1]),
            initializer=keras.initializers.TruncatedNormal(
                stddev=self.stddev, seed=self.seed
            ),
        )

    def call(self, inputs, mask=None, start_index=0, segment_ids=None):
        mask = sequence_mask("mask", mask, "inputs", inputs)
        if segment_ids is not None:
            check_integers("segment_ids", segment_ids)
        if mask is None:
            mask = ops.ones(ops.shape(inputs)[:2], dtype="bool")
            self._check_length(inputs.shape[1])
        start = ops.reshape(ops.convert_to_tensor(start_index, "int32"), (-1, 1))
        positions = start + count_positions(mask, segment_ids)  # (B, T)
        if not is_traced(positions) and np.prod(positions.shape):
            self._check_length(1 + int(ops.max(ops.where(mask, positions, 0))))
        # A row of nothing but padding may start behind the last position.
        last = self.max_sequence_length - 1
        positions = ops.where(mask, positions, ops.minimum(positions, last))
        return inputs + ops.take(self.embeddings, positions, axis=0)

    def _check_length(self, length):
        if length is not None and length > self.max_sequence_length:
            raise ValueError(
                "The sequence is longer than the positions that are learned: make the "
                "layer with a larger `max_sequence_length`, or use positions that end "
                f"nowhere. Received: a sequence of {length} positions, "
                f"max_sequence_length={self.max_sequence_length}"
            )

    def load_own_variables(self, store):
        # Keras names the group of the weights after the class: old files have another.
        path = getattr(store, "_h5_entry_path", None)
        if path and not list(store.keys()):
            store = store.get(path.replace("position_embedding", "learned_positions"))
        super().load_own_variables(store)

    def compute_output_shape(self, inputs_shape):
        return inputs_shape

    def get_config(self):
        return {
            **super().get_config(),
            "max_sequence_length": self.max_sequence_length,
            "stddev": self.stddev,
            "seed": self.seed,
        }
