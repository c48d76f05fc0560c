"""Keras's own tests of its attention layers, as installed, run on the layers here."""

import importlib.util
import re
import types
import unittest
import warnings
from pathlib import Path

import keras

from keras_performer.layers import ExactAttention, FastAttention

FOLDER = Path(keras.__file__).parent / "src" / "layers" / "attention"
LAYERS = {"FastAttention": FastAttention, "ExactAttention": ExactAttention}
FILES = {
    "multi_head_attention_test.py": "MultiHeadAttentionTest",
    "grouped_query_attention_test.py": "GroupedQueryAttentionTest",
}

# What a test of Keras stops at, and the words that it stops with.
STOPS = {
    "one weight more": "Unexpected number of non_trainable_weights"
    "|weight list of length 8, but the layer was expecting 9|^AssertionError: 4 != 3",
    "mask of T × S": "`attention_mask` must be a key mask",
    "`sliding_window`": "`sliding_window` hides all that is farther",
    "`flash_attention`": "`flash_attention` is a way to compute exact",
    "no such hook": "overrides _compute_attention|no attribute '_compute_attention'",
    "other words": "does not match",
    "a rank of no key": r"object of type 'int' has no len\(\)",
}


def grouped(attention):
    """An attention layer with the argument names of `GroupQueryAttention`."""

    @keras.saving.register_keras_serializable(package=attention.__name__)
    class GroupedQueryAttention(attention):
        def __init__(self, head_dim, num_query_heads, num_key_value_heads, **kwargs):
            super().__init__(
                num_query_heads,
                head_dim,
                num_key_value_heads=num_key_value_heads,
                **kwargs,
            )

        def get_config(self):
            config = super().get_config()
            config["head_dim"] = config.pop("key_dim")
            config["num_query_heads"] = config.pop("num_heads")
            return config

    return GroupedQueryAttention


def test_class(file, layer):
    """The test class of one of Keras's files, with a layer in the place of Keras's.

    Args:
        file: One of `FILES`.
        layer: One of `LAYERS`.
    """
    name = f"{layer}_{file}".removesuffix(".py")
    spec = importlib.util.spec_from_file_location(name, FOLDER / file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    replaced = {
        "MultiHeadAttention": LAYERS[layer],
        "GroupedQueryAttention": grouped(LAYERS[layer]),
    }
    module.layers = types.SimpleNamespace(**{**vars(module.layers), **replaced})
    return getattr(module, FILES[file])


test_class.__test__ = False  # no test of ours


def names_of_cases(file, layer):
    """The names of all cases of one of Keras's files, one for each parameter."""
    return unittest.defaultTestLoader.getTestCaseNames(test_class(file, layer))


def outcome(tests, name):
    """What becomes of one case.

    Args:
        tests: A class from `test_class`.
        name: The name of a case of it.

    Returns:
        `"passes"`, `"skipped"`, a name of `STOPS`, or what it stopped with.
    """
    marks = getattr(getattr(tests, name), "pytestmark", [])
    if any(mark.name == "skipif" and mark.args[0] for mark in marks):
        return "skipped"
    result = unittest.TestResult()
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # as Keras runs them
        tests(name).run(result)
    problems = result.failures + result.errors
    if result.skipped or any("Skipped: " in text for _, text in problems):
        return "skipped"
    if not problems:
        return "passes"
    last = problems[0][1].strip().splitlines()[-1]
    stops = [stop for stop, words in STOPS.items() if re.search(words, last)]
    return stops[0] if stops else last
