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

Each model has two blocks of 64 features and is trained with the same number of steps.
Printed is the share of the answers that are right in sequences that were not seen, the
mean over seeds, and its standard error. What was measured is kept in the JSON file: a
rerun goes on. A task's answers are checked first by the rule that made them.
"""

import argparse
import json
import math
import pathlib
import time

import keras
import numpy as np

from benchmarks.results import write
from keras_performer.models import PerformerBackbone, PerformerCausalLM
from keras_performer.training import performer_optimizer

SEPARATOR, FILLER, FIRST = 1, 2, 3  # token ids; 0 is padding
SYMBOLS = 256  # of the tasks: keys are the first half of them, values the second
TASKS = ("recall", "induction", "copy", "reverse")
# Arguments of `PerformerBackbone`, by the name in the table.
MODELS = {
    "relu": {"feature_map": "relu"},
    "relu, window 64": {"feature_map": "relu", "exact_window": 64},
    "relu, one exact layer": {"feature_map": "relu", "attention": ["linear", "exact"]},
    "softmax, M = 64": {"feature_map": "softmax", "num_features": 64},
    "softmax, M = 256": {"feature_map": "softmax", "num_features": 256},
    "softmax, plain block": {
        "feature_map": "softmax",
        "num_features": 256,
        "block": "plain",
    },
    "exact": {"attention": "exact"},
    "exact, plain block": {"attention": "exact", "block": "plain"},
}
TEST_SEQUENCES = 256


def main(arguments=None):
    """Measures each model on each task, and prints a table."""
    arguments = parse(arguments)
    path = arguments.output
    results = json.loads(path.read_text()) if path.exists() else {}
    for task, length in ((t, n) for t in arguments.tasks for n in arguments.lengths):
        for pairs in arguments.pairs if task == "recall" else [None]:
            check(task, length, pairs)
            for name in arguments.models:
                shares = []
                for seed in range(arguments.seeds):
                    size = [length, pairs, arguments.steps, arguments.batch_size, seed]
                    key = json.dumps([task, *size, name])
                    if key not in results:
                        results[key] = measure(task, *size, name, arguments)
                        write(path, results)
                    shares.append(results[key]["right"])
                print(row(task, length, pairs, name, shares), flush=True)


def parse(arguments=None):
    """The flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--output", type=pathlib.Path, default="recall.json")
    add("--tasks", nargs="+", choices=TASKS, default=TASKS)
    add("--lengths", nargs="+", type=int, default=[256])
    add("--pairs", nargs="+", type=int, default=[8, 32], help="of recall")
    add("--models", nargs="+", choices=MODELS, default=list(MODELS))
    add("--steps", type=int, default=1000)
    add("--batch-size", type=int, default=32)
    add("--learning-rate", type=float, default=3e-3)
    add("--seeds", type=int, default=1)
    parsed = parser.parse_args(arguments)
    for length in parsed.lengths:
        most = min(length // 4, SYMBOLS // 2)
        if "recall" in parsed.tasks and max(parsed.pairs) > most:
            parser.error(
                f"--pairs: at most {most} at a length of {length}: a pair and its "
                f"question take four places, and there are {SYMBOLS // 2} keys. "
                f"Received: {max(parsed.pairs)}"
            )
    return parsed


# === Tasks: token ids, and where the next token is an answer ===


def draw(task, length, pairs, number, generator):
    """Sequences of a task.

    Args:
        task: One of `TASKS`.
        length: T.
        pairs: Number of pairs of `recall`.
        number: How many sequences.
        generator: A `numpy.random.Generator`.

    Returns:
        Ids of shape (number, T + 1), and a boolean array of shape (number, T), True
        where the next token is an answer.
    """
    rows = [_MAKERS[task](length, pairs, generator) for _ in range(number)]
    ids, is_answer = map(np.stack, zip(*rows, strict=True))
    return ids.astype("int32"), is_answer


def _recall(length, pairs, generator):
    half = SYMBOLS // 2
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


def _induction(length, _, generator):
    ids = FIRST + generator.integers(SYMBOLS, size=length + 1)
    is_answer = np.zeros(length, bool)
    half = length // 2
    sources = 2 * generator.permutation(half // 2)[:8]
    places = half + 2 * generator.permutation((length - half) // 2)[:8]
    # First tokens that are nowhere else, so that the answer is one.
    for first, (source, place) in enumerate(zip(sources, places, strict=True)):
        ids[[source, place]] = FIRST + SYMBOLS + first
        ids[place + 1] = ids[source + 1]
        is_answer[place] = True
    return ids, is_answer


def _copy(length, _, generator, step=1):
    number = (length - 1) // 2
    tokens = FIRST + generator.integers(SYMBOLS, size=number)
    ids = np.full(length + 1, FILLER)
    ids[:number], ids[number] = tokens, SEPARATOR
    ids[number + 1 : 2 * number + 1] = tokens[::step]
    is_answer = np.zeros(length, bool)
    is_answer[number : 2 * number] = True
    return ids, is_answer


def _reverse(length, pairs, generator):
    return _copy(length, pairs, generator, step=-1)


_MAKERS = {
    "recall": _recall,
    "induction": _induction,
    "copy": _copy,
    "reverse": _reverse,
}


def check(task, length, pairs):
    """Raises a `RuntimeError` where the answers do not follow from what is before."""
    ids, is_answer = draw(task, length, pairs, 8, np.random.default_rng(1))
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


def measure(task, length, pairs, steps, batch_size, seed, name, arguments):
    """Trains a model and tests it: the share of right answers, and the time it took."""
    keras.utils.set_random_seed(seed)
    backbone = PerformerBackbone(
        vocabulary_size=FIRST + SYMBOLS + 8,
        num_layers=2,
        num_heads=1,
        hidden_dim=64,
        intermediate_dim=128,
        dropout=0.0,
        causal=True,
        seed=seed,
        **MODELS[name],
    )
    model = PerformerCausalLM(backbone)
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
    for _ in range(steps):
        ids, is_answer = draw(task, length, pairs, batch_size, generator)
        model.train_on_batch(ids[:, :-1], ids[:, 1:], sample_weight=is_answer)
    seconds = time.process_time() - start
    ids, is_answer = draw(
        task, length, pairs, TEST_SEQUENCES, np.random.default_rng(10**6 + seed)
    )
    logits = [
        model.predict_on_batch(ids[first : first + batch_size, :-1])
        for first in range(0, len(ids), batch_size)
    ]
    right = np.concatenate(logits).argmax(-1) == ids[:, 1:]
    return {"right": float(right[is_answer].mean()), "seconds": round(seconds, 1)}


# === Report ===


def row(task, length, pairs, name, shares):
    """A line of the table."""
    what = task if pairs is None else f"{task}, {pairs} pairs"
    error = ""
    if len(shares) > 1:
        error = f" ± {100 * np.std(shares, ddof=1) / math.sqrt(len(shares)):.1f}"
    return f"{what:<18} {length:>6}  {name:<22} {100 * np.mean(shares):5.1f} %{error}"


if __name__ == "__main__":
    main()
