"""A classifier of long documents from its parts: text to ids, model, `fit`, accuracy.

Which library is a piece of Python source of? A Performer reads documents in windows of
`--context` tokens, and a document is judged by the mean of its windows' log
probabilities. The accuracy on documents of modules that it has never seen stands beside
that of the largest class, of logistic regression on TF-IDF, which is hard to beat where
words tell the class, and of exact softmax attention trained with the same compute
budget; and beside that of the words and pairs of words that `PerformerTextClassifier`
can have next to its encoder.

    python examples/document_classification.py

trains each for less than a minute on sources that are installed on every machine. On
texts of your own, `books/train/CLASS/*.txt` and `books/test/CLASS/*.txt` (or
`books/CLASS`, of which a fifth is held out), in windows where exact attention is slow:

    python examples/document_classification.py --data books --preset small \\
        --context 8192 --batch-tokens 16384 --cpu-minutes 600

`keras-performer train` does the same with a folder that a killed training goes on from;
here are the parts. Needs the extras `text` and `baselines`.

The small run printed, on two cores, on 96 documents of 8 classes:

    Accuracy of unseen documents:
      the largest class            12.5%
      TF-IDF                       83.3%
      words and pairs of words     89.6%, 4 epochs
      Performer, relu features     54.2%, 100 steps, 40 s, 1,345 MiB
      Performer, softmax features  46.9%, 100 steps, 49 s, 1,605 MiB
      exact attention              59.4%, 100 steps, 50 s, 1,647 MiB

So few steps are far from enough for an encoder; words need no more.
"""

import argparse
import functools
import pathlib
import tempfile

import common
import keras
import numpy as np

from keras_performer.cli.python_corpus import build_python_corpus
from keras_performer.layers import HashedNgrams
from keras_performer.models import PerformerTextClassifier
from keras_performer.text import (
    DocumentBatches,
    WordPieceTokenizer,
    evaluation_batches,
    find_train_test,
    learn_vocabulary,
    tokenize_each,
)
from keras_performer.training import performer_optimizer
from keras_performer.training.baselines import evaluate_baselines
from keras_performer.training.evaluation import mean_log_probabilities
from keras_performer.training.train_ngrams import RATE, train_ngrams

FILES = {"max_train_files": 40, "max_test_files": 12}  # of a library
BYTES_PER_TOKEN = 3  # about: TF-IDF gets windows of the same text
NGRAM_BUCKETS = 2**18
NGRAM_EPOCHS = 4
WORDS = "words and pairs of words"


def parse(arguments=None):
    """The flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder of documents, a subfolder a class")
    parser.add_argument("--vocabulary-size", type=common.positive, default=2000)
    parser.add_argument("--context", type=common.positive, default=512)
    parser.add_argument("--batch-tokens", type=common.positive, default=4096)
    common.add_flags(
        parser,
        ["relu", "softmax", "exact"],
        preset="tiny",
        steps=100,
        learning_rate=3e-3,
    )
    return parser, common.parse(parser, arguments)


# === Data: documents on disk, to a vocabulary ===


def learn_tokenizer(documents, vocabulary_size):
    """A tokenizer whose word pieces are those of some documents."""
    texts = documents.dataset().map(lambda text, label: text)
    return WordPieceTokenizer(
        learn_vocabulary(texts, vocabulary_size, max_bytes=1_000_000)
    )


# === Model and training ===


def classifier(documents, tokenizer, attention, arguments, ngrams=None):
    """A backbone, pooling and a last layer; beside it n-grams, if there are some."""
    keras.utils.set_random_seed(arguments.seed)
    backbone = common.backbone(
        arguments,
        attention,
        vocabulary_size=tokenizer.vocabulary_size,
        dropout=0.1,
    )
    return PerformerTextClassifier(
        backbone,
        len(documents.labels),
        dropout=0.1,
        seed=arguments.seed,
        ngrams=ngrams,
    )


def train(model, batches, arguments):
    """Trains an encoder until its budget is spent, which it returns."""
    model.compile(
        performer_optimizer(),  # the budget sets the learning rate
        "sparse_categorical_crossentropy",
        jit_compile=False,
    )
    budget = common.budget(arguments)
    callbacks = [budget, *common.resampling(arguments, model.backbone)]
    model.fit(
        batches.dataset(),  # without end
        epochs=10**9,
        steps_per_epoch=100,  # over which the loss is averaged
        shuffle=False,
        callbacks=callbacks,
        verbose=0,
    )
    return budget


def train_words(documents, batches, tokenizer, arguments):
    """A linear classifier of words and pairs of words, from the same token ids."""
    ngrams = HashedNgrams(
        NGRAM_BUCKETS, tokenizer.token_kinds, rate=RATE, seed=arguments.seed
    )
    # The encoder is not trained here: `keras-performer train` trains both, and finds on
    # documents held out how much each counts.
    model = classifier(documents, tokenizer, "relu", arguments, ngrams)
    windows = batches(seed=None).dataset()
    ngrams.adapt(token_ids for token_ids, *_ in windows)
    shuffled = batches(seed=arguments.seed)
    steps = shuffled.steps_per_pass(NGRAM_EPOCHS)
    with tempfile.TemporaryDirectory() as folder:
        train_ngrams(model, shuffled, steps, NGRAM_EPOCHS, folder)
    return model.ngram_classifier


# === Evaluation ===


def accuracy(model, tokenizer, documents, arguments):
    """Share of right documents, by the mean of their windows' log probabilities."""
    batches = evaluation_batches(
        documents, tokenizer, arguments.context, arguments.batch_tokens
    )
    windows = [
        (model.predict_on_batch(ids), owners.numpy()) for ids, _, owners in batches
    ]
    probabilities, owners = map(np.concatenate, zip(*windows, strict=True))
    logs = mean_log_probabilities(probabilities, owners, len(documents))
    return float(np.mean(logs.argmax(-1) == documents.label_ids))


def main(arguments=None):
    """Runs the example; returns accuracies by the names of the table."""
    parser, arguments = parse(arguments)
    with tempfile.TemporaryDirectory() as folder:
        data = arguments.data
        if data is None:
            data = pathlib.Path(folder) / "corpus"
            print("Documents: the sources of installed Python libraries")
            build_python_corpus(data, **FILES)
        try:
            documents, unseen = find_train_test(data)
            tokenizer = learn_tokenizer(documents, arguments.vocabulary_size)
        except ValueError as error:
            parser.error(str(error))
        return measure(documents, unseen, tokenizer, arguments)


def measure(documents, unseen, tokenizer, arguments):
    """Trains all classifiers and prints the table."""
    print(
        f"{len(documents):,} documents of {len(documents.labels)} classes to train on, "
        f"{len(unseen):,} others to test on, {tokenizer.vocabulary_size:,} word "
        "pieces"
    )
    baselines = evaluate_baselines(
        documents, unseen, arguments.context * BYTES_PER_TOKEN
    )
    results = {
        "the largest class": baselines.majority_document,
        "TF-IDF": baselines.tfidf_document,
    }
    lines = {name: f"{share:.1%}" for name, share in results.items()}
    batches = functools.partial(
        DocumentBatches,
        tokenize_each(documents, tokenizer),
        documents.label_ids,
        arguments.context,
        arguments.batch_tokens,
    )
    print(f"Training: {WORDS}", flush=True)
    words = train_words(documents, batches, tokenizer, arguments)
    results[WORDS] = accuracy(words, tokenizer, unseen, arguments)
    lines[WORDS] = f"{results[WORDS]:.1%}, {NGRAM_EPOCHS} epochs"
    for attention in arguments.attention:
        name = common.label(attention)
        print(f"Training: {name}", flush=True)
        model = classifier(documents, tokenizer, attention, arguments)
        budget = train(model, batches(seed=arguments.seed), arguments)
        results[name] = accuracy(model, tokenizer, unseen, arguments)
        lines[name] = f"{results[name]:.1%}, {budget}"
    common.print_table("Accuracy of unseen documents:", lines)
    return results


if __name__ == "__main__":
    main()
