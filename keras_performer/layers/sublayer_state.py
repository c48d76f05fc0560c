"""What became of a composite's sublayers since it was made, for its config.

Keras keeps quantization, LoRA and `trainable` with each layer's own config. A composite
makes its sublayers itself, so its config has to say what was changed of them.
"""

import keras
from keras import dtype_policies, saving

from keras_performer.layers.sublayers import policy_at, saved_policy

KEY = "sublayers"


class CompositeLayer(keras.layers.Layer):
    """A layer that makes its sublayers in `build`, with their state in its config.

    The base class of attention and of blocks.
    """

    def get_config(self):
        return {
            **super().get_config(),
            "dtype": dtype_policies.serialize(saved_policy(self)),
            **sublayer_changes(self),
        }

    @classmethod
    def from_config(cls, config):
        return from_config_with_sublayers(super().from_config, config)

    def _post_build(self):
        super()._post_build()
        remember_sublayers(self)


def remember_sublayers(layer):
    """Notes how the sublayers are when they have just been made.

    Args:
        layer: A built `keras.layers.Layer`.
    """
    layer._sublayers_as_made = _states(layer)
    changes = getattr(layer, "_sublayers_to_be", None)
    if changes:
        _restore(layer, changes)


def sublayer_changes(layer):
    """The entry of a config with what changed since `remember_sublayers`.

    Args:
        layer: A `keras.layers.Layer`, built or not.

    Returns:
        Dictionary with the key `"sublayers"`, empty where nothing changed.

    Example:

    >>> from keras_performer.layers import PerformerEncoder
    >>> block = PerformerEncoder(intermediate_dim=8, num_heads=2)
    >>> block.build((None, None, 4))
    >>> sublayer_changes(block)
    {}
    >>> block._feedforward_output_dense.trainable = False
    >>> sublayer_changes(block)
    {'sublayers': {'feedforward_output_dense': {'trainable': False}}}
    """
    if not layer.built:
        return {}
    now, changes = _states(layer), {}
    for path, before in layer._sublayers_as_made.items():
        state = now.get(path, before)
        changed = {name: x for name, x in state.items() if before.get(name) != x}
        if changed and state.get("lora"):
            changed["other_variables"] = state["other_variables"]
        if changed:
            changes[path] = changed
    return {KEY: changes} if changes else {}


def from_config_with_sublayers(make, config):
    """A composite from its config, with the changes of its sublayers.

    Args:
        make: Function of a config without these changes.
        config: What `get_config` returned.

    Returns:
        What `make` returns. Where that is not built yet, `remember_sublayers` restores
        the sublayers when it is.
    """
    config = dict(config)
    changes = config.pop(KEY, None)
    layer = make(config)
    if changes and layer.built:
        _restore(layer, changes)
    elif changes:
        layer._sublayers_to_be = changes
    return layer


def _restore(layer, changes):
    walk = [(path, x) for path, x in _walk(layer) if path in changes]
    for path, sublayer in walk:
        _restore_structure(sublayer, changes[path])
    # The layers above before those below: a layer passes its state on to these.
    for path, sublayer in walk:
        trainable = changes[path].get("trainable", sublayer.trainable)
        if sublayer.trainable != trainable:
            sublayer.trainable = trainable
    for path, sublayer in walk:
        if "other_variables" in changes[path]:
            others = changes[path]["other_variables"]
            for variable in sublayer._trainable_variables:
                variable.trainable = sublayer.trainable != (variable.name in others)


def _restore_structure(layer, change):
    policy = dtype_policies.get(change.get("dtype"))
    if "dtype" in change and policy.name != layer.dtype_policy.name:
        if policy.quantization_mode is None:
            layer.dtype_policy = policy
        else:
            config = saving.deserialize_keras_object(change.get("quantization_config"))
            layer.quantize(policy.quantization_mode, config=config)
    if change.get("lora") and not layer.lora_enabled:
        rank, alpha = change["lora"]
        layer.enable_lora(rank, lora_alpha=alpha)


def _walk(layer):
    """Pairs of a path below a layer and the layer there, from the layer itself down.

    Layers without weights are left out: the names of some are not the same tomorrow.
    """
    seen = set()

    def below(path, layer):
        if id(layer) in seen or not layer.weights:
            return
        seen.add(id(layer))
        yield path, layer
        for sublayer in layer._layers:
            yield from below(f"{path}/{sublayer.name}".lstrip("/"), sublayer)

    yield from below("", layer)


def _states(layer):
    """From the path of each layer with weights to its state."""
    return {path: _state(sublayer) for path, sublayer in _walk(layer)}


def _state(layer):
    others = [
        variable.name
        for variable in layer._trainable_variables
        if variable.trainable != layer.trainable
    ]
    state = {"trainable": layer.trainable, "other_variables": others}
    if isinstance(layer, keras.Model):
        return state
    config, lora = None, None
    if layer.quantization_mode is not None:
        config = getattr(layer, "quantization_config", None)
    if getattr(layer, "lora_enabled", False):
        lora = [layer.lora_rank, layer.lora_alpha]
    return {
        **state,
        "dtype": policy_at(layer.dtype_policy, layer.path).name,
        "quantization_config": saving.serialize_keras_object(config),
        "lora": lora,
    }
