"""The blocks in place of KerasHub's: one name changed, weights by path, samplers."""

import functools
import inspect
import sys
import warnings

import keras
import numpy as np
import pytest
from keras import ops
from layer_inputs import draw, numpy
from tolerances import relative_rmse

from keras_performer.layers import PerformerDecoder, PerformerEncoder

if sys.version_info < (3, 11):
    pytest.skip("KerasHub needs Python 3.11: this is 3.10", allow_module_level=True)
keras_hub = pytest.importorskip(
    "keras_hub", reason="KerasHub is not installed; it needs Python 3.11, not 3.10"
)

THEIRS = (keras_hub.layers.TransformerEncoder, keras_hub.layers.TransformerDecoder)
OURS = (PerformerEncoder, PerformerDecoder)
PAIRS = [
    pytest.param(ours, theirs, id=ours.__name__)
    for ours, theirs in zip(OURS, THEIRS, strict=True)
]
VOCABULARY, LENGTH, DIM, HIDDEN, PROMPT = 13, 11, 16, 23, 5
BACKBONE = {
    "vocabulary_size": VOCABULARY,
    "num_layers": 2,
    "num_heads": 2,
    "hidden_dim": DIM,
    "intermediate_dim": HIDDEN,
    "max_sequence_length": LENGTH,
}


def encoder_example(encoder, decoder):
    """The example in the docstring of KerasHub's encoder."""
    inputs = keras.Input(shape=(10, 64))
    outputs = encoder(intermediate_dim=64, num_heads=8)(inputs)
    return keras.Model(inputs=inputs, outputs=outputs), draw(2, 10, 64)


def decoder_example(encoder, decoder):
    """The example in the docstring of KerasHub's decoder."""
    inputs = (keras.Input(shape=(10, 64)), keras.Input(shape=(10, 64)))
    outputs = decoder(intermediate_dim=64, num_heads=8)(*inputs)
    model = keras.Model(inputs=inputs, outputs=outputs)
    return model, (draw(2, 10, 64), draw(2, 10, 64, seed=1))


def translator(encoder, decoder):
    """Tokens to hidden states, from a source; token 0 is padding."""
    ids = [keras.Input((None,), dtype="int32") for _ in range(2)]
    source, target = (
        keras.layers.Embedding(VOCABULARY, DIM, mask_zero=True)(x) for x in ids
    )
    for _ in range(2):
        source = encoder(HIDDEN, 2, normalize_first=True)(source)
    for _ in range(2):
        target = decoder(HIDDEN, 2, activation="gelu")(target, source)
    return keras.Model(ids, target), [tokens(2, 7), tokens(2, LENGTH)]


def bert(encoder, decoder):
    ids = tokens(2, LENGTH)
    batch = {
        "token_ids": ids,
        "padding_mask": ids > 0,
        "segment_ids": np.zeros_like(ids),
    }
    return backbone(keras_hub.models.BertBackbone, TransformerEncoder=encoder), batch


def gpt2(encoder, decoder):
    ids = tokens(2, LENGTH)
    batch = {"token_ids": ids, "padding_mask": ids > 0}
    return backbone(keras_hub.models.GPT2Backbone, TransformerDecoder=decoder), batch


def backbone(cls, **names):
    """A backbone of KerasHub, with other blocks under the names it knows them by."""
    with pytest.MonkeyPatch.context() as patch:
        for name, block in names.items():
            patch.setattr(inspect.getmodule(cls), name, block)
        return cls(**BACKBONE)


def tokens(*shape):
    ids = np.random.default_rng(0).integers(1, VOCABULARY, shape).astype("int32")
    ids[0, -3:] = 0
    return ids


def below_the_layer(layer):
    """The trainable weights by path, without the layer's own name."""
    return {w.path.split("/", 1)[1]: w for w in layer.trainable_weights}


def load_by_path(model, source):
    """Gives each trainable weight of a model the one of KerasHub's at its path."""
    for layer, other in zip(model.layers, source.layers, strict=True):
        ours, theirs = below_the_layer(layer), below_the_layer(other)
        assert list(ours) == list(theirs)
        for path, weight in theirs.items():
            assert ours[path].shape == weight.shape, path
            ours[path].assign(weight)


def scale(model, factor, names=("query", "key")):
    for weight in model.trainable_weights:
        if weight.path.split("/")[-2] in names:
            weight.assign(factor * weight)


def outputs_of(model, batch):
    with warnings.catch_warnings():
        # The sublayers of KerasHub's decoder warn of the masks that it has used.
        warnings.filterwarnings("ignore", message="(?s).*does not support masking")
        return [numpy(x) for x in keras.tree.flatten(model(batch))]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_signatures_are_those_of_keras_hub(ours, theirs):
    for method in ("__init__", "call", "build"):
        actual, expected = (
            [
                (p.name, p.kind, p.default)
                for p in inspect.signature(getattr(block, method)).parameters.values()
                if p.kind is not p.KEYWORD_ONLY
            ]
            for block in (ours, theirs)
        )
        assert actual == expected, method


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_a_config_of_keras_hub_makes_the_block(ours, theirs):
    arguments = {"normalize_first": True, "activation": "gelu", "dropout": 0.25}
    source = theirs(HIDDEN, 2, name="block", dtype="mixed_bfloat16", **arguments)
    source.build((None, None, DIM))
    block = ours.from_config(source.get_config())
    if ours is PerformerEncoder:  # the decoder's config has shapes
        block.build((None, None, DIM))
    config = block.get_config()
    for name, value in source.get_config().items():
        if not name.endswith("_sequence_shape"):
            assert config[name] == value, name
    names = [w.path for w in block.trainable_weights]
    assert names == [w.path for w in source.trainable_weights]


@pytest.mark.parametrize(
    ("build", "factor"),
    [
        # Factors that make the scores neither nearly equal, nor hard to estimate.
        (encoder_example, 0.5),
        (decoder_example, 0.5),
        (translator, 0.5),
        (bert, 6),
        (gpt2, 3),
    ],
)
def test_models_of_keras_hub_with_one_name_changed(build, factor):
    source, batch = build(*THEIRS)
    scale(source, factor)
    errors = []
    for num_features in (256, 4096):
        options = {"num_features": num_features, "seed": 0}
        model, _ = build(*(functools.partial(block, **options) for block in OURS))
        load_by_path(model, source)
        errors.append(outputs_of(model, batch))
    exact = outputs_of(source, batch)
    scale(source, 0)
    uniform = outputs_of(source, batch)
    for few, many, truth, mean in zip(*errors, exact, uniform, strict=True):
        error = relative_rmse(many, truth)
        # Of what attention does, beyond taking means, most is there; what is not is
        # the error of an estimate, which falls to a quarter with 16 times the features.
        assert error < 0.2 * relative_rmse(mean, truth)
        assert error < 0.4 * relative_rmse(few, truth)


@pytest.mark.slow
def test_a_sampler_decodes_from_left_padded_prompts():
    blocks = [
        PerformerDecoder(HIDDEN, 2, normalize_first=True, seed=seed)
        for seed in range(2)
    ]
    for seed, block in enumerate(blocks):
        block.build((None, None, DIM))
        for weight in block.trainable_weights:
            if weight.path.endswith("kernel"):
                weight.assign(0.3 * draw(*weight.shape, seed=seed))
    embedding = ops.convert_to_tensor(draw(VOCABULARY, DIM))
    # What a token calls for is the next one of the vocabulary, but for the context.
    head = ops.transpose(ops.roll(embedding, 1, axis=0))
    prompt = np.random.default_rng(0).integers(0, VOCABULARY, (3, LENGTH), "int32")
    real = np.arange(LENGTH) >= np.array([0, 2, PROMPT - 1])[:, None]
    mask = ops.convert_to_tensor(real)

    def logits(ids, mask):
        x = ops.take(embedding, ids, axis=0)
        for block in blocks:
            x = block(x, decoder_padding_mask=mask)
        return ops.matmul(x, head)

    def cached_logits(ids, mask, cache, index):
        x, states = ops.take(embedding, ids, axis=0), []
        for block, state in zip(blocks, cache, strict=True):
            x, state = block(
                x,
                decoder_padding_mask=mask,
                self_attention_cache=state,
                self_attention_cache_update_index=index,
            )
            states.append(state)
        return ops.matmul(x, head), states

    expected = prompt.copy()
    for end in range(PROMPT, LENGTH):
        scores = numpy(logits(expected[:, :end], mask[:, :end]))
        expected[:, end] = np.argmax(scores[:, -1], axis=-1)

    def next(prompt, cache, index):
        ids, hidden = (
            ops.slice(x, [0, index - 1], [len(expected), 1]) for x in (prompt, mask)
        )
        scores, cache = cached_logits(ids, hidden, cache, index - 1)
        return scores[:, 0], None, cache

    def sampled(states):
        return keras_hub.samplers.GreedySampler()(
            next,
            ops.convert_to_tensor(prompt),
            cache=states,
            index=PROMPT,
            mask=ops.arange(LENGTH) < PROMPT * ops.ones_like(prompt),
        )

    first = slice(0, PROMPT - 1)
    empty = [block.initial_state(len(prompt)) for block in blocks]
    _, states = cached_logits(prompt[:, first], mask[:, first], empty, 0)
    assert np.array_equal(numpy(sampled(states)), expected)
    # The prompts have a say in it, or equality would say little.
    forgetful = numpy(sampled(empty))
    assert np.all(np.any(forgetful[:2] != expected[:2], axis=1))
