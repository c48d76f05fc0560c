"""Several devices: training as on one, with the code of `docs/distribution.md`."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import keras_performer

ROOT = Path(keras_performer.__file__).parents[1]
GUIDE = ROOT / "docs" / "distribution.md"

# In a process of its own, on JAX: devices are made before its first operation.
JAX_SCRIPT = """
import re
import sys

model_code, data_parallel, model_parallel = sys.argv[1:]
exec(model_code)

from tolerances import assert_close

from keras_performer.layers import FastAttention
from keras_performer.ops import projections

FIT = dict(batch_size=8, shuffle=False, verbose=0)


def causal():
    # A map with parameters of each head, and heads of queries that share one of keys.
    keras.utils.set_random_seed(1)
    x = inputs = keras.Input((None, 6))
    layer = FastAttention(
        16, 4, num_key_value_heads=8, feature_map="favor_sharp", num_features=11,
        use_gate=True, seed=0,
    )
    model = keras.Model(inputs, layer(x, x, use_causal_mask=True))
    model.compile("sgd", "mse")
    return model


def trained_causal():
    model = causal()
    # In two, for the loss of each step.
    losses = [model.train_on_batch(sequence[i], sequence[i]) for i in (0, 1)]
    return model, losses


def trained_classifier():
    model = classifier()
    redraw = [RedrawProjections(interval=1)]
    return model, model.fit(token_ids, labels, callbacks=redraw, **FIT).history["loss"]


def compare(model, alone):
    for weight, expected in zip(model.weights, alone.weights, strict=True):
        assert weight.path.split("/")[1:] == expected.path.split("/")[1:]
        assert_close(np.asarray(weight), np.asarray(expected))


def check_shards(model, devices, sharded):
    for weight in model.weights:
        shards = [np.asarray(s.data) for s in weight.value.addressable_shards]
        assert len(shards) == 8, weight.path
        parts = np.asarray(weight).size // shards[0].size
        expected = devices if re.search(sharded, weight.path) else 1
        assert parts == expected, (weight.path, parts, expected)
        if parts == 1:
            assert all(np.array_equal(x, shards[0]) for x in shards), weight.path


def check_redrawn(model):
    projection = next(w for w in model.weights if w.path.endswith("/projection"))
    # Two steps: what was drawn with the second.
    drawn = projections.orthogonal((0, 1, 0), *projection.shape)
    assert all(
        np.array_equal(shard.data, drawn)
        for shard in projection.value.addressable_shards
    )


SHARDED = (
    "token_embedding/embeddings|(query|key|value|gate)/|attention_output/kernel"
    "|feedforward_intermediate_dense|feedforward_output_dense/kernel"
    "|(query|key)_(mean|square)"
)
sequence = generator.standard_normal((2, 8, 70, 6)).astype("float32")
alone, losses = trained_classifier()
check_redrawn(alone)

exec(data_parallel)
check_shards(model, 1, "nothing")
check_redrawn(model)
compare(model, alone)
print("data parallel")

exec(model_parallel)
check_shards(model, 4, SHARDED)
check_redrawn(model)
compare(model, alone)
assert_close(model.history.history["loss"], losses)
print("2x4")
"""

CAUSAL_AND_EIGHT_PARTS = """
split_model, split_losses = trained_causal()
check_shards(split_model, 4, SHARDED)
keras.distribution.set_distribution(None)
alone_causal, causal_losses = trained_causal()
compare(split_model, alone_causal)
assert_close(split_losses, causal_losses)
print("causal")

exec(model_parallel.replace("(2, 4)", "(1, 8)"))
assert mesh.shape == (1, 8)
check_shards(model, 8, SHARDED)
compare(model, alone)
print("1x8")
"""

MIRRORED_SCRIPT = """
import sys

import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
logical = tf.config.LogicalDeviceConfiguration()
tf.config.set_logical_device_configuration(cpu, [logical, logical])

exec("\\n".join(sys.argv[1:]))
assert strategy.num_replicas_in_sync == 2
for weight in model.weights:
    assert np.array_equal(*(v.numpy() for v in weight.value.values)), weight.path
print("mirrored")
"""


def code_of(title):
    """The Python code in the guide's section of a title; "" is before the first."""
    sections = re.split(
        r"^## (.*)\n", "\n" + GUIDE.read_text("utf-8"), flags=re.MULTILINE
    )
    titles = ["", *sections[1::2]]
    (section,) = (
        text for name, text in zip(titles, sections[::2], strict=True) if name == title
    )
    blocks = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert blocks, f"{GUIDE} has no code in its section {title!r}"
    return blocks


def run(script, *arguments, **environment):
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
            **environment,
        },
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    return done.stdout.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (JAX_SCRIPT, ["data parallel", "2x4"]),
        pytest.param(
            JAX_SCRIPT + CAUSAL_AND_EIGHT_PARTS,
            ["data parallel", "2x4", "causal", "1x8"],
            marks=pytest.mark.slow,
        ),
    ],
    ids=["classifier", "causal and eight parts"],
)
def test_keras_distributions_train_as_one_device_does(script, expected):
    pytest.importorskip("jax")
    (model,) = code_of("")
    (data_parallel,) = code_of("JAX: each device a part of the batch")
    (model_parallel,) = code_of("JAX: each device a part of the heads")
    printed = run(
        script,
        *(model, data_parallel, model_parallel),
        KERAS_BACKEND="jax",
        JAX_ENABLE_X64="0",
        # The second and third: compiling, not running, is what takes the time.
        XLA_FLAGS="--xla_force_host_platform_device_count=8"
        " --xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true",
    )
    assert printed == expected


@pytest.mark.slow
def test_replicas_of_the_guide_are_identical():
    pytest.importorskip("tensorflow")
    code = code_of("") + code_of("TensorFlow: replicas")
    printed = run(MIRRORED_SCRIPT, *code, KERAS_BACKEND="tensorflow")
    assert printed[-1] == "mirrored"
