"""The model that a plan compiles: a backbone of this package and tied logits."""

import keras

from keras_performer.layers import PerformerDecoder, PerformerEncoder
from keras_performer.models import PerformerBackbone


def planned_model(settings):
    """Makes the model of a plan: token ids of shape (B, T) to logits (B, T, V).

    Inside a `keras.StatelessScope(initialize_variables=False)` its weights have shapes
    and no values.

    Args:
        settings: A `PlanSettings`.

    Returns:
        A `keras.Model`.
    """
    exact = settings.attention == "exact"
    backbone = PerformerBackbone(
        vocabulary_size=settings.vocabulary_size,
        num_layers=settings.num_layers,
        num_heads=settings.num_heads,
        hidden_dim=settings.hidden_dim,
        intermediate_dim=settings.intermediate_dim,
        dropout=settings.dropout,
        feature_map=settings.feature_map,
        num_features=settings.num_features,
        seed=0,
        dtype=settings.dtype,
        causal=settings.causal,
        # Keras's attention rotates nothing.
        positions="sinusoidal" if exact else None,
    )

    def clone(layer):
        if not isinstance(layer, (PerformerEncoder, PerformerDecoder)):
            return layer
        block = EXACT[type(layer)] if exact else type(layer)
        block = block.from_config(layer.get_config())
        return Rematerialized(block, name=layer.name) if settings.remat else block

    cloned = keras.models.clone_model(backbone, clone_function=clone)
    logits = backbone.token_embedding(cloned.output, reverse=True)
    return keras.Model(cloned.input, logits)


class ExactEncoder(PerformerEncoder):
    """`PerformerEncoder` with `keras.layers.MultiHeadAttention`."""

    def _attention(self, name, query_shape, value_shape, seed_index, **arguments):
        return _exact_attention(self, name, query_shape, value_shape, seed_index)


class ExactDecoder(PerformerDecoder):
    """`PerformerDecoder` with `keras.layers.MultiHeadAttention`."""

    def _attention(self, name, query_shape, value_shape, seed_index, **arguments):
        return _exact_attention(self, name, query_shape, value_shape, seed_index)


EXACT = {PerformerEncoder: ExactEncoder, PerformerDecoder: ExactDecoder}


class Rematerialized(keras.layers.Layer):
    """A block whose backward pass computes the forward pass again.

    What `keras.remat` needs to be exact with dropout on JAX: the weights, and what the
    block changes of them, go in and out of it as values.

    Args:
        block: A layer.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`.

    Call arguments:
        inputs: Tensor of shape (B, T, F).
        mask: The Keras mask of `inputs`, of shape (B, T), or `None`.
        training: Whether dropout is active.

    Returns:
        Tensor of shape (B, T, F).
    """

    def __init__(self, block, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.block = block

    def build(self, inputs_shape):
        self.block.build(inputs_shape)

    def compute_output_spec(self, inputs, mask=None, training=None):
        return keras.KerasTensor(inputs.shape, dtype=self.block.compute_dtype)

    def call(self, inputs, mask=None, training=None):
        name = (
            "padding_mask"
            if isinstance(self.block, PerformerEncoder)
            else "decoder_padding_mask"
        )

        def forward(trainable, non_trainable, inputs, mask):
            return self.block.stateless_call(
                trainable, non_trainable, inputs, training=training, **{name: mask}
            )

        outputs, non_trainable = keras.remat(forward)(
            [variable.value for variable in self.block.trainable_variables],
            [variable.value for variable in self.block.non_trainable_variables],
            inputs,
            mask,
        )
        updates = zip(self.block.non_trainable_variables, non_trainable, strict=True)
        for variable, value in updates:
            variable.assign(value)
        return outputs


def _exact_attention(block, name, query_shape, value_shape, seed_index):
    layer = keras.layers.MultiHeadAttention(
        num_heads=block.num_heads,
        key_dim=query_shape[-1] // block.num_heads,
        dropout=block.dropout,
        kernel_initializer=block.kernel_initializer,
        bias_initializer=block.bias_initializer,
        seed=block._seed(seed_index),
        dtype=block.dtype_policy,
        name=name,
    )
    layer.build(query_shape, value_shape)
    return layer
