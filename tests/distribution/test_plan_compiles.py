"""Steps compiled for TPUs: generations, memory, and what does not fit."""

import dataclasses
import functools
import importlib.util

import pytest

from keras_performer.distribution import CompilationError, PlanSettings
from keras_performer.distribution import compile_plan as compile_plan_anew
from keras_performer.distribution.tpu_topology import GENERATIONS
from keras_performer.models import PerformerBackbone

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("libtpu") is None,
        reason="libtpu is not installed: `make test-tpu`",
    ),
]

SIZES = {
    "num_layers": 1,
    "num_heads": 2,
    "hidden_dim": 32,
    "intermediate_dim": 48,
    "vocabulary_size": 11,
    "num_features": 16,
}
SETTINGS = PlanSettings(
    "v5e:2x2", seq_len=256, batch=4, step="forward", dropout=0.0, **SIZES
)
compile_plan = functools.cache(compile_plan_anew)


def changed(**changes):
    return dataclasses.replace(SETTINGS, **changes)


def num_parameters():
    return PerformerBackbone(**SIZES).count_params()


@pytest.mark.parametrize("topology", ["v5e:2x2", "v4:2x2x1"])
def test_forward_and_training_step_compile(topology):
    forward = compile_plan(changed(topology=topology))
    training = compile_plan(changed(topology=topology, step="training", dropout=0.1))
    # Weights; and with them Adam's two moments, all of which the step replaces.
    assert forward.arguments > 4 * num_parameters()
    assert training.arguments > 3 * 4 * num_parameters() * 0.95
    assert training.aliased > 0.9 * training.arguments - 2**16
    assert forward.aliased == 0
    dense = 4 * 32 * 32 + 2 * 32 * 48 + 32 * 11
    assert forward.product_flops > 2 * 4 * 256 * dense
    assert training.product_flops >= 3 * forward.product_flops
    assert 0 < forward.flops < training.flops
    assert 0 < forward.bytes_accessed < training.bytes_accessed


@pytest.mark.parametrize("generation", sorted(set(GENERATIONS) - {"v4", "v5e"}))
def test_the_other_generations_compile(generation):
    plan = compile_plan(changed(topology=f"{generation}:2x2x1", batch=8))
    assert plan.arguments > 4 * num_parameters()


def test_one_chip_compiles():
    assert compile_plan(changed(topology="v5e:1x1")).total > 0


def test_exact_attention_takes_what_linear_does_not():
    linear = compile_plan(changed(seq_len=8192))
    exact = compile_plan(changed(seq_len=8192, attention="exact"))
    scores = 2 * 8192 * 8192 * 2  # H·T·T in bfloat16, on one device
    assert linear.temporaries < scores / 4 < exact.temporaries


def test_what_does_not_fit_is_lack_of_memory():
    with pytest.raises(CompilationError, match="HBM") as raised:
        compile_plan(changed(seq_len=262_144, attention="exact"))
    assert raised.value.out_of_memory


def test_devices_that_share_heads_hold_less():
    shared = changed(hidden_dim=512, intermediate_dim=512, model_parallel=2)
    alone = compile_plan(dataclasses.replace(shared, model_parallel=1))
    assert compile_plan(shared).arguments < 0.6 * alone.arguments


def test_blocks_computed_again_compile():
    kept = compile_plan(changed(step="training", dropout=0.1))
    again = compile_plan(changed(step="training", dropout=0.1, remat=True))
    assert again.product_flops > 1.2 * kept.product_flops


def test_a_shape_that_no_slice_has_is_refused_in_the_compilers_words():
    with pytest.raises(CompilationError, match="3x3") as raised:
        compile_plan(changed(topology="v5e:3x3", batch=9))
    assert not raised.value.out_of_memory
