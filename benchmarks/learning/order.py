"""Which of two passages stands first, far apart in other text: what context is for.

    python -m benchmarks.learning.order --data corpus --work runs/order \
        --classes tensorflow scipy --seeds 0 1

`--data` is a folder with `train/<class>/<name>.txt` and `test/<class>/<name>.txt`. A
document is made of a passage of either of `--classes`, each in text of other classes:
2,200 bytes each, 2,600 at least between them, 14,000 in all, which are about 4,000 word
pieces. The same is there with the two passages swapped; the class is which comes first.
So both orders have the same words, and hardly a window of 512 tokens sees both. What
counts words, or averages what it finds in windows, is right half of the time.

The encoder has the sizes of `keras-performer train`: two gated blocks of 64 features,
two heads, sinusoidal positions, and the mean of the hidden states. A step sees both
orders of one document, whole or in windows of 512 tokens whose log probabilities are
averaged in the test. Printed are the shares of right answers on documents made of the
test files, with the standard error between pairs of documents, of the mean over seeds;
the share of pairs whose two orders are told apart, where each document's answer is
compared with the other's; and the processor seconds of a training. A rerun goes on.
"""

import argparse
import json
import pathlib
import time

import keras
import numpy as np
import tensorflow as tf

from benchmarks.results import write
from keras_performer.models import PerformerBackbone, PerformerTextClassifier
from keras_performer.models.problems import mean_log_probabilities
from keras_performer.text import (
    StepBatches,
    WordPieceTokenizer,
    find_train_test,
    learn_vocabulary,
    tokenize_each,
)
from keras_performer.training import performer_optimizer
from keras_performer.training.baselines import fit_tfidf
from keras_performer.training.checkpoints.atomic_write import atomic_write_text
from keras_performer.training.evaluation.classifier import WHOLE, predict_windows
from keras_performer.training.performer_optimizer import warm_up_and_decay

NUM_BYTES, PASSAGE_BYTES, GAP_BYTES = 14_000, 2_200, 2_600
VOCABULARY_SIZE = 8192
TOKENS_PER_BATCH = 8192
NO_LIMIT = 2**62
# Length of the windows, and arguments of `PerformerBackbone`.
MODELS = {
    "windows of 512": (512, {}),
    "one pass": (WHOLE, {}),
    "one pass, exact attention": (WHOLE, {"attention": "exact"}),
}


def main(arguments=None):
    """Measures, and prints a table."""
    arguments = parse(arguments)
    corpus = arguments.work / "corpus"
    if not (corpus / "written").exists():
        for side, pairs in (("train", arguments.pairs), ("test", arguments.test_pairs)):
            write_pairs(arguments.data / side, corpus / side, arguments.classes, pairs)
        atomic_write_text(corpus / "written", "")
    train, test = find_train_test(corpus)
    print_row("TF-IDF", [{"margins": tfidf(train, test), "seconds": 0}])
    path = arguments.work / "order.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    arrays = None
    for name in arguments.models:
        keys = [f"{name}, {arguments.steps} steps, {seed}" for seed in arguments.seeds]
        for key, seed in zip(keys, arguments.seeds, strict=True):
            if key not in results:
                arrays = arrays or tokenize(train, test)
                results[key] = measure(name, seed, *arrays, arguments)
                write(path, results)
        print_row(f"encoder, {name}", [results[key] for key in keys])


def parse(arguments=None):
    """The flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--data", type=pathlib.Path, required=True)
    add("--work", type=pathlib.Path, required=True)
    add("--classes", nargs=2, required=True, help="classes of the two passages")
    add("--models", nargs="*", choices=MODELS, default=list(MODELS)[:2])
    add("--seeds", nargs="+", type=int, default=[0, 1])
    add("--steps", type=int, default=600)
    add("--learning-rate", type=float, default=5e-3)
    add("--pairs", type=int, default=600, help="pairs of documents to train on")
    add("--test-pairs", type=int, default=200, help="pairs of documents to test on")
    return parser.parse_args(arguments)


# === Documents ===


def write_pairs(source, directory, classes, number):
    """Writes documents, each in both orders.

    Args:
        source: Folder of a folder for each class.
        directory: Folder to write, of a folder for each order.
        classes: Names of the classes of the two passages.
        number: Number of pairs of documents.
    """
    generator = np.random.default_rng(0)
    texts = {folder.name: read(folder) for folder in sorted(source.iterdir())}
    ones, twos = (texts.pop(name) for name in classes)
    others = [text for group in texts.values() for text in group]
    folders = [directory / f"{name}_first" for name in classes]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    for index in range(number):
        passages = [
            draw_lines(group, PASSAGE_BYTES, generator) for group in (ones, twos)
        ]
        rest = NUM_BYTES - 2 * PASSAGE_BYTES - GAP_BYTES
        before, more = generator.integers(rest // 2, size=2)
        fillers = [
            draw_lines(others, size, generator)
            for size in (before, GAP_BYTES + more, rest - before - more)
        ]
        for folder, (first, second) in zip(
            folders, (passages, passages[::-1]), strict=True
        ):
            text = fillers[0] + first + fillers[1] + second + fillers[2]
            (folder / f"{index:05}.txt").write_bytes(text)


def read(folder):
    """Bytes of each file of a folder."""
    return [path.read_bytes() for path in sorted(folder.glob("*.txt"))]


def draw_lines(texts, num_bytes, generator):
    """Whole lines of one text, and of as many others as are needed.

    Args:
        texts: List of bytes.
        num_bytes: Number of bytes; the last line may exceed it.
        generator: A `numpy.random.Generator`.

    Returns:
        Bytes, which end with a line.
    """
    drawn = b""
    while len(drawn) < num_bytes:
        text = texts[generator.integers(len(texts))]
        lines = text[generator.integers(len(text)) :].splitlines(keepends=True)[1:]
        for line in lines:
            if len(drawn) < num_bytes:
                drawn += line.rstrip(b"\n") + b"\n"
    return drawn


class PairBatches(StepBatches):
    """Both orders of one document in each batch, whole or in windows.

    Args:
        arrays: `TokenArrays` of all documents in one order, then in the other.
        longest: Length of the longest window.
        seed: Integer.
    """

    element_spec = (
        tf.TensorSpec((None, None), tf.int32),
        tf.TensorSpec((None,), tf.int32),
    )

    def __init__(self, arrays, longest, seed):
        self.arrays, self.longest, self.seed = arrays, longest, seed

    def batch(self, step):
        """Ids and labels of the windows of a pair."""
        number = len(self.arrays) // 2
        order = np.random.default_rng((self.seed, step // number)).permutation(number)
        windows, labels = [], []
        for label in range(2):
            ids = self.arrays[label * number + order[step % number]]
            for start in range(0, len(ids), self.longest):
                windows.append(ids[start : start + self.longest])
                labels.append(label)
        rows = np.zeros((len(windows), max(map(len, windows))), np.int32)
        for row, window in zip(rows, windows, strict=True):
            row[: len(window)] = window
        return rows, np.array(labels, np.int32)


# === Margins: how much likelier the second order is, for each test document ===


def tfidf(train, test):
    """Of logistic regression on whole documents."""
    predict, _ = fit_tfidf(train, NO_LIMIT, max_bytes=NO_LIMIT)
    p = predict([test.read(index).decode() for index in range(len(test))])
    return (p[:, 1] - p[:, 0]).tolist()


def tokenize(train, test):
    """Ids of the documents, and the size of the vocabulary that is learnt of them."""
    texts = train.dataset().map(lambda text, label: text)
    tokenizer = WordPieceTokenizer(learn_vocabulary(texts, VOCABULARY_SIZE))
    arrays = (tokenize_each(documents, tokenizer) for documents in (train, test))
    return *arrays, tokenizer.vocabulary_size


def measure(name, seed, train, test, vocabulary_size, arguments):
    """Trains a model: the margins, and the processor seconds of the training."""
    longest, options = MODELS[name]
    keras.utils.set_random_seed(seed)
    backbone = PerformerBackbone(
        vocabulary_size=vocabulary_size,
        num_layers=2,
        num_heads=2,
        hidden_dim=64,
        intermediate_dim=128,
        dropout=0.0,
        max_wavelength=min(longest, 4096) // 7,
        seed=seed,
        **options,
    )
    model = PerformerTextClassifier(backbone, num_classes=2, seed=seed)
    steps = arguments.steps
    schedule = warm_up_and_decay(arguments.learning_rate, steps)
    model.compile(
        performer_optimizer(schedule, weight_decay=0.05),
        "sparse_categorical_crossentropy",
        jit_compile=False,
    )
    start = time.process_time()
    batches = PairBatches(train, longest, seed).dataset()
    model.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=2)
    seconds = time.process_time() - start
    p, owners = predict_windows(model, test, longest, TOKENS_PER_BATCH)
    logs = mean_log_probabilities(p, owners, len(test))
    margins = (logs[:, 1] - logs[:, 0]).tolist()
    return {"margins": margins, "seconds": round(seconds)}


# === Report ===


def print_row(name, seeds):
    """Shares of right documents and of right pairs, with their standard errors.

    A pair without a difference counts as half right.

    Args:
        name: Name of the row.
        seeds: What `measure` returned with each seed.
    """
    margins = np.array([seed["margins"] for seed in seeds])
    margins = margins.reshape(len(seeds), 2, -1)  # (seeds, orders, pairs)
    right = np.where([[[False], [True]]], margins > 0, margins <= 0).mean(axis=1)
    pairs = (1 + np.sign(margins[:, 1] - margins[:, 0])) / 2
    line = f"{name:<36}"
    for shares in (right, pairs):
        by_pair = shares.mean(axis=0)
        error = by_pair.std(ddof=1) / np.sqrt(len(by_pair))
        each = ", ".join(f"{100 * share:.1f}" for share in shares.mean(axis=1))
        line += f"{100 * by_pair.mean():6.1f} % ± {100 * error:.1f} ({each})"
    print(f"{line}  {np.mean([seed['seconds'] for seed in seeds]):.0f} s", flush=True)


if __name__ == "__main__":
    main()
