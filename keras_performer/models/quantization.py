"""`quantized_quietly`: what Keras says while it quantizes a model of many layers."""

import contextlib
import warnings


@contextlib.contextmanager
def quantized_quietly():
    """A context in which Keras does not warn of layers that have nothing to quantize.

    `keras.Model.quantize` asks every layer, and warns of each dropout, normalization
    and input of a model that has no such method: dozens of lines that say nothing of
    what was quantized. Its `filters`, which would leave them out, are not in all
    versions of Keras that we run with.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", r"Layer \w+ does not have a `quantize` method implemented"
        )
        yield
