"""`train_ngrams`: trains the n-grams of a classifier, which takes seconds."""

import os
import pathlib
from typing import Any

import keras

from keras_performer.models import PerformerTextClassifier
from keras_performer.text import DocumentBatches
from keras_performer.training.checkpoints.best_weights import BestWeights
from keras_performer.training.train_steps import train_steps

# Chosen on held-out parts of the training halves of three corpora: see
# docs/decisions/2026-11-29-words-beside-the-encoder.md.
RATE = 0.5  # of features left out
LEARNING_RATE = 0.1
BATCH_FACTOR = 4  # a batch has as many times the tokens of one of the encoder


def train_ngrams(
    model: PerformerTextClassifier,
    batches: DocumentBatches,
    windows: DocumentBatches,
    epochs: int,
    folder: str | os.PathLike[str],
    validation_data: Any = None,
    monitor: str = "accuracy",
    supervised: bool = False,
) -> dict[str, Any]:
    """Trains the `ngram_classifier` of a model by Adagrad, from weights of zero.

    Adagrad gives rare features, which few batches have, larger steps than frequent
    ones. Called again after a kill it goes on as `train_steps` does.

    Args:
        model: A `PerformerTextClassifier` with n-grams.
        batches: `DocumentBatches` to train on, with a seed.
        windows: `DocumentBatches` of the same documents without a seed, in which
            features are counted.
        epochs: Passes over the documents.
        folder: Folder of the checkpoints.
        validation_data: Batches to choose the best epoch by; without them the last one
            is taken.
        monitor: `"accuracy"` or `"loss"` of the validation.
        supervised: Whether features are weighted by what they tell of the classes
            too, as `HashedNgrams.adapt` does with classes.

    Returns:
        The row of the history whose weights the model has: with `"val_loss"` and
        `"val_accuracy"` if there are validation data.
    """
    classifier = model.ngram_classifier
    if supervised:
        pairs = ((ids, labels) for ids, labels, _ in windows.dataset())
        model.ngrams.adapt(pairs, num_classes=classifier.output_shape[-1])
    else:
        model.ngrams.adapt(ids for ids, *_ in windows.dataset())
    table = classifier.get_layer("ngram_logits").embeddings
    table.assign(keras.ops.zeros_like(table))
    classifier.compile(
        keras.optimizers.Adagrad(LEARNING_RATE),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,  # XLA has no sparse gradients of the embedding
    )
    steps_per_epoch = batches.steps_per_pass(epochs)
    history = train_steps(
        classifier,
        batches.dataset,
        steps_per_epoch * epochs,
        folder,
        checkpoint_every=steps_per_epoch,
        steps_per_epoch=steps_per_epoch,
        validation_data=validation_data,
        monitor=f"val_{monitor}",
        verbose=0,
    )
    if validation_data is None:
        return history[-1]
    best = BestWeights(pathlib.Path(folder) / "best.weights.h5")
    best.load(classifier)
    step = best.best()["step"]
    return next(row for row in history if row["step"] == step)
