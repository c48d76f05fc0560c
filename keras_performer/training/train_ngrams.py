"""`train_ngrams`: trains the n-grams of a classifier, which takes seconds."""

import os
import pathlib
from typing import Any

import keras
import tensorflow as tf

from keras_performer.models import PerformerTextClassifier
from keras_performer.models.problems import get_problem
from keras_performer.text import DocumentBatches
from keras_performer.training.checkpoints.best_weights import BestWeights
from keras_performer.training.train_steps import train_steps

# Chosen on held-out parts of the training halves of three corpora: see
# docs/decisions/2026-11-29-words-beside-the-encoder.md.
RATE = 0.5  # of features left out
LEARNING_RATE = 0.1
BATCH_FACTOR = 4  # a batch has as many times the tokens of one of the encoder


class RowAdagrad(keras.optimizers.Adagrad):
    """Adagrad that touches no more of a table than the rows that a batch used.

    Keras's computes with all rows of a table in each step, which for a million
    buckets takes longer than the batch. Of a feature that several texts of a batch
    have, each text makes a step of its own.
    """

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates a variable, of TensorFlow's where the backend is, by its gradient."""
        if not isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, learning_rate)
            return
        is_used = tf.reduce_any(gradient.values != 0, axis=-1)
        accumulator = self._accumulators[self._get_variable_index(variable)]
        tf.raw_ops.ResourceSparseApplyAdagradV2(
            var=variable.handle,
            accum=accumulator.value.handle,
            lr=tf.cast(learning_rate, variable.dtype),
            epsilon=tf.cast(self.epsilon, variable.dtype),
            grad=tf.boolean_mask(gradient.values, is_used),
            indices=tf.boolean_mask(gradient.indices, is_used),
        )


def train_ngrams(
    model: PerformerTextClassifier,
    batches: DocumentBatches,
    windows: DocumentBatches,
    steps_per_epoch: int,
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
        steps_per_epoch: Steps of an epoch, such as a pass over the documents has.
        epochs: Number of epochs. With more than before it goes on.
        folder: Folder of the checkpoints.
        validation_data: Batches to choose the best epoch by; without them the last one
            is taken.
        monitor: `"accuracy"` or `"loss"` of the validation; of several labels the
            former is micro F1, of a number the loss too.
        supervised: Whether features are weighted by what they tell of the classes
            too, as `HashedNgrams.adapt` does with classes.

    Returns:
        The row of the history whose weights the model has: with `"val_loss"` and such
        as `"val_accuracy"` if there are validation data.
    """
    classifier, problem = model.ngram_classifier, get_problem(model)
    if supervised:
        pairs = ((ids, labels) for ids, labels, _ in windows.dataset())
        model.ngrams.adapt(pairs, num_classes=classifier.output_shape[-1])
    else:
        model.ngrams.adapt(ids for ids, *_ in windows.dataset())
    table = classifier.get_layer("ngram_logits").embeddings
    table.assign(keras.ops.zeros_like(table))
    classifier.compile(
        RowAdagrad(LEARNING_RATE),
        **problem.compile_arguments(batches.targets),
        jit_compile=False,  # XLA has no sparse gradients of the embedding
    )
    history = train_steps(
        classifier,
        batches.dataset,
        steps_per_epoch * epochs,
        folder,
        checkpoint_every=steps_per_epoch,
        steps_per_epoch=steps_per_epoch,
        validation_data=validation_data,
        monitor=f"val_{problem.monitors[monitor]}",
        verbose=0,
    )
    if validation_data is None:
        return history[-1]
    best = BestWeights(pathlib.Path(folder) / "best.weights.h5")
    best.load(classifier)
    step = best.best()["step"]
    return next(row for row in history if row["step"] == step)
