"""Copying and reversing sequences by an encoder and a decoder, in linear time.

The decoder of a Performer sees its source through sums of constant size, not through a
matrix of all pairs. Can it find its way in a source token by token? The task asks for
nothing else: a source is a row of symbols in random order, between a START and an END;
a target that begins with START is the source itself, and one that begins with END is
the source backwards. Nothing can be guessed: a symbol follows another one by chance.

    python examples/seq2seq_copy.py

trains a Performer and the same model with exact softmax attention, a minute or two in
all, on sources of 2 to 14 symbols, and has them write targets for sources of 7, 14, 21
and 28, token by token. Larger by flags:

    python examples/seq2seq_copy.py --longest 126 --symbols 256 --num-layers 2 \\
        --hidden-dim 256 --learning-rate 1e-3 --cpu-minutes 60

It printed, after 1,500 steps of each (shares of tokens that are right, and of targets
without a mistake):

    symbols      Performer                        exact attention
                 copy           reverse           copy           reverse
     7            100%   100%   96.4%  87.5%       100%   100%    100%   100%
    14           83.5%  30.0%   64.7%   0.0%       100%   100%    100%   100%
    21 (longer)  16.0%   0.0%    7.4%   0.0%      97.4%  90.0%   96.0%  95.8%
    28 (longer)  10.9%   0.0%    4.7%   0.0%      56.4%  27.5%   58.5%  20.8%

Exact attention learns the task, and a rule that holds for a while beyond the lengths of
the training. The Performer does not: 14 symbols are more than sums of 32 features a
head tell apart after so few steps, and a mistake misleads what is written after it.
With `--feature-map softmax --num-features 128` it was 55 % and 47 % of the tokens at
14.
"""

import argparse

import common
import keras
import numpy as np
import tensorflow as tf

from keras_performer.models import PerformerSeq2SeqBackbone, PerformerSeq2SeqLM
from keras_performer.training import performer_optimizer

START, END, FIRST_SYMBOL = 1, 2, 3  # 0 is padding
SHORTEST = 2
TEST_SHARES = (0.5, 1, 1.5, 2)  # of the longest source that is trained on


def parse(arguments=None):
    """The flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--longest", type=common.positive, default=14, help="symbols of a source")
    add("--symbols", type=common.positive, default=32, help="that there are")
    add("--batch-size", type=common.positive, default=32)
    add("--num-layers", type=common.positive, default=1, help="of each stack")
    add("--num-heads", type=common.positive, default=2)
    add("--hidden-dim", type=common.positive, default=64)
    add("--feature-map", default="relu", help="of the attention")
    add("--num-features", type=common.positive, help="of a head")
    add("--max-wavelength", type=float, default=20, help="base of rotary positions")
    add("--test-sequences", type=common.positive, default=64, help="of each length")
    add("--learning-rate", type=float, default=1e-2)
    add("--seed", type=int, default=0)
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--steps", type=common.positive, help="of each training")
    budget.add_argument("--minutes", type=float, help="of each training")
    budget.add_argument("--cpu-minutes", type=float, help="of each training")
    parser.set_defaults(default_steps=1500)
    arguments = parser.parse_args(arguments)
    if arguments.longest < SHORTEST:
        parser.error(f"--longest is {SHORTEST} at least")
    if arguments.symbols < test_lengths(arguments)[-1]:
        parser.error(
            f"sources of {test_lengths(arguments)[-1]} different symbols are tested: "
            "--symbols is as many at least"
        )
    return arguments


def test_lengths(arguments):
    """Numbers of symbols in the sources of the table."""
    return [max(int(share * arguments.longest), 1) for share in TEST_SHARES]


# === Data: made in the graph, a function of the seed and the step ===


def batch_of(step, shortest, longest, arguments, seed):
    """Sources, targets that begin with START or END, and nothing but padding behind."""
    seeds = tf.random.experimental.stateless_split([seed, tf.cast(step, tf.int32)], 3)
    rows = arguments.batch_size
    order = tf.argsort(tf.random.stateless_uniform((rows, arguments.symbols), seeds[0]))
    symbols = tf.pad(FIRST_SYMBOL + order[:, :longest], [[0, 0], [1, 1]])
    lengths = tf.random.stateless_uniform(
        (rows, 1), seeds[1], shortest, longest + 1, tf.int32
    )
    position = tf.range(longest + 2)
    source = tf.where(position <= lengths, symbols, 0)
    source = tf.where(position == 0, START, source)
    source = tf.where(position == lengths + 1, END, source)
    backwards = tf.random.stateless_uniform((rows, 1), seeds[2]) < 0.5
    reverse = tf.reverse_sequence(source, lengths[:, 0] + 2, seq_axis=1)
    return source, tf.where(backwards, reverse, source)


def training_batches(arguments):
    """Endless batches as `fit` takes them: inputs, targets and weights."""

    def batch(step):
        source, target = batch_of(
            step, SHORTEST, arguments.longest, arguments, arguments.seed
        )
        inputs = {"encoder_token_ids": source, "decoder_token_ids": target[:, :-1]}
        return inputs, target[:, 1:], tf.cast(target[:, 1:] != 0, "float32")

    return tf.data.Dataset.counter().map(batch).prefetch(2)


# === Model and training ===


def train(attention, arguments):
    """An encoder-decoder, trained until its budget is spent, and its steps."""
    keras.utils.set_random_seed(arguments.seed)
    backbone = PerformerSeq2SeqBackbone(
        vocabulary_size=FIRST_SYMBOL + arguments.symbols,
        num_layers=arguments.num_layers,
        num_heads=arguments.num_heads,
        hidden_dim=arguments.hidden_dim,
        intermediate_dim=2 * arguments.hidden_dim,
        dropout=0.0,
        feature_map=arguments.feature_map,
        num_features=arguments.num_features,
        attention=attention,
        positions="rotary",  # relative ones, which mean the same at any length
        max_wavelength=arguments.max_wavelength,  # short: neighbours are told apart
        seed=arguments.seed,
    )
    model = PerformerSeq2SeqLM(backbone)
    model.compile(
        performer_optimizer(weight_decay=0.01),  # the budget sets the learning rate
        keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, reduction="mean_with_sample_weight"
        ),
        jit_compile=False,
    )
    budget = common.budget(arguments)
    model.fit(
        training_batches(arguments),
        epochs=10**9,
        steps_per_epoch=100,  # over which the loss is averaged
        shuffle=False,
        callbacks=[budget],
        verbose=0,
    )
    return model, budget.steps


# === Evaluation: targets, written from their first token on ===


def write(model, sources, first_tokens, num_tokens):
    """The likeliest next tokens, one after the other, of shape (B, num_tokens)."""
    if model.backbone.attention == "linear":
        return model.generate(sources, num_tokens, first_tokens)
    # Exact attention has no state of constant size: each step computes all again.
    written = np.pad(first_tokens, [(0, 0), (0, num_tokens)])
    for place in range(num_tokens):
        inputs = {
            "encoder_token_ids": sources,
            "decoder_token_ids": written[:, :num_tokens],
        }
        logits = model.predict_on_batch(inputs)
        written[:, place + 1] = logits[:, place].argmax(-1)
    return written[:, 1:]


def evaluate(model, length, arguments):
    """Shares of right tokens and of targets without a mistake, for each direction."""
    arguments = argparse.Namespace(
        **{**vars(arguments), "batch_size": arguments.test_sequences}
    )
    sources, targets = (
        ids.numpy()
        for ids in batch_of(0, length, length, arguments, arguments.seed + 1)
    )
    right = write(model, sources, targets[:, :1], length + 1) == targets[:, 1:]
    shares = {}
    for name, first in (("copy", START), ("reverse", END)):
        rows = right[targets[:, 0] == first]
        shares[name] = (rows.mean(), rows.all(axis=1).mean())
    return shares


def main(arguments=None):
    """Runs the example; returns the shares by attention, length and direction."""
    arguments = parse(arguments)
    lengths = test_lengths(arguments)
    print(
        f"Sources of {SHORTEST} to {arguments.longest} of {arguments.symbols} symbols; "
        f"chance is right in 1 of {arguments.symbols} tokens, "
        f"{1 / arguments.symbols:.1%}\n"
    )
    results = {}
    for attention, name in (("linear", "Performer"), ("exact", "exact attention")):
        model, steps = train(attention, arguments)
        print(
            f"{name}, after {steps} steps{'':<8}copy{'':<20}reverse\n"
            f"{'symbols':>9}{'':<5}" + 2 * f"{'tokens right':>15}{'sequences':>11}"
        )
        results[attention] = {}
        for length in lengths:
            shares = evaluate(model, length, arguments)
            results[attention][length] = shares
            beyond = " *" if length > arguments.longest else ""
            numbers = "".join(
                f"{tokens:>15.1%}{whole:>11.1%}" for tokens, whole in shares.values()
            )
            print(f"{length:>9}{beyond:<5}{numbers}", flush=True)
        print()
    print("* longer than any source of the training")
    return results


if __name__ == "__main__":
    main()
