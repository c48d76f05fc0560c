"""What the default classifier makes of a corpus, beside TF-IDF, in pairs.

    python -m benchmarks.learning.documents --data DIR --runs runs/bench --seeds 0 1 2

For each seed it trains as `keras-performer train` does, and measures n-grams, encoder
and both on the test half; TF-IDF with logistic regression, words and pairs, reads
windows of as many bytes. Printed are accuracies by window and by document, the mean
over seeds, and what they are above TF-IDF, with the standard error between documents.
The settings are never chosen by these figures. A rerun goes on.

With `--beside` there are other models, trained for `--beside-epochs`: `truncated`, what
long documents are mostly given to, an encoder of the default size with exact attention,
which reads the first 512 tokens of each (its only window); `linear`, the same with the
attention of this package; and `bag`, the mean and the maximum of the embeddings of a
window's tokens, of 256 features, without any attention.
"""

import argparse
import json
import pathlib
import time

import keras
import numpy as np

from keras_performer.models import PerformerBackbone, PerformerTextClassifier
from keras_performer.text import DocumentBatches, TokenArrays, tokenize_each
from keras_performer.training import (
    ClassifierSettings,
    RunFolder,
    performer_optimizer,
    train_classifier,
)
from keras_performer.training.baselines import fit_tfidf, read_windows
from keras_performer.training.checkpoints.atomic_write import atomic_write_text
from keras_performer.training.evaluation import mean_log_probabilities, predict_experts
from keras_performer.training.evaluation.classifier import predict_windows
from keras_performer.training.performer_optimizer import warm_up_and_decay

TRUNCATED = 512  # tokens
BAG_DIM = 256


def main(arguments=None):
    """Measures, and prints a table."""
    arguments = parse(arguments)
    shares, documents = {}, None
    for seed in arguments.seeds:
        settings = ClassifierSettings(
            data=str(arguments.data.resolve()),
            epochs=arguments.epochs,
            seed=seed,
            **{name: int(value) for name, value in arguments.settings},
        )
        folder = RunFolder(arguments.runs / f"seed-{seed}")
        path = folder.path / "shares.json"
        if not path.exists():
            start = time.process_time()
            train_classifier(settings, folder.path)
            measured = {"processor seconds": time.process_time() - start}
            measured |= performer_shares(folder, settings)
            atomic_write_text(path, json.dumps(measured) + "\n")
        measured = json.loads(path.read_text())
        for name in arguments.beside:
            path = folder.path / f"{name}-{arguments.beside_epochs}.json"
            if not path.exists():
                part = beside_shares(name, folder, settings, arguments.beside_epochs)
                atomic_write_text(path, json.dumps(part) + "\n")
            measured[name] = json.loads(path.read_text())
        print(f"seed {seed}: {measured.pop('processor seconds'):.0f} processor seconds")
        for name, values in measured.items():
            shares.setdefault(name, []).append(values)
        documents = documents or settings.find_train_test()
    tfidf = tfidf_shares(*documents, arguments.window_bytes)
    print(f"{'%':12}{'window':>10}{'':>18}{'document':>10}")
    print_row("TF-IDF", tfidf, None)
    for name, values in shares.items():
        print_row(name, np.mean(values, axis=0), tfidf)


def performer_shares(folder, settings):
    """Of each test document: number of windows, right ones, and whether it is right."""
    _, test = settings.find_train_test()
    predictions = predict_experts(
        folder.model(),
        folder.tokenizer(),
        test,
        settings.context_length,
        settings.tokens_per_batch,
    )
    truth = np.asarray(test.label_ids)
    return {
        name: right_answers(x.windows, x.owners, x.documents, truth)
        for name, x in predictions.items()
    }


def beside_shares(name, folder, settings, epochs):
    """The same of another model; see `BESIDE`."""
    tokenizer = folder.tokenizer()
    train, test = settings.find_train_test()
    arrays, test_arrays = (tokenize_each(x, tokenizer) for x in (train, test))
    context_length = settings.context_length
    if name in ("linear", "truncated"):
        context_length = TRUNCATED
        arrays, test_arrays = map(first_tokens, (arrays, test_arrays))
    keras.utils.set_random_seed(settings.seed)
    model = BESIDE[name](tokenizer.vocabulary_size, len(train.labels), settings.seed)
    batches = DocumentBatches(
        arrays,
        train.label_ids,
        context_length,
        settings.tokens_per_batch,
        settings.seed,
    )
    steps = batches.steps_per_pass(epochs)
    schedule = warm_up_and_decay(settings.learning_rate, steps * epochs)
    optimizer = performer_optimizer(schedule, weight_decay=settings.weight_decay)
    model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=False)
    start = time.process_time()
    model.fit(batches.dataset(0), steps_per_epoch=steps, epochs=epochs, verbose=2)
    print(f"{name}: {time.process_time() - start:.0f} processor seconds")
    windows, owners = predict_windows(
        model, test_arrays, context_length, settings.tokens_per_batch
    )
    documents = mean_log_probabilities(windows, owners, len(test))
    return right_answers(windows, owners, documents, np.asarray(test.label_ids))


def right_answers(windows, owners, documents, truth):
    """Rows of a number for each document: windows, right ones, and if it is right."""
    right = windows.argmax(-1) == truth[owners]
    columns = [
        np.bincount(owners, minlength=len(truth)),
        np.bincount(owners, right, minlength=len(truth)),
        documents.argmax(-1) == truth,
    ]
    return np.stack(columns).astype(float).tolist()


def first_tokens(arrays):
    """The beginning of each text."""
    beginnings = [arrays[index][:TRUNCATED] for index in range(len(arrays))]
    return TokenArrays(np.concatenate(beginnings), [len(x) for x in beginnings])


def linear(vocabulary_size, num_classes, seed, attention="linear"):
    """An encoder of the default size."""
    default = ClassifierSettings(data="")
    backbone = PerformerBackbone(
        vocabulary_size,
        default.num_layers,
        default.num_heads,
        default.hidden_dim,
        default.intermediate_dim,
        dropout=default.dropout,
        max_wavelength=TRUNCATED // 7,
        attention=attention,
        feature_map=default.feature_map,
        seed=seed,
    )
    return PerformerTextClassifier(backbone, num_classes, seed=seed)


def truncated(vocabulary_size, num_classes, seed):
    """The same with exact attention."""
    return linear(vocabulary_size, num_classes, seed, attention="exact")


def bag(vocabulary_size, num_classes, seed):
    """A linear classifier of the mean and the maximum of a window's embeddings."""
    token_ids = keras.Input((None,), dtype="int32")
    initializer = keras.initializers.RandomNormal(stddev=0.1, seed=seed)
    vectors = keras.layers.Embedding(vocabulary_size, BAG_DIM, initializer)(token_ids)
    is_token = keras.ops.expand_dims(keras.ops.cast(token_ids != 0, "float32"), -1)
    number = keras.ops.maximum(keras.ops.sum(is_token, axis=1), 1.0)
    mean = keras.ops.sum(vectors * is_token, axis=1) / number
    maximum = keras.ops.max(vectors - 1e3 * (1 - is_token), axis=1)
    pooled = keras.layers.Concatenate()([mean, maximum])
    outputs = keras.layers.Dense(num_classes, activation="softmax")(pooled)
    return keras.Model(token_ids, outputs)


BESIDE = {"linear": linear, "truncated": truncated, "bag": bag}


def tfidf_shares(train, test, window_bytes):
    """The same of TF-IDF, as an array of shape (3, documents)."""
    predict, _ = fit_tfidf(train, window_bytes, max_bytes=2**62)
    rows = []
    for index, label_id in enumerate(test.label_ids):
        probabilities = predict(read_windows(test, index, window_bytes))
        owners = np.zeros(len(probabilities), int)
        [logs] = mean_log_probabilities(probabilities, owners, 1)
        right = probabilities.argmax(-1) == label_id
        rows.append([len(right), right.sum(), logs.argmax() == label_id])
    return np.array(rows, float).T


def print_row(name, shares, others):
    """Accuracies, and their difference from others' with its standard error."""
    line = f"{name:12}"
    for rights, weights in ((1, 0), (2, None)):
        mean, row = ratio(shares, rights, weights)
        line += f"{100 * mean:>10.2f}"
        if others is None:
            line += f"{'':>18}"
            continue
        other_mean, other_row = ratio(others, rights, weights)
        error = np.sqrt(np.square(row - other_row).sum())
        line += f"{100 * (mean - other_mean):>+9.2f} ± {100 * error:<6.2f}"
    print(line)


def ratio(shares, rights, weights):
    """A share of right ones, and what each document adds to its error."""
    counts = np.ones_like(shares[0]) if weights is None else np.asarray(shares[weights])
    right = np.asarray(shares[rights])
    mean = right.sum() / counts.sum()
    return mean, (right - mean * counts) / counts.sum()


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--runs", type=pathlib.Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--beside", nargs="*", choices=BESIDE, default=[])
    parser.add_argument("--beside-epochs", type=int, default=10)
    parser.add_argument(
        "--settings",
        nargs="*",
        default=[],
        type=lambda text: text.split("="),
        metavar="NAME=INTEGER",
        help="other settings than the defaults, such as hidden_dim=8 num_heads=1",
    )
    parser.add_argument(
        "--window-bytes",
        type=int,
        default=4000,
        help="of TF-IDF; 1,024 tokens are about 4,000 bytes",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
