"""Two replicas of a model: what is drawn and gathered in training is one."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

import keras_performer

# In a process of its own: logical devices are made before TensorFlow's first operation.
SCRIPT = """
import sys

import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
logical = tf.config.LogicalDeviceConfiguration()
tf.config.set_logical_device_configuration(cpu, [logical, logical])

import keras
import numpy as np

from keras_performer.callbacks import RedrawProjections
from keras_performer.layers import FastAttention
from keras_performer.ops import projections

strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    inputs = keras.Input((7, 6))
    layer = FastAttention(3, 5, num_features=11, seed=0, feature_map=sys.argv[1])
    model = keras.Model(inputs, layer(inputs, inputs))
    model.compile("sgd", "mse", jit_compile=False)
assert strategy.num_replicas_in_sync == 2

generator = np.random.default_rng(0)
x, y = generator.standard_normal((2, 32, 7, 6)).astype("float32")
before = {w.path: w.numpy().copy() for w in layer.weights}
model.fit(x, y, batch_size=8, verbose=0, callbacks=[RedrawProjections(interval=3)])
for weight in layer.weights:
    replicas = [v.numpy() for v in weight.value.values]
    assert len(replicas) == 2, weight.path
    assert np.array_equal(*replicas), weight.path
    assert np.any(replicas[0] != before[weight.path]), weight.path
drawn = projections.orthogonal((0, 3, 0), 11, 5)
assert np.array_equal(layer.feature_parameters["projection"], drawn)
print("identical")
"""


@pytest.mark.slow
@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="a strategy of TensorFlow"
)
@pytest.mark.parametrize(
    "feature_map", [pytest.param("softmax", marks=pytest.mark.slow), "favor_sharp"]
)
def test_replicas_are_identical_after_redraws(feature_map):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, feature_map],
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(keras_performer.__file__).parents[1]),
        },
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split()[-1] == "identical"
