"""`Backbone`: an attribute and a config entry for each argument of a backbone."""

import keras

from keras_performer import feature_maps
from keras_performer.layers.transformer_block import renamed_attention


class Backbone(keras.Model):
    """What `PerformerBackbone` and `PerformerSeq2SeqBackbone` have in common.

    A base class: a subclass makes its layers and its functional model, and then passes
    what it was made with to `_set_arguments`.
    """

    def _set_arguments(self, stack, **arguments):
        """Sets an attribute for each argument, of which `get_config` is made.

        Args:
            stack: The `BlockStack` of the blocks that stream.
            **arguments: All arguments of the constructor but `dtype`, resolved.
        """
        self._stack = stack
        self._argument_names = tuple(arguments)
        for name, value in arguments.items():
            setattr(self, name, value)

    @property
    def redraws(self):
        """Whether the blocks have random projections that can be resampled."""
        maps = [x.feature_map for x in self._stack.blocks if x.attention == "linear"]
        return any(each.draws_projection and not each.trainable for each in maps)

    def get_config(self):
        return {
            **{name: getattr(self, name) for name in self._argument_names},
            "feature_map": keras.tree.map_structure(
                feature_maps.serialize, self.feature_map
            ),
            "activation": keras.activations.serialize(self.activation),
            "dtype": keras.dtype_policies.serialize(self._stack.norm.dtype_policy),
            "name": self.name,
            "trainable": self.trainable,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = {**config, "dtype": keras.dtype_policies.get(config.get("dtype"))}
        if "attention" in config:
            config["attention"] = renamed_attention(config["attention"])
        return cls(**config)


def get_feature_maps(identifiers):
    """The feature map of an identifier, or a list of them of a list."""
    if isinstance(identifiers, (list, tuple)):
        return [feature_maps.get(identifier) for identifier in identifiers]
    return feature_maps.get(identifiers)
