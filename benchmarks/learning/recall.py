"""What a small causal model with each attention recalls of its context.

    python -m benchmarks.learning.recall --output recall.json

Four tasks that ask for what stood before, each position exactly, at any distance:

- `recall`: pairs of a key and a value, then each key again, at places that are drawn,
  between fillers: its value is to follow (multi-query associative recall, arXiv
  2312.04927).
- `induction`: random tokens, in which a few pairs come again; the second of a pair is
  to follow the first (arXiv 2209.11895).
- `copy` and `reverse`: random tokens, a separator, and the tokens again, in their
  order or from the last to the first.

Each model has two blocks of 64 features and two heads, and is trained on each task with
the same number of steps: half of them on short sequences, `recall` without fillers and
with the most pairs, the others at the lengths, in turns. Then it is tested at each.
Printed is the share of the answers that are right in sequences that were not seen, the
mean over seeds, its standard error, and the processor seconds of a training. What was
measured is kept in the JSON file: a rerun goes on. A task's answers are checked first
by the rule that made them.
"""

import argparse
import itertools
import json
import math
import pathlib
import time

import keras
import numpy as np

from benchmarks.results import write
from keras_performer.models import PerformerBackbone, PerformerCausalLM
from keras_performer.models.block_stack import BLOCKS
from keras_performer.training import performer_optimizer

SEPARATOR, FILLER, FIRST = 1, 2, 3  # token ids; 0 is padding
TASKS = ("recall", "induction", "copy", "reverse")
# Arguments of `PerformerBackbone`, by the name in the table.
MODELS = {
    "relu": {"feature_map": "relu"},
    "relu, no forget gate": {"feature_map": "relu", "block": BLOCKS["gated"]},
    "relu, d 128": {"feature_map": "relu", "hidden_dim": 128},
    "relu, window 64": {"feature_map": "relu", "exact_window": 64},
    "relu, first block exact": {"attention": ["exact", "linear"]},
    "relu, last block exact": {"attention": ["linear", "exact"]},
    "softmax, M = 64": {"feature_map": "softmax", "num_features": 64},
    "softmax, M = 256": {"feature_map": "softmax", "num_features": 256},
    "softmax, plain": {"feature_map": "softmax", "num_features": 256, "block": "plain"},
    "exact": {"attention": "exact"},
    "exact, plain": {"attention": "exact", "block": "plain"},
}
SHORT_SHARE = 0.5  # of the steps
TEST_SEQUENCES = 64


def main(arguments=None):
    """Measures each model on each task, and prints a table."""
    arguments = parse(arguments)
    path = arguments.output
    results = json.loads(path.read_text()) if path.exists() else {}
    for task in arguments.tasks:
        pairs = arguments.pairs if task == "recall" else [None]
        sizes = list(itertools.product(arguments.lengths, pairs))
        for length, number in sizes:
            check(task, length, number, arguments.symbols)
        for name in arguments.models:
            measured = []
            for seed in range(arguments.seeds):
                training = [arguments.steps, arguments.batch_tokens, seed]
                key = json.dumps([task, sizes, arguments.symbols, *training, name])
                if key not in results:
                    results[key] = measure(task, sizes, *training, name, arguments)
                    write(path, results)
                measured.append(results[key])
            for index, size in enumerate(sizes):
                print(row(task, *size, name, index, measured), flush=True)


def parse(arguments=None):
    """The flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--output", type=pathlib.Path, default="recall.json")
    add("--tasks", nargs="+", choices=TASKS, default=TASKS)
    add("--lengths", nargs="+", type=int, default=[256])
    add("--pairs", nargs="+", type=int, default=[8, 32], help="of recall")
    add("--models", nargs="+", choices=MODELS, default=list(MODELS))
    add(
        "--symbols",
        type=int,
        default=128,
        help="of the tasks: keys are the first half of them, values the second",
    )
    add("--steps", type=int, default=1200)
    add("--batch-tokens", type=int, default=2048)
    add("--learning-rate", type=float, default=5e-3)
    add("--seeds", type=int, default=1)
    parsed = parser.parse_args(arguments)
    for length in parsed.lengths:
        most = min(length // 4, parsed.symbols // 2)
        if "recall" in parsed.tasks and max(parsed.pairs) > most:
            parser.error(
                f"--pairs: at most {most} at a length of {length}: a pair and its "
                f"question take four places, and there are {parsed.symbols // 2} keys. "
                f"Received: {max(parsed.pairs)}"
            )
    return parsed


# === Tasks: token ids, and where the next token is an answer ===


def draw(task, length, pairs, symbols, number, generator):
    """Sequences of a task.

    Args:
        task: One of `TASKS`.
        length: T.
        pairs: Number of pairs of `recall`.
        symbols: Number of symbols.
        number: How many sequences.
        generator: A `numpy.random.Generator`.

    Returns:
        Ids of shape (number, T + 1), and a boolean array of shape (number, T), True
        where the next token is an answer.
    """
    rows = [_MAKERS[task](length, pairs, symbols, generator) for _ in range(number)]
    ids, is_answer = map(np.stack, zip(*rows, strict=True))
    return ids.astype("int32"), is_answer


def _recall(length, pairs, symbols, generator):
    half = symbols // 2
    keys = FIRST + generator.permutation(half)[:pairs]
    values = FIRST + half + generator.integers(half, size=pairs)
    ids = np.full(length + 1, FILLER)
    ids[: 2 * pairs] = np.stack([keys, values], axis=1).ravel()
    # A question takes two places.
    places = generator.permutation((length + 1 - 2 * pairs) // 2)[:pairs]
    places = 2 * pairs + 2 * places
    ids[places], ids[places + 1] = keys, values
    is_answer = np.zeros(length, bool)
    is_answer[places] = True
    return ids, is_answer


def _induction(length, _, symbols, generator):
    ids = FIRST + generator.integers(symbols, size=length + 1)
    is_answer = np.zeros(length, bool)
    half = length // 2
    sources = 2 * generator.permutation(half // 2)[:8]
    places = half + 2 * generator.permutation((length - half) // 2)[:8]
    # First tokens that are nowhere else, so that the answer is one.
    for first, (source, place) in enumerate(zip(sources, places, strict=True)):
        ids[[source, place]] = FIRST + symbols + first
        ids[place + 1] = ids[source + 1]
        is_answer[place] = True
    return ids, is_answer


def _copy(length, _, symbols, generator, step=1):
    number = (length - 1) // 2
    tokens = FIRST + generator.integers(symbols, size=number)
    ids = np.full(length + 1, FILLER)
    ids[:number], ids[number] = tokens, SEPARATOR
    ids[number + 1 : 2 * number + 1] = tokens[::step]
    is_answer = np.zeros(length, bool)
    is_answer[number : 2 * number] = True
    return ids, is_answer


def _reverse(length, pairs, symbols, generator):
    return _copy(length, pairs, symbols, generator, step=-1)


_MAKERS = {
    "recall": _recall,
    "induction": _induction,
    "copy": _copy,
    "reverse": _reverse,
}


def check(task, length, pairs, symbols):
    """Raises a `RuntimeError` where the answers do not follow from what is before."""
    ids, is_answer = draw(task, length, pairs, symbols, 8, np.random.default_rng(1))
    for row, places in zip(ids, is_answer, strict=True):
        for place in np.flatnonzero(places):
            expected = _answer(task, row, place)
            if row[place + 1] != expected:
                raise RuntimeError(
                    f"{task}: the answer behind {place} is {row[place + 1]}, and "
                    f"should be {expected}"
                )


def _answer(task, row, place):
    """The token that is to follow a place, by what stands before it."""
    if task in ("recall", "induction"):
        return row[np.flatnonzero(row[:place] == row[place])[0] + 1]
    (separator,) = np.flatnonzero(row == SEPARATOR)
    index = place - separator
    return row[index if task == "copy" else separator - 1 - index]


# === Models ===


def measure(task, sizes, steps, batch_tokens, seed, name, arguments):
    """Trains a model and tests it.

    Args:
        task: One of `TASKS`.
        sizes: Pairs of a length and a number of pairs, which is `None` but for
            `recall`.
        steps: Number of batches.
        batch_tokens: Tokens of a batch.
        seed: Integer.
        name: One of `MODELS`.
        arguments: The flags.

    Returns:
        Dictionary of the shares of right answers, one for each size, and of the
        processor seconds of the training.
    """
    keras.utils.set_random_seed(seed)
    model = make(name, arguments.symbols, seed)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        decay_steps=math.ceil(0.9 * steps),
        warmup_target=arguments.learning_rate,
        warmup_steps=math.ceil(0.1 * steps),
    )
    model.compile(
        performer_optimizer(schedule, weight_decay=0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    generator = np.random.default_rng(seed)
    start = time.process_time()
    for step in range(steps):
        is_short = step < SHORT_SHARE * steps
        size = shortest(sizes) if is_short else sizes[step % len(sizes)]
        number = max(batch_tokens // size[0], 1)
        ids, is_answer = draw(task, *size, arguments.symbols, number, generator)
        model.train_on_batch(ids[:, :-1], ids[:, 1:], sample_weight=is_answer)
    seconds = time.process_time() - start
    generator = np.random.default_rng(10**6 + seed)
    return {
        "right": [
            share_right(model, task, *size, arguments.symbols, generator)
            for size in sizes
        ],
        "seconds": round(seconds, 1),
    }


def make(name, symbols, seed):
    """A causal language model of the tasks' tokens, one of `MODELS`."""
    size = {"hidden_dim": 64, **MODELS[name]}
    backbone = PerformerBackbone(
        vocabulary_size=FIRST + symbols + 8,
        num_layers=2,
        num_heads=2,  # with one that forgets soon and one that does not
        intermediate_dim=2 * size["hidden_dim"],
        dropout=0.0,
        causal=True,
        seed=seed,
        **size,
    )
    return PerformerCausalLM(backbone)


def shortest(sizes):
    """The length and the number of pairs that a training begins with."""
    length, pairs = min(sizes)
    if pairs is None:
        return length, None
    most = max(pairs for _, pairs in sizes)
    return 4 * most, most


def share_right(model, task, length, pairs, symbols, generator):
    """Share of the answers that are right, in sequences that were not seen."""
    ids, is_answer = draw(task, length, pairs, symbols, TEST_SEQUENCES, generator)
    logits = model.predict(ids[:, :-1], batch_size=8, verbose=0)
    right = logits.argmax(-1) == ids[:, 1:]
    return float(right[is_answer].mean())


# === Report ===


def row(task, length, pairs, name, index, measured):
    """A line of the table."""
    what = task if pairs is None else f"{task}, {pairs} pairs"
    shares = [100 * seed["right"][index] for seed in measured]
    error = ""
    if len(shares) > 1:
        error = f" ± {np.std(shares, ddof=1) / math.sqrt(len(shares)):.1f}"
    seconds = np.mean([seed["seconds"] for seed in measured])
    share = f"{np.mean(shares):.1f} %{error}"
    return f"{what:<18} {length:>6}  {name:<24} {share:<16} {seconds:4.0f} s"


if __name__ == "__main__":
    main()
