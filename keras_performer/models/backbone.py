"""`Backbone`: an attribute and a config entry for each argument of a backbone."""

import keras

from keras_performer import feature_maps
from keras_performer.layers.attention_kinds import renamed_attention
from keras_performer.layers.sublayer_state import (
    from_config_with_sublayers,
    remember_sublayers,
    sublayer_changes,
)
from keras_performer.layers.validation import check_size
from keras_performer.models.quantization import quantized_quietly


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
        remember_sublayers(self)

    @property
    def layers_policy(self):
        """The dtype policy that the layers were made with, quantized since or not."""
        return self._stack.norm.dtype_policy

    @property
    def redraws(self):
        """Whether the blocks have random projections that can be resampled."""
        maps = [x.feature_map for x in self._stack.blocks if x.attention == "linear"]
        return any(each.draws_projection and not each.trainable for each in maps)

    def quantize(self, *args, **kwargs):
        with quantized_quietly():
            super().quantize(*args, **kwargs)

    def enable_lora(self, rank, target_layer_names=("query", "value")):
        """Freezes all weights, and adds LoRA's to projections of attention.

        As KerasHub's backbones do; compile a model again afterwards.

        Args:
            rank: Rank of the factors.
            target_layer_names: Names of the layers that get them, such as `"query"`,
                `"key"`, `"value"`, `"attention_output"` or
                `"feedforward_intermediate_dense"`.

        Raises:
            ValueError: If the rank is not positive, no layer has one of the names, or
                one has LoRA already.

        Example:

        >>> from keras_performer.models import PerformerBackbone
        >>> backbone = PerformerBackbone(
        ...     vocabulary_size=257, num_layers=1, num_heads=2, hidden_dim=16,
        ...     intermediate_dim=32, seed=0,
        ... )
        >>> backbone.enable_lora(rank=4)
        >>> sorted({weight.name for weight in backbone.trainable_weights})
        ['lora_kernel_a', 'lora_kernel_b']
        """
        check_size("rank", rank)
        layers = self._flatten_layers(include_self=False)
        targets = [
            layer
            for layer in layers
            if layer.name in target_layer_names and hasattr(layer, "enable_lora")
        ]
        if not targets:
            names = sorted({x.name for x in layers if hasattr(x, "enable_lora")})
            raise ValueError(
                f"`target_layer_names` must be names among {names}. Received: "
                f"target_layer_names={target_layer_names!r}"
            )
        if any(layer.lora_enabled for layer in targets):
            raise ValueError(
                "LoRA is enabled already, which is possible once. To start anew, make "
                "another backbone with these weights: `save_weights` merges LoRA's "
                f"into them. Received: rank={rank}"
            )
        self.trainable = True
        for layer in layers:
            layer.trainable = False
        for layer in targets:
            frozen = list(layer.variables)
            layer.trainable = True
            layer.enable_lora(rank)
            for variable in frozen:
                variable.trainable = False

    @staticmethod
    def get_layout_map(
        device_mesh, model_parallel_dim_name="model", data_parallel_dim_name="batch"
    ):
        """The layout of the weights where each device has a part of the heads.

        Queries, keys, values and gates are divided by heads, H; `attention_output`,
        which has H first, likewise; of the feed-forward network the first layers by
        their outputs and the second by its inputs. So a block sums over devices twice,
        and every other weight is on each device. H, and with `num_key_value_heads`
        that of keys and values, must be a multiple of the mesh's axis; where there are
        fewer heads of keys, delete the entries `".*/(key|value)/kernel"` and `/bias`.

        Args:
            device_mesh: `keras.distribution.DeviceMesh`.
            model_parallel_dim_name: Name of the axis that weights are divided over.
            data_parallel_dim_name: Name of the axis that batches are divided over.

        Returns:
            `keras.distribution.LayoutMap`, for `keras.distribution.ModelParallel`.

        Raises:
            ValueError: If the mesh has not these axes.
        """
        for name in (model_parallel_dim_name, data_parallel_dim_name):
            if name not in device_mesh.axis_names:
                raise ValueError(
                    "The mesh must have an axis for weights and one for batches. "
                    f"Received: {name!r}, device_mesh.axis_names="
                    f"{device_mesh.axis_names}"
                )
        model = model_parallel_dim_name
        layout = keras.distribution.LayoutMap(device_mesh)
        layout[".*token_embedding/embeddings"] = (None, model)
        layout[".*token_embedding/reverse_embeddings"] = (model, None)
        for projections in ("(query|gate)", "(key|value)"):
            layout[f".*/{projections}/kernel"] = (None, model, None)
            layout[f".*/{projections}/bias"] = (model, None)
        layout[".*/forget_gate/kernel"] = (None, model)
        layout[".*/forget_gate/bias"] = (model,)
        layout[".*/attention_output/kernel"] = (model, None, None)
        hidden = ".*/feedforward_(intermediate|gate)_dense"
        layout[f"{hidden}/kernel"] = (None, model)
        layout[f"{hidden}/bias"] = (model,)
        layout[".*/feedforward_output_dense/kernel"] = (model, None)
        # What maps that adapt to the data gather, head by head.
        layout[".*/(query|key)_mean"] = (model, None)
        layout[".*/(query|key)_square"] = (model, None, None)
        return layout

    def get_config(self):
        return {
            **{name: getattr(self, name) for name in self._argument_names},
            "block": self.block if isinstance(self.block, str) else dict(self.block),
            "feature_map": keras.tree.map_structure(
                feature_maps.serialize, self.feature_map
            ),
            "activation": keras.activations.serialize(self.activation),
            "dtype": keras.dtype_policies.serialize(self.layers_policy),
            "name": self.name,
            "trainable": self.trainable,
            **sublayer_changes(self),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = _with_earlier_defaults(config)
        config["dtype"] = keras.dtype_policies.get(config.get("dtype"))
        if "attention" in config:
            config["attention"] = renamed_attention(config["attention"])
        return from_config_with_sublayers(lambda config: cls(**config), config)


def _with_earlier_defaults(config):
    """A configuration, with what was not in it when there was no choice."""
    if "block" in config:
        return {**config}
    config = {**config, "block": "plain"}
    default = "rotary" if config.get("causal") else "sinusoidal"
    if (config.get("positions") or default) == "sinusoidal":
        config["position_scale"] = 0.02
    return config


def get_feature_maps(identifiers):
    """The feature map of an identifier, or a list of them of a list."""
    if isinstance(identifiers, (list, tuple)):
        return [feature_maps.get(identifier) for identifier in identifiers]
    return feature_maps.get(identifiers)
