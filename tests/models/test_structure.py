"""`Structure`: generation heeds what a model has become since it was compiled."""

import keras
import numpy as np
import pytest
from test_performer_backbone import backbone, randomize
from test_token_generator import assert_greedy, language_model

from keras_performer.models import PerformerCausalLM, samplers
from keras_performer.models.structure import Structure

PROMPTS = [[5, 3, 2], [7]]
N = 3


def large(variable):
    generator = np.random.default_rng(1)
    variable.assign(3 * generator.standard_normal(variable.shape))


def add_lora(model):
    dense = model.backbone.blocks[0]._feedforward_output_dense
    dense.enable_lora(2)
    large(dense.lora_kernel_b)


def replace_activation(model):
    model.backbone.blocks[0]._feedforward_intermediate_dense.activation = keras.ops.sin


def replace_sublayer(model):
    block = model.backbone.blocks[0]
    new = type(block._feedforward_output_dense)(18, name="feedforward_output_dense")
    new.build((None, None, 23))
    large(new.kernel)
    block._tracker.unlock()
    block._feedforward_output_dense = new
    block._tracker.lock()


def redraw(model):
    attention = model.backbone.blocks[0]._self_attention_layer
    attention.redraw_projection(5)
    large(attention._feature_weights._weights["projection"])


@pytest.mark.cases("replace_sublayer")
@pytest.mark.parametrize(
    "change", [add_lora, replace_activation, replace_sublayer, redraw]
)
def test_generation_heeds_a_change(change):
    model = language_model(num_layers=1, feature_map="softmax")
    before = model.generate(PROMPTS, N)
    change(model)
    after = model.generate(PROMPTS, N)
    assert not np.array_equal(after, before)
    assert_greedy(model, PROMPTS, after)
    assert np.array_equal(np.stack(list(model.stream(PROMPTS, N)), axis=1), after)


@pytest.mark.slow
def test_a_stream_that_was_asked_for_before_heeds_a_change():
    model = language_model(num_layers=1)
    list(model.stream(PROMPTS, N))
    stream = model.stream(PROMPTS, N)
    add_lora(model)
    assert_greedy(model, PROMPTS, np.stack(list(stream), axis=1))


def test_what_is_part_of_the_structure():
    model = PerformerCausalLM(backbone(causal=True, num_layers=1))
    before = Structure(model)
    for change, undo in (
        (lambda: setattr(model.backbone, "trainable", False), "trainable"),
        (lambda: setattr(model.backbone.blocks[0], "dtype_policy", "bfloat16"), None),
        (lambda: add_lora(model), None),
    ):
        change()
        assert before != Structure(model)
        if undo:
            setattr(model.backbone, undo, True)
            assert before == Structure(model)
        else:
            before = Structure(model)


@pytest.mark.slow
def test_what_changes_nothing_is_compiled_once(tmp_path):
    model = randomize(PerformerCausalLM(backbone(causal=True, num_layers=1)))
    model.generate(PROMPTS, N)
    generator = model._token_generator
    model.compile(
        "sgd",
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    ids = np.ones((2, 4), "int32")
    model.fit(ids, ids, verbose=0)
    model.predict(ids, verbose=0)
    model.save(tmp_path / "model.keras")
    model.generate(PROMPTS, N)
    assert model._token_generator is generator


@pytest.mark.slow
def test_settings_of_a_sampler_are_heeded():
    model = language_model(num_layers=1)
    sampler = samplers.TopKSampler(k=1, seed=0)
    greedy = model.generate(PROMPTS, 8, sampler)
    sampler.k = 20
    assert not np.array_equal(model.generate(PROMPTS, 8, sampler), greedy)
