"""Keras's layers with weights, whose LoRA and masks survive saving and quantization."""

import keras
from keras import ops

from keras_performer.ops.backend.keras_internals import is_traced, set_keras_mask


class _SavesLora:
    """Saves LoRA's factors beside the weights that Keras saves, which are merged.

    Keras quantizes the merged kernel anew, so that an int8 layer would answer otherwise
    after loading, and loads zeros into both factors, whose gradients are then zero.
    Here a layer with LoRA of the same rank takes up the factors; one without it takes
    the merged weights.
    """

    _lora_factors = ("lora_kernel_a", "lora_kernel_b")

    def quantize(self, mode=None, type_check=True, config=None):
        # Keras checks for its own class, of which this is a subclass.
        super().quantize(mode=mode, type_check=False, config=config)

    def save_own_variables(self, store):
        super().save_own_variables(store)
        if self.built and self.lora_enabled:
            unmerged = {}
            self.lora_enabled = False
            try:
                super().save_own_variables(unmerged)
            finally:
                self.lora_enabled = True
            for name, value in unmerged.items():
                store[f"unmerged_{name}"] = value
            for name in self._lora_factors:
                store[name] = getattr(self, name)

    def load_own_variables(self, store):
        names = list(store.keys())
        saved = {name: store[name] for name in names}
        merged = {name: saved[name] for name in saved if name.isdigit()}
        if not (self.built and self.lora_enabled):
            super().load_own_variables(merged)
            return
        first, second = self._lora_factors
        a, b = getattr(self, first), getattr(self, second)
        if first in saved and tuple(saved[first].shape) == tuple(a.shape):
            weights = {
                name.removeprefix("unmerged_"): value
                for name, value in saved.items()
                if name.startswith("unmerged_")
            }
            factors = saved[first], saved[second]
        else:
            # The first factor stays random: from two zeros there is no gradient.
            weights = merged
            factors = ops.convert_to_numpy(a), ops.zeros(b.shape)
        super().load_own_variables(weights)
        a.assign(factors[0])
        b.assign(factors[1])


@keras.saving.register_keras_serializable(package="keras_performer")
class Dense(_SavesLora, keras.layers.Dense):
    """`keras.layers.Dense` that saves LoRA's factors."""


@keras.saving.register_keras_serializable(package="keras_performer")
class EinsumDense(_SavesLora, keras.layers.EinsumDense):
    """`keras.layers.EinsumDense` that saves LoRA's factors."""


@keras.saving.register_keras_serializable(package="keras_performer")
class ReversibleEmbedding(_SavesLora, keras.layers.ReversibleEmbedding):
    """`keras.layers.ReversibleEmbedding` that masks padding when quantized too.

    In a graph beside the layer that reads tokens it has the weights of that one, so it
    must be built before: a copy of it alone, as `keras.models.clone_model` makes one,
    would have others.

    Call arguments:
        inputs: Integer tensor of shape (B, T); in reverse, tensor of shape (B, T, F).
        reverse: Whether to return logits.
        shared: Whether the weights are those of a call before.

    Returns:
        Tensor of shape (B, T, F); in reverse, of shape (B, T, V).

    Raises:
        ValueError: If the layer is called in reverse or as shared before it is built,
            or a token id is none of the vocabulary, where ids are known: in a traced
            function they are not.
    """

    _lora_factors = ("lora_embeddings_a", "lora_embeddings_b")

    def __call__(self, inputs, reverse=False, shared=False, **context):
        if (reverse or shared) and not self.built:
            raise ValueError(
                "The token embedding is used here with the weights of another layer's, "
                "to which a copy of it alone is not tied; `keras.models.clone_model` "
                "makes such a copy. Copy the whole model, `model.from_config("
                "model.get_config())`, and its weights, `copy.set_weights("
                "model.get_weights())`; or pass `recursive=True` to `clone_model`. "
                f"Received: a call of the layer {self.name!r}, which is not built, "
                f"with reverse={reverse}, shared={shared}"
            )
        is_symbolic = isinstance(inputs, keras.KerasTensor)
        if not (reverse or is_symbolic or is_traced(inputs)):
            self._check_ids(inputs)
        return super().__call__(inputs, reverse=reverse, shared=shared, **context)

    def _check_ids(self, inputs):
        ids = ops.convert_to_numpy(inputs)
        wrong = ids[(ids < 0) | (ids >= self.input_dim)]
        if wrong.size:
            raise ValueError(
                f"Token ids must be at least 0 and less than {self.input_dim}, the "
                f"size of the vocabulary; 0 is padding. Received: {wrong[0]}"
            )

    def call(self, inputs, reverse=False, shared=False):
        return super().call(inputs, reverse=reverse)

    def compute_output_spec(self, inputs, reverse=False, shared=False):
        return super().compute_output_spec(inputs, reverse=reverse)

    def compute_output_shape(self, inputs_shape, reverse=False, shared=False):
        return super().compute_output_shape(inputs_shape, reverse=reverse)

    def quantized_call(self, inputs, reverse=False, shared=False):
        outputs = super().quantized_call(inputs, reverse=reverse)
        if self.mask_zero and not reverse:
            set_keras_mask(outputs, ops.not_equal(inputs, 0))
        return outputs
