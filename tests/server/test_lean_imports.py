"""What the command imports to serve, and what it leaves to those who ask for it."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys

sys.argv = ["keras-performer"]  # which imports no Keras
from keras_performer.server import serve

assert not {"keras", "jax", "tensorflow._api"} & set(sys.modules), "not lean"
import tensorflow as tf

assert "tensorflow._api" not in sys.modules
assert not hasattr(tf, "__nothing__")
assert tf.add(1, 2).numpy() == 3
assert tf.nn.relu([-1.0]).numpy() == 0
assert tf.string is sys.modules["keras_performer.server.tensorflow_core"].string
try:
    tf.nothing
except AttributeError as error:
    assert "nothing" in str(error)
else:
    raise AssertionError("a name that is not there")
"""


@pytest.mark.slow
def test_the_interface_of_tensorflow_is_loaded_when_it_is_asked_for():
    subprocess.run([sys.executable, "-c", PROGRAM], check=True)
