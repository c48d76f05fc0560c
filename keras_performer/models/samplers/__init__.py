"""Samplers choose the next token; they have the same call as those of KerasHub."""

from keras_performer.models.samplers.beam_sampler import BeamSampler
from keras_performer.models.samplers.greedy_sampler import GreedySampler
from keras_performer.models.samplers.random_sampler import RandomSampler
from keras_performer.models.samplers.registry import deserialize, get, serialize
from keras_performer.models.samplers.sampler import Sampler
from keras_performer.models.samplers.top_k_sampler import TopKSampler
from keras_performer.models.samplers.top_p_sampler import TopPSampler

__all__ = [
    "BeamSampler",
    "GreedySampler",
    "RandomSampler",
    "Sampler",
    "TopKSampler",
    "TopPSampler",
    "deserialize",
    "get",
    "serialize",
]


def __dir__() -> list[str]:
    return sorted(__all__)
