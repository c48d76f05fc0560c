"""Samplers by name, as Keras resolves initializers and activations."""

from typing import Any

import keras

from keras_performer.models.samplers.beam_sampler import BeamSampler
from keras_performer.models.samplers.greedy_sampler import GreedySampler
from keras_performer.models.samplers.random_sampler import RandomSampler
from keras_performer.models.samplers.top_k_sampler import TopKSampler
from keras_performer.models.samplers.top_p_sampler import TopPSampler

_BY_NAME = {
    "greedy": GreedySampler,
    "random": RandomSampler,
    "top_k": TopKSampler,
    "top_p": TopPSampler,
    "beam": BeamSampler,
}


def get(identifier: Any) -> Any:
    """Resolves a sampler.

    Args:
        identifier: A name, a configuration from `serialize`, a `Sampler`, or an object
            with the same call, such as one of `keras_hub.samplers`.

    Returns:
        A sampler.

    Raises:
        ValueError: If the name is unknown or the object is no sampler.

    Example:

    >>> get("top_k").k
    5
    """
    if isinstance(identifier, str) and identifier in _BY_NAME:
        return _BY_NAME[identifier]()
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if _is_sampler(identifier):
        return identifier
    raise ValueError(
        f"Unknown sampler: {identifier!r}. Expected one of {sorted(_BY_NAME)}, a "
        "`keras_performer.models.samplers.Sampler` or one of `keras_hub.samplers`, as "
        "an object, or the configuration of one."
    )


def serialize(sampler: Any) -> dict[str, Any]:
    """Returns the configuration of a sampler, for `deserialize`."""
    return keras.saving.serialize_keras_object(sampler)


def deserialize(config: dict[str, Any]) -> Any:
    """Makes a sampler from what `serialize` returned.

    Raises:
        ValueError: If it is the configuration of something else.
    """
    made = keras.saving.deserialize_keras_object(config)
    if not _is_sampler(made):
        raise ValueError(
            f"Expected the configuration of a sampler. Received: {config!r}, which "
            f"makes {made!r}"
        )
    return made


def _is_sampler(x: Any) -> bool:
    return callable(x) and hasattr(x, "variables") and not isinstance(x, type)
