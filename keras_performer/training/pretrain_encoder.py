"""`pretrain_encoder`: an encoder that tells masked tokens of documents, resumable."""

import dataclasses
import json
import os
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_performer.models import PerformerMaskedLM
from keras_performer.text import DocumentBatches, TokenMasking
from keras_performer.training.build_encoder import build_encoder
from keras_performer.training.checkpoints.atomic_write import atomic_write_text
from keras_performer.training.evaluation.masked_language_model import (
    evaluate_masked_language_model,
)
from keras_performer.training.pretraining_settings import PretrainingSettings
from keras_performer.training.run_folder import RunFolder
from keras_performer.training.train_encoder import say, train_encoder
from keras_performer.training.training_documents import (
    TokenizedDocuments,
    hold_out,
    learn_run_vocabulary,
    open_run,
)


def pretrain_encoder(
    settings: PretrainingSettings,
    run_folder: str | os.PathLike[str],
    verbose: int | str = "auto",
    tensorboard: bool = False,
) -> PerformerMaskedLM:
    """Trains an encoder to tell masked tokens of documents, of which no label is used.

    As BERT was (arXiv 1810.04805). `ClassifierSettings(pretrained=run_folder)` starts a
    classifier from it. What it writes is described by `RunFolder`. Called again after
    an interruption it goes on with the very next batch, and in all else too as
    `train_classifier` does: a complete training returns its model, and with more
    `epochs` it goes on.

    The documents are those that `train_classifier` trains on with the same data, and
    documents that it tests on are not read. Of those held out, loss and accuracy of
    each epoch are in the history, and accuracy and perplexity of the trained model in
    `evaluation.json`, beside those of the tokens' frequencies.

    The mask is a token of its own, behind the tokenizer's.

    Args:
        settings: A `PretrainingSettings`.
        run_folder: Folder to write to; new, or of a training with the same settings.
        verbose: `verbose` of `keras.Model.fit`; off a terminal, lines instead of a bar.
        tensorboard: Whether to write event files for TensorBoard.

    Returns:
        The trained `PerformerMaskedLM`, with the weights of the epoch of lowest loss.

    Raises:
        ValueError: If the settings, the data or the run folder are not fit for it.
    """
    folder = RunFolder(run_folder, PretrainingSettings)
    train, validation = hold_out(settings, settings.find_train_test()[0])
    build_encoder(settings, vocabulary_size=3)  # raises
    folder.check(settings, train)
    vocabulary = learn_run_vocabulary(settings, folder, train, verbose)
    tokenizer = open_run(settings, folder, train, vocabulary, verbose)
    if tokenizer is None:
        return folder.model()

    keras.utils.set_random_seed(settings.seed)
    mask_id = tokenizer.vocabulary_size
    backbone = build_encoder(settings, vocabulary_size=mask_id + 1)
    model = PerformerMaskedLM(backbone, seed=settings.seed)
    masking = _Masking(mask_id, settings)
    train_tokens = TokenizedDocuments(train, tokenizer)
    validation_data = None
    if validation is not None:
        held_out = TokenizedDocuments(validation, tokenizer)
        in_order = _batches(settings, held_out, seed=None).dataset()
        validation_data = in_order.enumerate().map(masking)
    say(verbose, f"Training the encoder on {len(train)} documents")
    at_positions = model.at_positions()
    train_encoder(
        at_positions,
        settings,
        folder,
        _batches(settings, train_tokens, settings.seed),
        masking,
        {
            "loss": keras.losses.SparseCategoricalCrossentropy(
                from_logits=True, reduction="mean_with_sample_weight"
            ),
            "weighted_metrics": ["accuracy"],
        },
        validation_data=validation_data,
        verbose=verbose,
        tensorboard=tensorboard,
    )
    if validation_data is not None:
        counts = _counts(train_tokens.token_arrays.token_ids, mask_id + 1)
        measured = evaluate_masked_language_model(at_positions, validation_data, counts)
        text = json.dumps(dataclasses.asdict(measured), indent=2)
        atomic_write_text(folder.evaluation_path, text + "\n")
    folder.save_model(model)
    return model


class _Masking:
    """Masked batches with their positions, for `PerformerMaskedLM.at_positions`."""

    def __init__(self, mask_id: int, settings: PretrainingSettings) -> None:
        self._masking = TokenMasking(
            mask_id + 1, mask_id, settings.masking_rate, settings.seed
        )

    def __call__(self, step: Any, batch: Any) -> Any:
        token_ids, targets, weights = self._masking(step, batch[0])
        # As many of each row as the longest may have: few shapes. The rest weighs 0.
        width = tf.cast(tf.shape(token_ids)[1], tf.float32)
        number = tf.maximum(tf.round(self._masking.rate * width), 1)
        weights, positions = tf.math.top_k(weights, tf.cast(number, tf.int32))
        targets = tf.gather(targets, positions, batch_dims=1)
        inputs = {"token_ids": token_ids, "mask_positions": positions}
        return inputs, targets, weights


def _counts(token_ids: np.ndarray, vocabulary_size: int) -> np.ndarray:
    """How often each id is there; of ids on disk a million in memory at a time."""
    counts: np.ndarray = np.zeros(vocabulary_size, np.int64)
    for start in range(0, len(token_ids), 2**20):
        some = token_ids[start : start + 2**20]
        counts += np.bincount(some, minlength=vocabulary_size)
    return counts


def _batches(
    settings: PretrainingSettings, documents: TokenizedDocuments, seed: int | None
) -> DocumentBatches:
    return DocumentBatches(
        documents.token_arrays,
        documents.targets,
        settings.context_length,
        settings.tokens_per_batch,
        seed,
    )
