"""`BackboneTask`: the base of models that are a backbone with a head."""

import keras


class BackboneTask(keras.Model):
    """Keeps the backbone in the config of a model.

    A base class: a subclass sets `backbone`, and adds its own arguments to the config.
    """

    def get_config(self):
        return {
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "name": self.name,
            "trainable": self.trainable,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        config["backbone"] = keras.saving.deserialize_keras_object(config["backbone"])
        return cls(**config)


def token_logits(backbone):
    """A function from hidden states to logits, by the token embedding in reverse.

    Args:
        backbone: A model with a `token_embedding`.

    Returns:
        Function from a tensor of shape (B, T, F) to a float32 one of shape (B, T, V).
    """
    to_float32 = keras.layers.Activation("linear", dtype="float32", name="logits")
    return lambda x: to_float32(backbone.token_embedding(x, reverse=True))
