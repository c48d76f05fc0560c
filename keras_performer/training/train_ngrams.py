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

    def reset(self) -> None:
        """Forgets all steps, for another training by what was compiled once."""
        self.iterations.assign(0)
        for accumulator in self._accumulators:
            start = keras.ops.full_like(accumulator, self.initial_accumulator_value)
            accumulator.assign(start)

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
    steps_per_epoch: int,
    epochs: int,
    folder: str | os.PathLike[str],
    validation_data: Any = None,
    monitor: str = "accuracy",
) -> dict[str, Any]:
    """Trains the `ngram_classifier` of a model by Adagrad, from weights of zero.

    Adagrad gives rare features, which few batches have, larger steps than frequent
    ones. The weights of the features are those that the model has, by
    `model.ngrams.adapt`. Called again after a kill it goes on as `train_steps` does.

    Args:
        model: A `PerformerTextClassifier` with n-grams. Its `ngram_classifier` is
            compiled in the first call, and not anew in others.
        batches: `DocumentBatches` to train on, with a seed.
        steps_per_epoch: Steps of an epoch, such as a pass over the documents has.
        epochs: Number of epochs. With more than before it goes on.
        folder: Folder of the checkpoints.
        validation_data: Batches to choose the best epoch by; without them the last one
            is taken.
        monitor: `"accuracy"` or `"loss"` of the validation; of several labels the
            former is micro F1, of a number the loss too.

    Returns:
        The row of the history whose weights the model has: with `"val_loss"` and such
        as `"val_accuracy"` if there are validation data.
    """
    classifier, problem = model.ngram_classifier, get_problem(model)
    table = classifier.get_layer("ngram_logits").embeddings
    table.assign(keras.ops.zeros_like(table))
    if classifier.compiled:
        classifier.optimizer.reset()
    else:
        optimizer = RowAdagrad(LEARNING_RATE)
        optimizer.build(classifier.trainable_variables)
        classifier.compile(
            optimizer,
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
