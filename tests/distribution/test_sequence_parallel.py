"""Sequence parallelism: what one device computes, from spans on eight virtual ones."""

import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import pytest

import keras_performer
from keras_performer.distribution.sequence_parallel import sequence_parallel

ROOT = Path(keras_performer.__file__).parents[1]
GUIDE = ROOT / "docs" / "distribution.md"
SECTION = "JAX: each device a part of the positions"

# Processes of their own, on JAX: devices are made before its first operation.
COMMON = r"""
import re
import sys

import jax
import keras
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from tolerances import EXACT_SINE, assert_close

COLLECTIVES = "all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter"


# Numbers in the largest array that one device has.
def largest(compiled):
    shapes = re.findall(r"\b(?:bf16|f32|f64)\[([\d,]+)\]", compiled.as_text())
    return max(np.prod([int(n) for n in shape.split(",")]) for shape in shapes)


# Names of the operations that send numbers; positions are counted over masks of all.
def sent(compiled):
    operation = rf" = \(?(?:bf16|f32|f64)\[.* ({COLLECTIVES})(?:-start)?\("
    return set(re.findall(operation, compiled.as_text()))
"""

FUNCTIONS = """
from attention_inputs import draw_map, split_trainable

from keras_performer.distribution.sequence_parallel import (
    _sum_of_earlier,
    sequence_parallel_attention,
)
from keras_performer.ops import linear_attention

B, H, HK, D, DV = 2, 6, 2, 5, 7
LONG = 8 * 701
generator = np.random.default_rng(0)


def draw(target, source):
    shapes = (target, H, D), (source, HK, D), (source, HK, DV)
    inputs = [generator.standard_normal((B, *shape)) for shape in shapes]
    mask = generator.random((B, source)) < 0.6
    return inputs, mask, generator.standard_normal((B, target, H, DV))


# Log decays of keys, in the place of a key's mask.
def draw_decay(length):
    return -generator.exponential(0.05, (B, length, HK))


def mesh_of(*shape):
    names = ("batch", "sequence")[-len(shape):]
    return Mesh(np.array(jax.devices()[: np.prod(shape)]).reshape(shape), names)


# A function of (inputs, trained, fixed, mask, upstream): the output and gradients. Log
# decays are the fourth of the inputs, if there are some.
def gradients(attend, feature_map, **options):
    def function(inputs, trained, fixed, mask, upstream):
        def attend_with(inputs, trained):
            parameters = fixed | trained
            decay = {"log_decay": inputs[3]} if len(inputs) > 3 else {}
            return attend(
                *inputs[:3], feature_map, parameters, key_mask=mask, **decay, **options
            )

        output, pull_back = jax.vjp(attend_with, inputs, trained)
        return output, pull_back(upstream)

    return jax.jit(function)


def check(devices, name, causal, target, source=None, masked=True, decays=False):
    inputs, mask, upstream = draw(target, source or target)
    inputs += [draw_decay(target)] if decays else []
    mask = mask if masked else None
    feature_map, parameters = draw_map(name, heads=HK)
    parameters = split_trainable(feature_map, parameters)
    alone = gradients(linear_attention, feature_map, causal=causal)
    expected = jax.tree.leaves(alone(inputs, *parameters, mask, upstream))

    mesh = mesh_of(*devices)
    batch = "batch" if len(devices) > 1 else None
    spans = NamedSharding(mesh, PartitionSpec(batch, "sequence"))
    inputs, mask, upstream = jax.device_put((inputs, mask, upstream), spans)
    parameters = jax.device_put(parameters, NamedSharding(mesh, PartitionSpec()))
    arguments = (inputs, *parameters, mask, upstream)
    parallel = gradients(
        sequence_parallel_attention,
        feature_map,
        causal=causal,
        mesh=mesh,
        axis_name="sequence",
    )
    compiled = parallel.lower(*arguments).compile()
    actual = jax.tree.leaves(compiled(*arguments))
    assert actual[0].sharding.is_equivalent_to(spans, 4)
    assert len(expected) == 1 + len(inputs) + len(parameters[0])
    for a, b in zip(actual, expected, strict=True):
        assert_close(a, b, "float64")
    return compiled


def refused(word, *shapes, mesh=None, axis_name="sequence", **options):
    arrays = [np.ones(shape, "float32") for shape in shapes]
    feature_map, parameters = draw_map("relu", "float32")
    try:
        sequence_parallel_attention(
            *arrays, feature_map, parameters, mesh=mesh, axis_name=axis_name, **options
        )
    except ValueError as error:
        assert word in str(error), error
    else:
        raise AssertionError(f"no error of {word}")


"""

CAUSAL = """
# Spans of 701 positions, two outer chunks, on 8 devices; hidden keys; grouped heads.
compiled = check((8,), "learned", True, LONG, decays=True)
assert sent(compiled) == {"all-reduce", "collective-permute"}
assert largest(compiled) < B * LONG * H * D, largest(compiled)
print("as on one device")

mesh = mesh_of(2, 4)
even, odd = (2, 12, 1, 5), (2, 13, 1, 5)
refused("`query`", odd, even, even, mesh=mesh)
refused("`key`", even, odd, odd, mesh=mesh)
refused("a key for each", even, (2, 8, 1, 5), (2, 8, 1, 5), mesh=mesh, causal=True)
refused("'batch', 'sequence'", even, even, even, mesh=mesh, axis_name="positions")
refused("window", even, even, even, mesh=mesh, window_size=3)
ids = np.zeros((2, 12), "int32")
refused("both sides", even, even, even, mesh=mesh, log_decay=np.zeros((2, 12, 1)))
refused("segment_ids", even, even, even, mesh=mesh, segment_ids=ids)
print("refused")
"""

OTHERS = """
check((8,), "learned", True, LONG)
compiled = check((8,), "learned", False, LONG)
assert sent(compiled) == {"all-reduce"}
assert largest(compiled) < B * LONG * H * D, largest(compiled)
# Queries and keys of other lengths; the batch divided as well.
check((2, 4), "softmax", False, 4 * 5, 4 * 9, masked=False)
print("as on one device")

for number in range(1, 9):
    mesh = mesh_of(number)
    earlier = jax.shard_map(
        lambda *parts: _sum_of_earlier(*parts, "sequence", mesh.size),
        mesh=mesh,
        in_specs=PartitionSpec("sequence"),
        out_specs=PartitionSpec("sequence"),
    )
    given = 10.0 ** np.arange(number)
    left = np.where(np.arange(number) == 3, 0.5, 1.0)  # the fourth device halves
    actual = jax.jit(earlier)(given[:, None, None, None], np.log(left)[:, None])
    expected = [
        sum(given[i] * left[i + 1 : p].prod() for i in range(p)) for p in range(number)
    ]
    np.testing.assert_allclose(actual[:, 0, 0, 0], expected)
print("any number of devices")

# Called eagerly on a mesh of two axes; what is not finite reaches later keys alone.
for broken in (np.nan, np.inf):
    (query, key, value), mask, _ = draw(4 * 13, 4 * 13)
    mask[0, 20] = mask[1, 30] = True
    mask[0, 3] = False
    key[0, 20, 1, 2] = value[1, 30, 0, 3] = value[0, 3, 0, 0] = broken
    arguments = (query, key, value, *draw_map("softmax", heads=HK))
    expected = linear_attention(*arguments, causal=True, key_mask=mask)
    actual = sequence_parallel_attention(
        *arguments,
        mesh=mesh_of(2, 4),
        axis_name="sequence",
        causal=True,
        key_mask=mask,
    )
    actual, expected = map(np.asarray, (actual, expected))
    assert 0 < np.isfinite(expected).mean() < 1
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))
    finite = np.isfinite(expected)
    assert_close(actual[finite], expected[finite], "float64")
print("contained")
"""

GUIDE_MODEL = """
model_code, divided, own_code = sys.argv[1:]
exec(model_code)

from keras_performer.ops import linear_attention

alone = classifier()
alone.fit(
    token_ids, labels, batch_size=8, shuffle=False, verbose=0,
    callbacks=[RedrawProjections(interval=1)],
)
exec(divided)
for weight, expected in zip(model.weights, alone.weights, strict=True):
    assert_close(np.asarray(weight), np.asarray(expected))
print("the guide's model")

exec(own_code)
assert_close(
    output,
    linear_attention(query, key, value, feature_maps.get("relu"), {}, causal=True),
)
print("the guide's function")

from keras_performer.layers import FastAttention

x = keras.Input((None, 6))
for word, layer in (
    ("no `FastAttention`", lambda x, _: keras.layers.Dense(2)(x)),
    ("window", FastAttention(2, 4, exact_window=3)),
):
    try:
        sequence_parallel(keras.Model(x, layer(x, x)), mesh, axis_name="sequence")
    except ValueError as error:
        assert word in str(error), error
    else:
        raise AssertionError(f"no error of {word}")
print("refused")
"""

BLOCKS = """
from keras_performer.distribution.sequence_parallel import sequence_parallel
from keras_performer.layers import FastAttention, PerformerEncoder

B, T, F = 2, 4 * 1501, 24


# A vector of each token: from an encoder block, and causal attention.
def blocks():
    keras.utils.set_random_seed(1)
    ids = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(64, F, mask_zero=True)(ids)
    x = PerformerEncoder(
        2 * F, 6, num_key_value_heads=2, feature_map="learned", num_features=4,
        rotary_base=1e4, seed=0,
    )(x)
    layer = FastAttention(6, 4, feature_map="relu")
    return keras.Model(ids, layer(x, x, use_causal_mask=True))


# The compiled step on padded ids; its loss, output and gradients.
def trained_step(model):
    def loss(trained, fixed, ids, upstream):
        output, _ = model.stateless_call(trained, fixed, ids, training=True)
        return (output * upstream).sum(), output

    weights = [
        [w.value for w in group]
        for group in (model.trainable_variables, model.non_trainable_variables)
    ]
    step = jax.jit(jax.value_and_grad(loss, has_aux=True))
    compiled = step.lower(*weights, padded, upstream).compile()
    return compiled, jax.tree.leaves(compiled(*weights, padded, upstream))


# In float64: what many positions add to a gradient nearly cancels. Sines are float32.
keras.config.set_dtype_policy("float64")
generator = np.random.default_rng(0)
padded = generator.integers(1, 64, (B, T)).astype("int32")
padded[0, :5] = padded[1, -30:] = 0
upstream = generator.standard_normal((B, T, F))

whole, expected = trained_step(blocks())

mesh = Mesh(np.array(jax.devices()[:4]), ("sequence",))
model = blocks()
sequence_parallel(model, mesh, axis_name="sequence")
divided = NamedSharding(mesh, PartitionSpec(None, "sequence"))
upstream = jax.device_put(upstream, divided)
spans, actual = trained_step(model)
for a, b in zip(actual, expected, strict=True):
    assert_close(a, b, EXACT_SINE)
assert sent(spans) == {"all-reduce", "collective-permute"}
temporary = [x.memory_analysis().temp_size_in_bytes for x in (spans, whole)]
assert temporary[0] < 0.4 * temporary[1], temporary
print("blocks")
"""


def code_of(title):
    """The Python code in the guide's section of a title; "" is before the first."""
    sections = re.split(
        r"^## (.*)\n", "\n" + GUIDE.read_text("utf-8"), flags=re.MULTILINE
    )
    section = dict(zip(["", *sections[1::2]], sections[::2], strict=True))[title]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)


def run(script, *arguments, **environment):
    paths = (ROOT, ROOT / "tests", ROOT / "tests" / "ops")
    done = subprocess.run(
        [sys.executable, "-c", COMMON + script, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "KERAS_BACKEND": "jax",
            # The second and third: compiling, not running, is what takes the time.
            "XLA_FLAGS": "--xla_force_host_platform_device_count=8"
            " --xla_backend_optimization_level=0"
            " --xla_llvm_disable_expensive_passes=true",
            **environment,
        },
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    return done.stdout.splitlines()


def test_spans_give_what_the_whole_gives():
    pytest.importorskip("jax")
    printed = run(FUNCTIONS + CAUSAL, JAX_ENABLE_X64="1")
    assert printed == ["as on one device", "refused"]


@pytest.mark.slow
def test_spans_of_other_forms_meshes_and_numbers():
    pytest.importorskip("jax")
    printed = run(FUNCTIONS + OTHERS, JAX_ENABLE_X64="1")
    assert printed == ["as on one device", "any number of devices", "contained"]


@pytest.mark.slow
def test_the_guide_trains_as_one_device_does():
    pytest.importorskip("jax")
    (model,) = code_of("")
    printed = run(GUIDE_MODEL, model, *code_of(SECTION), JAX_ENABLE_X64="0")
    assert printed == ["the guide's model", "the guide's function", "refused"]


@pytest.mark.slow
def test_blocks_of_spans_are_those_of_one_device():
    pytest.importorskip("jax")
    assert run(BLOCKS, JAX_ENABLE_X64="1") == ["blocks"]


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX can do it")
def test_other_backends_are_refused():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="KERAS_BACKEND=jax"):
        sequence_parallel(model, None, axis_name="sequence")
