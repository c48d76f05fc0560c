"""`BackboneTask`: the base of models that are a backbone with a head."""

import keras

from keras_performer.layers.sublayer_state import (
    from_config_with_sublayers,
    remember_sublayers,
    sublayer_changes,
)
from keras_performer.models.quantization import quantized_quietly


class BackboneTask(keras.Model):
    """Keeps the backbone in the config of a model.

    A base class: a subclass makes its functional model, and then passes what it was
    made with to `_set_arguments`.
    """

    def _set_arguments(self, backbone, **arguments):
        """Sets an attribute for each argument, of which `get_config` is made.

        Args:
            backbone: The backbone.
            **arguments: All other arguments of the constructor.
        """
        self.backbone = backbone
        self._argument_names = tuple(arguments)
        for name, value in arguments.items():
            setattr(self, name, value)
        remember_sublayers(self)

    def quantize(self, *args, **kwargs):
        with quantized_quietly():
            super().quantize(*args, **kwargs)

    def get_config(self):
        return {
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            **{name: getattr(self, name) for name in self._argument_names},
            "name": self.name,
            "trainable": self.trainable,
            **sublayer_changes(self),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        config["backbone"] = keras.saving.deserialize_keras_object(config["backbone"])
        return from_config_with_sublayers(lambda config: cls(**config), config)


def token_logits(backbone):
    """A function from hidden states to logits, by the token embedding in reverse.

    Args:
        backbone: A model with a `token_embedding`.

    Returns:
        Function from a tensor of shape (B, T, F) to a float32 one of shape (B, T, V).
    """
    to_float32 = keras.layers.Activation("linear", dtype="float32", name="logits")
    return lambda x: to_float32(backbone.token_embedding(x, reverse=True))
