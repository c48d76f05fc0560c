"""`train_classifier`: from a folder of documents to a trained model, resumable."""

import dataclasses
import os
import pathlib
import time
from typing import Any

import keras
import numpy as np

from keras_performer.layers.hashed_ngrams import FeatureCounts
from keras_performer.models import PerformerTextClassifier
from keras_performer.models.problems import get_problem
from keras_performer.text import DocumentBatches, TokenDropout
from keras_performer.text.document_batches import balanced_class_weights
from keras_performer.training.build_classifier import build_classifier
from keras_performer.training.classifier_settings import ClassifierSettings
from keras_performer.training.evaluation.classifier import (
    predict_windows,
    side_by_side,
)
from keras_performer.training.expert_powers import fit_experts
from keras_performer.training.history_file import HistoryFile
from keras_performer.training.pretrained_encoder import PretrainedEncoder
from keras_performer.training.run_folder import RunFolder
from keras_performer.training.train_encoder import say, train_encoder
from keras_performer.training.train_ngrams import BATCH_FACTOR, train_ngrams
from keras_performer.training.training_documents import (
    TokenizedDocuments,
    hold_out,
    learn_run_vocabulary,
    open_run,
)

CHOOSING_EPOCHS = 2  # of the n-grams, after which the better weights are known


def train_classifier(
    settings: ClassifierSettings,
    run_folder: str | os.PathLike[str],
    verbose: int | str = "auto",
    tensorboard: bool = False,
) -> PerformerTextClassifier:
    """Trains a classifier of long documents.

    What it writes is described by `RunFolder`. Called again after an interruption, with
    the same settings, it goes on after the last checkpoint with the very next batch:
    the weights, the optimizer, the order of the documents and the projections are those
    of an uninterrupted training. Called again on a complete training, it returns the
    model. Keras's global random seed is set from the settings.

    The labels are one class, several, or a number, as `settings.problem` says.

    The n-grams come first, then the encoder, both on the documents that are not held
    out; those that are say which weights the features of the n-grams have (TF-IDF, or
    supervised ones, see `HashedNgrams.adapt`), and how much n-grams and encoder count
    (`fit_experts`). Then the n-grams are trained once more on all documents.
    Without documents held out both count alike, and the weights are TF-IDF.

    An epoch is a number of steps, the same for each: as many as a pass over the
    documents has on average, rounded up. With more `epochs` than before, the same
    training goes on, complete or not, at the learning rate that the longer schedule has
    there. With another `early_stopping` too; a training that it ended is complete.

    With `settings.pretrained` the vocabulary is that of a pretraining, and the encoder
    starts from its weights. Once there is a checkpoint, its folder is not read again.

    It warns where more than 2 % of the bytes of words, in a sample of the documents,
    are unknown to the vocabulary.

    Args:
        settings: A `ClassifierSettings`.
        run_folder: Folder to write to; new, or of a training with the same settings.
        verbose: `verbose` of `keras.Model.fit`; off a terminal, lines instead of a bar.
        tensorboard: Whether to write event files for TensorBoard.

    Returns:
        The trained `PerformerTextClassifier`, with the weights of the best epoch.

    Raises:
        ValueError: If the settings, the data or the run folder are not fit for it.
    """
    folder = RunFolder(run_folder)
    everything, _ = settings.find_train_test()
    train, validation = hold_out(settings, everything)
    # Before anything is written: raises what is wrong with settings and documents.
    num_classes = len(train.labels) or 1
    build_classifier(
        settings, vocabulary_size=2, num_classes=num_classes, token_kinds=(0, 1)
    )
    get_problem(settings.problem).compile_arguments(train.targets)
    folder.check(settings, train)
    pretrained = None
    is_begun = folder.has_checkpoint() or folder.model_path.exists()
    if settings.pretrained is not None and not is_begun:
        pretrained = PretrainedEncoder(settings)
        vocabulary = pretrained.vocabulary
    else:
        vocabulary = learn_run_vocabulary(settings, folder, train, verbose)
    tokenizer = open_run(settings, folder, train, vocabulary, verbose)
    if tokenizer is None:
        return folder.model()

    keras.utils.set_random_seed(settings.seed)
    model = build_classifier(
        settings, tokenizer.vocabulary_size, num_classes, tokenizer.token_kinds
    )
    if pretrained is not None:
        pretrained.copy_to(model.backbone)
    if model.units is not None:
        model.units.adapt(everything.targets)
    training = _Training(settings, folder, model, verbose, tensorboard)
    train_tokens = TokenizedDocuments(train, tokenizer)
    validation_data = None
    if validation is not None:
        held_out = TokenizedDocuments(validation, tokenizer)
        validation_data = training.batches(held_out, seed=None).dataset()
        validation_data = validation_data.map(lambda ids, labels, owners: (ids, labels))
    supervised, counts = False, None
    if model.ngrams is not None:
        counts = training.count_features(train_tokens)
        if validation is None:
            training.train_ngrams(train_tokens, counts)
        else:
            supervised = training.choose_ngrams(train_tokens, counts, validation_data)
    training.train_encoder(train_tokens, validation_data)
    if counts is not None and validation is not None:
        training.fit_powers(held_out)
        # They have not seen the documents that were held out, and it takes seconds.
        counts = training.count_features(held_out, counts)
        all_tokens = TokenizedDocuments(everything, tokenizer)
        training.train_ngrams(all_tokens, counts, supervised)
    folder.save_model(model)
    return model


@dataclasses.dataclass(frozen=True)
class _Training:
    """The stages of a training."""

    settings: ClassifierSettings
    folder: RunFolder
    model: PerformerTextClassifier
    verbose: int | str
    tensorboard: bool

    def count_features(
        self, documents: TokenizedDocuments, counts: FeatureCounts | None = None
    ) -> FeatureCounts:
        """Counts the features of windows, and adds others counted before."""
        windows = self.batches(documents, None, BATCH_FACTOR).dataset()
        if not get_problem(self.model).has_supervised_weights:
            return self.model.ngrams.count((ids for ids, *_ in windows), counts=counts)
        pairs = ((ids, labels) for ids, labels, _ in windows)
        return self.model.ngrams.count(pairs, self.model.output_shape[-1], counts)

    def choose_ngrams(
        self, documents: TokenizedDocuments, counts: FeatureCounts, validation: Any
    ) -> bool:
        """Trains n-grams with both weights of features, and goes on with the better.

        Returns:
            Whether those are the supervised ones.
        """
        if not get_problem(self.model).has_supervised_weights:
            self.train_ngrams(documents, counts, False, validation)
            return False
        epochs = min(CHOOSING_EPOCHS, self.settings.ngram_epochs)
        losses = {}
        for supervised in (False, True):
            path = self._ngrams_folder("held_out", supervised) / "history.csv"
            # More epochs are there where this training went on, and was killed.
            if len(HistoryFile(path).rows()) < epochs:
                self.train_ngrams(documents, counts, supervised, validation, epochs)
            losses[supervised] = HistoryFile(path).rows()[epochs - 1]["val_loss"]
        supervised = losses[True] < losses[False]
        self.train_ngrams(documents, counts, supervised, validation)
        return supervised

    def train_ngrams(
        self,
        documents: TokenizedDocuments,
        counts: FeatureCounts,
        supervised: bool = False,
        validation_data: Any = None,
        epochs: int | None = None,
    ) -> None:
        """Trains the n-grams, on all documents where there are no validation data.

        Of the weights of features, `supervised` says which; of the `epochs`, the
        settings, unless fewer are passed.
        """
        part, prefix = (
            ("final", "") if validation_data is None else ("held_out", "val_")
        )
        start = time.monotonic()
        batches = self.batches(documents, self.settings.seed, BATCH_FACTOR)
        self.model.ngrams.weigh(counts, supervised)
        row = train_ngrams(
            self.model,
            batches,
            batches.steps_per_pass(self.settings.ngram_epochs),
            epochs or self.settings.ngram_epochs,
            self._ngrams_folder(part, supervised),
            validation_data,
            self.settings.monitor,
        )
        names = get_problem(self.model).monitors.values()
        shown = [f"{name} {row[prefix + name]:.4f}" for name in dict.fromkeys(names)]
        say(
            self.verbose,
            f"N-grams, {'supervised' if supervised else 'TF-IDF'} weights, "
            f"{len(documents)} documents, "
            f"{'in training' if part == 'final' else 'on held-out'}: "
            f"{', '.join(shown)}, {time.monotonic() - start:.0f} s",
        )

    def _ngrams_folder(self, part: str, supervised: bool) -> pathlib.Path:
        weights = "supervised" if supervised else "tfidf"
        return self.folder.ngrams_path / part / weights

    def train_encoder(
        self, documents: TokenizedDocuments, validation_data: Any
    ) -> None:
        """Trains the encoder, or the whole model where that is all of it."""
        settings = self.settings
        say(self.verbose, f"Training the encoder on {len(documents)} documents")
        problem = get_problem(self.model)
        dropout = TokenDropout(settings.token_dropout, settings.seed)
        train_encoder(
            self.model.encoder_classifier or self.model,
            settings,
            self.folder,
            self.batches(documents, settings.seed),
            dropout if settings.token_dropout else lambda step, batch: batch,
            problem.compile_arguments(documents.targets, settings.label_smoothing),
            problem.monitors[settings.monitor],
            validation_data,
            self.verbose,
            self.tensorboard,
        )

    def fit_powers(self, held_out: TokenizedDocuments) -> None:
        """Weighs n-grams and encoder by what they say of the documents held out."""
        model = self.model
        windows, owners = predict_windows(
            side_by_side([model.ngram_classifier, model.encoder_classifier]),
            held_out.token_arrays,
            self.settings.context_length,
            self.settings.tokens_per_batch,
        )
        weights = fit_experts(
            self.settings.problem,
            np.split(windows, 2, axis=-1),
            held_out.targets[owners],
            owners,
        )
        model.experts.set_weights([np.asarray(weight) for weight in weights])
        powers = model.experts.powers.numpy()
        line = f"Powers: n-grams {powers[0]:.2f}, encoder {powers[1]:.2f}"
        if not powers[1]:
            line += ": on documents held out it adds nothing to the n-grams"
        say(self.verbose, line)

    def batches(
        self, documents: TokenizedDocuments, seed: int | None, factor: int = 1
    ) -> DocumentBatches:
        """Batches of windows, with so many times the tokens of the settings."""
        settings = self.settings
        class_weights = None
        if settings.class_weight == "balanced":
            class_weights = balanced_class_weights(
                documents.token_arrays, documents.targets, settings.context_length
            )
        return DocumentBatches(
            documents.token_arrays,
            documents.targets,
            settings.context_length,
            settings.tokens_per_batch * factor,
            seed,
            class_weights,
        )
