"""`quantized_quietly`: what Keras says while it quantizes a model of many layers."""

import contextlib
import warnings


@contextlib.contextmanager
def quantized_quietly():
    """A context in which Keras does not warn of layers that have nothing to quantize.

    `keras.Model.quantize` asks every layer, and warns of each dropout, normalization
    and input of a model that has no such method, and of embeddings, which have no
    float8: lines that say nothing of what was quantized. An unknown mode is an error
    before that. Its `filters`, which would leave them out, are not in all
    versions of Keras that we run with.
    """
    with warnings.catch_warnings():
        for message in (
            r"Layer \w+ does not have a `quantize` method implemented",
            r"Invalid quantization mode\. Expected one of \('int8', 'int4'\)",
        ):
            warnings.filterwarnings("ignore", message)
        yield
