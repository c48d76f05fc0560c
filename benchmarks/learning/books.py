"""Bits per byte of books by attention, in pairs: all models read the same unseen text.

    python -m benchmarks.learning.books --data novels --output books.json
    python -m benchmarks.learning.books --data novels --task masked --output masked.json

`--data` is a folder with `train/<author>/<book>.txt` and `test/<author>/<book>.txt`.
Each model has two blocks of 128 features and two heads, and is trained on the same
windows, for the same steps or, with a number for each model in `--steps`, for steps
that take the same time. `next` asks a causal model for each next byte, `masked` a
bidirectional one for the 15 % that are hidden from it.

Printed are bits per byte of the middle of each unseen book, the mean over seeds, and
what they are above those of the first model, paired by window: the standard error over
windows, and the difference of each seed. The last column is the processor seconds of a
training, from its second step on. What was measured is kept in the JSON file: a rerun
goes on.
"""

import argparse
import json
import pathlib
import time

import keras
import numpy as np

from benchmarks.results import write
from keras_performer.callbacks import RedrawProjections
from keras_performer.models import (
    PerformerBackbone,
    PerformerCausalLM,
    PerformerMaskedLM,
)
from keras_performer.text import (
    ByteTokenizer,
    TokenMasking,
    TokenWindows,
    shuffled_batches,
    tokenize_texts,
)
from keras_performer.training import compressed_bits_per_byte, performer_optimizer
from keras_performer.training.evaluation.token_bits import token_bits

TOKENIZER = ByteTokenizer()
MASK_ID = TOKENIZER.vocabulary_size
REDRAW_INTERVAL = 100
# Arguments of `PerformerBackbone`, by the name in the table.
MODELS = {
    "relu": {"feature_map": "relu"},
    "softmax": {"feature_map": "softmax"},
    "relu, last block exact": {"attention": ["linear", "exact"]},
    "exact": {"attention": "exact"},
    "exact, plain": {"attention": "exact", "block": "plain"},
    "softmax, plain": {"feature_map": "softmax", "block": "plain"},
}


def main(arguments=None):
    """Measures, and prints a table."""
    arguments = parse(arguments)
    train_ids = np.concatenate(read(arguments.data / "train"))
    test_ids = middles(read(arguments.data / "test"), arguments.test_bytes)
    text = (test_ids - 1).astype("uint8").tobytes()
    bz2 = compressed_bits_per_byte(text, compressor="bz2")
    print(f"{len(train_ids):,} bytes to train on; bz2 of the test: {bz2:.3f}")
    path = arguments.output
    results = json.loads(path.read_text()) if path.exists() else {}
    size = [arguments.task, arguments.context, arguments.batch]
    measured = {name: [] for name in arguments.models}
    for seed in arguments.seeds:
        for name, steps in zip(arguments.models, arguments.steps, strict=True):
            key = json.dumps([*size, steps, seed, name])
            if key not in results:
                results[key] = measure(
                    name, seed, steps, train_ids, test_ids, arguments
                )
                write(path, results)
                print(f"seed {seed}, {name}: {np.mean(results[key]['bits']):.3f}")
            measured[name].append(results[key])
    first = arguments.models[0]
    print(f"{'bits per byte':<24}{'':>7}  above {first}")
    for name, seeds in measured.items():
        print(row(name, seeds, measured[first]), flush=True)


def parse(arguments=None):
    """The flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--data", type=pathlib.Path, required=True)
    add("--output", type=pathlib.Path, default="books.json")
    add("--task", choices=["next", "masked"], default="next")
    add("--models", nargs="+", choices=MODELS, default=list(MODELS)[:5])
    add("--context", type=int, default=2048)
    add("--batch", type=int, default=1, help="windows of a batch")
    add("--steps", type=int, nargs="+", default=[250], help="of all, or of each model")
    add("--seeds", nargs="+", type=int, default=[0, 1])
    add("--learning-rate", type=float, default=3e-3)
    add("--test-bytes", type=int, default=100_000)
    arguments = parser.parse_args(arguments)
    if len(arguments.steps) == 1:
        arguments.steps *= len(arguments.models)
    if len(arguments.steps) != len(arguments.models):
        parser.error(
            f"--steps takes one number, or one for each of the {len(arguments.models)} "
            f"models. Received: {arguments.steps}"
        )
    return arguments


# === Data ===


def read(directory):
    """Ids of each book below a folder."""
    paths = sorted(directory.rglob("*.txt"))
    if not paths:
        raise ValueError(f"{directory} has no text: expected files that end in .txt")
    return tokenize_texts([path.read_bytes() for path in paths], TOKENIZER)


def middles(books, num_bytes):
    """Ids from the middle of each book, of all together at most `num_bytes`."""
    share = num_bytes // len(books)
    starts = [max(len(book) - share, 0) // 2 for book in books]
    return np.concatenate(
        [book[start : start + share] for book, start in zip(books, starts, strict=True)]
    )


def masking(seed):
    """What hides 15 % of the bytes."""
    return TokenMasking(MASK_ID + 1, MASK_ID, seed=seed)


# === Models ===


class ProcessorTime(keras.callbacks.Callback):
    """Processor seconds from the second step on: the first builds the graph."""

    def on_train_batch_end(self, batch, logs=None):
        now = time.process_time()
        self.start = now if batch == 0 else self.start
        self.seconds = now - self.start


def measure(name, seed, steps, train_ids, test_ids, arguments):
    """Trains a model: mean bits of each window of the test, and processor seconds."""
    keras.utils.set_random_seed(seed)
    is_causal = arguments.task == "next"
    backbone = PerformerBackbone.from_preset(
        "tiny",
        vocabulary_size=MASK_ID + 1,
        causal=is_causal,
        positions="rotary",
        dropout=0.0,
        seed=seed,
        **MODELS[name],
    )
    model = (PerformerCausalLM if is_causal else PerformerMaskedLM)(backbone)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        decay_steps=steps - steps // 20,
        warmup_target=arguments.learning_rate,
        warmup_steps=steps // 20,
    )
    model.compile(
        performer_optimizer(schedule),
        keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, reduction="mean_with_sample_weight"
        ),
        jit_compile=False,
    )
    windows = TokenWindows(train_ids, arguments.context)
    batches = shuffled_batches(windows, arguments.batch, seed)
    if not is_causal:
        batches = batches.map(lambda inputs, _: inputs)
        batches = batches.enumerate().map(masking(seed))
    clock = ProcessorTime()
    redraw = [RedrawProjections(REDRAW_INTERVAL, seed)] if backbone.redraws else []
    model.fit(
        batches,
        steps_per_epoch=steps,
        shuffle=False,
        callbacks=[clock, *redraw],
        verbose=0,
    )
    bits = evaluate(model, TokenWindows(test_ids, arguments.context), is_causal)
    return {"bits": bits, "seconds": round(clock.seconds, 1)}


def evaluate(model, windows, is_causal):
    """Mean bits of the bytes that are asked for in each window."""
    means = []
    for index in range(len(windows)):
        inputs, targets = (ids[None] for ids in windows[index])
        weights = np.ones_like(targets)
        if not is_causal:  # the same places are hidden from each model
            inputs, targets, weights = map(np.asarray, masking(10**6)(index, inputs))
        bits, _ = token_bits(model.predict_on_batch(inputs), targets)
        means.append(float(np.average(bits, weights=weights)))
    return means


# === Report ===


def row(name, seeds, first):
    """A line of the table."""
    bits = np.array([seed["bits"] for seed in seeds])
    above = bits - np.array([seed["bits"] for seed in first])
    by_window = above.mean(axis=0)
    error = by_window.std(ddof=1) / len(by_window) ** 0.5
    each = ", ".join(f"{x:+.3f}" for x in above.mean(axis=1))
    seconds = np.mean([seed["seconds"] for seed in seeds])
    return (
        f"{name:<24}{bits.mean():7.3f}  {by_window.mean():+.3f} ± {error:.3f} ({each})"
        f"  {seconds:.0f} s"
    )


if __name__ == "__main__":
    main()
