"""TensorFlow's own lowering of a model, compiled by the compiler of TPUs.

TensorFlow without a TPU has no kernels under the platform "TPU"; what it lowers to
StableHLO is the same for all platforms, and the TPU's compiler takes it.
"""

import importlib.util
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_performer.distribution.compiled_plan import ENVIRONMENT
from keras_performer.models import PerformerBackbone

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("libtpu") is None,
        reason="libtpu is not installed: `make test-tpu`",
    ),
    pytest.mark.skipif(
        keras.backend.backend() != "tensorflow", reason="TensorFlow lowers here"
    ),
]

COMPILE = """
import json, sys
import numpy as np
from jax._src import compiler
from jax._src.interpreters import mlir
from jax._src.lib import xla_client
from jax._src.lib.mlir import ir
from jax.experimental import topologies

path, topology, options = sys.argv[1:]
devices = topologies.get_topology_desc(
    platform="tpu", topology_name=topology, **json.loads(options)
).devices[:1]
compile_options = compiler.get_compile_options(1, 1, np.array([[devices[0].id]]))
with mlir.make_ir_context():
    module = ir.Module.parse(open(path, "rb").read())

    # TensorFlow copies what it assigns to a variable by an operation that is no part
    # of StableHLO: the value itself takes its place.
    def skip_copy(operation):
        if operation.name == "mhlo.copy":
            operation.results[0].replace_all_uses_with(operation.operands[0])
            operation.erase()
        return ir.WalkResult.ADVANCE

    module.operation.walk(skip_copy, ir.WalkOrder.POST_ORDER)
    executable = devices[0].client.compile(
        module,
        executable_devices=xla_client.DeviceList(tuple(devices)),
        compile_options=compile_options,
    )
print(executable.get_compiled_memory_stats().argument_size_in_bytes)
"""
SHAPE = (2, 300)
MEGACORE = json.dumps({"chip_config_name": "megacore"})


@pytest.fixture(scope="module")
def model():
    backbone = PerformerBackbone(
        vocabulary_size=11,
        num_layers=1,
        num_heads=2,
        hidden_dim=32,
        intermediate_dim=48,
        num_features=16,
        seed=0,
    )
    logits = keras.layers.Dense(11)(backbone.output)
    return keras.Model(backbone.input, logits)


def forward(model):
    def step(token_ids, targets):
        return model(token_ids, training=False)

    return step


def training_step(model):
    import tensorflow as tf

    optimizer = keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)

    def step(token_ids, targets):
        with tf.GradientTape() as tape:
            logits = model(token_ids, training=True)
            losses = keras.losses.sparse_categorical_crossentropy(
                targets, logits, from_logits=True
            )
            loss = tf.reduce_mean(losses)
        slopes = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(slopes, model.trainable_variables)
        return loss

    return step


@pytest.mark.parametrize("make", [forward, training_step])
@pytest.mark.parametrize(
    ("topology", "options"), [("v5e:2x2", "{}"), ("v4:2x2x1", MEGACORE)]
)
def test_what_tensorflow_lowers_compiles(make, topology, options, model, tmp_path):
    import tensorflow as tf

    token_ids = tf.TensorSpec(SHAPE, "int32")
    step = tf.function(make(model), jit_compile=True)
    lower = step.experimental_get_compiler_ir(token_ids, token_ids)
    lowered = lower(stage="stablehlo_serialized")
    path = tmp_path / "step.mlir"
    path.write_bytes(lowered)
    done = subprocess.run(
        [sys.executable, "-c", COMPILE, str(path), topology, options],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **ENVIRONMENT},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    num_weights = sum(int(np.prod(w.shape)) for w in model.trainable_variables)
    assert int(done.stdout.split()[-1]) > 4 * num_weights
