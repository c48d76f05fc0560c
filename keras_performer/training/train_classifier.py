"""`train_classifier`: from a folder of documents to a trained model, resumable."""

import dataclasses
import os
import pathlib
import time
import warnings
from typing import Any

import keras
import numpy as np

from keras_performer.callbacks import RedrawProjections
from keras_performer.layers.hashed_ngrams import FeatureCounts
from keras_performer.models import PerformerTextClassifier
from keras_performer.models.problems import get_problem
from keras_performer.text import (
    DocumentBatches,
    Documents,
    Tokenizer,
    WordPieceTokenizer,
    learn_vocabulary,
    tokenize_each,
    train_test_split,
)
from keras_performer.text.document_batches import balanced_class_weights
from keras_performer.text.vocabulary import import_tensorflow_text
from keras_performer.training.build_classifier import build_classifier
from keras_performer.training.checkpoints.best_weights import BestWeights
from keras_performer.training.classifier_settings import ClassifierSettings
from keras_performer.training.evaluation.classifier import (
    predict_windows,
    side_by_side,
)
from keras_performer.training.expert_powers import fit_experts
from keras_performer.training.history_file import HistoryFile
from keras_performer.training.performer_optimizer import warm_up_and_decay
from keras_performer.training.run_folder import RunFolder
from keras_performer.training.train_ngrams import BATCH_FACTOR, train_ngrams
from keras_performer.training.train_steps import train_steps

UNKNOWN_SHARE = 0.02  # of the bytes of words; above, `train_classifier` warns
SAMPLED_DOCUMENTS, SAMPLED_BYTES = 200, 50_000  # to measure that share
CHOOSING_EPOCHS = 2  # of the n-grams, after which the better weights are known
CHECKPOINT_EVERY = 100  # steps: half a minute to some minutes


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
    train, validation = _hold_out(settings, everything)
    # Before anything is written: raises what is wrong with settings and documents.
    num_classes = len(train.labels) or 1
    build_classifier(
        settings, vocabulary_size=2, num_classes=num_classes, token_kinds=(0, 1)
    )
    get_problem(settings.problem).compile_arguments(train.targets)
    folder.check(settings, train)
    vocabulary = _vocabulary(settings, folder, train, verbose)
    folder.open(settings, train)
    if folder.model_path.exists():
        _say(verbose, f"Trained before: {folder.path}")
        return folder.model()
    if vocabulary is not None:
        folder.save_vocabulary(vocabulary)
    tokenizer = folder.tokenizer()
    warn_of_unknown(tokenizer, train)

    keras.utils.set_random_seed(settings.seed)
    model = build_classifier(
        settings, tokenizer.vocabulary_size, num_classes, tokenizer.token_kinds
    )
    if model.units is not None:
        model.units.adapt(everything.targets)
    training = _Training(settings, folder, model, verbose, tensorboard)
    train_tokens = _TokenizedDocuments(train, tokenizer)
    validation_data = None
    if validation is not None:
        held_out = _TokenizedDocuments(validation, tokenizer)
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
        all_tokens = _TokenizedDocuments(everything, tokenizer)
        training.train_ngrams(all_tokens, counts, supervised)
    folder.save_model(model)
    return model


class _TokenizedDocuments:
    """Documents, and their ids on disk."""

    def __init__(self, documents: Documents, tokenizer: Tokenizer) -> None:
        self.targets = documents.targets
        self.token_arrays = tokenize_each(documents, tokenizer)

    def __len__(self) -> int:
        return len(self.targets)


@dataclasses.dataclass(frozen=True)
class _Training:
    """The stages of a training."""

    settings: ClassifierSettings
    folder: RunFolder
    model: PerformerTextClassifier
    verbose: int | str
    tensorboard: bool

    def count_features(
        self, documents: _TokenizedDocuments, counts: FeatureCounts | None = None
    ) -> FeatureCounts:
        """Counts the features of windows, and adds others counted before."""
        windows = self.batches(documents, None, BATCH_FACTOR).dataset()
        if not get_problem(self.model).has_supervised_weights:
            return self.model.ngrams.count((ids for ids, *_ in windows), counts=counts)
        pairs = ((ids, labels) for ids, labels, _ in windows)
        return self.model.ngrams.count(pairs, self.model.output_shape[-1], counts)

    def choose_ngrams(
        self, documents: _TokenizedDocuments, counts: FeatureCounts, validation: Any
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
        documents: _TokenizedDocuments,
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
        _say(
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
        self, documents: _TokenizedDocuments, validation_data: Any
    ) -> None:
        """Trains the encoder, or the whole model where that is all of it."""
        settings, folder = self.settings, self.folder
        encoder = self.model.encoder_classifier or self.model
        _say(self.verbose, f"Training the encoder on {len(documents)} documents")
        batches = self.batches(documents, settings.seed)
        steps_per_epoch = _steps_per_epoch(settings, folder, batches)
        num_steps = steps_per_epoch * settings.epochs
        problem = get_problem(self.model)
        _compile(
            encoder, settings, num_steps, problem.compile_arguments(documents.targets)
        )
        callbacks = []
        if settings.redraw_interval and self.model.backbone.redraws:
            callbacks.append(RedrawProjections(settings.redraw_interval, settings.seed))
        monitor = problem.monitors[settings.monitor]
        if validation_data is not None:
            monitor = f"val_{monitor}"
        history = train_steps(
            encoder,
            batches.dataset,
            num_steps,
            folder.path,
            checkpoint_every=CHECKPOINT_EVERY,
            steps_per_epoch=steps_per_epoch,
            validation_data=validation_data,
            monitor=monitor,
            patience=settings.early_stopping or None,
            callbacks=callbacks,
            tensorboard=self.tensorboard,
            verbose=self.verbose,
        )
        if history[-1]["step"] < num_steps:
            _say(
                self.verbose,
                f"Ended after epoch {history[-1]['epoch'] + 1} of {settings.epochs}: "
                f"{settings.early_stopping} without a better {monitor}",
            )
        BestWeights(folder.best_weights_path).load(encoder)

    def fit_powers(self, held_out: _TokenizedDocuments) -> None:
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
        _say(self.verbose, line)

    def batches(
        self, documents: _TokenizedDocuments, seed: int | None, factor: int = 1
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


def _hold_out(
    settings: ClassifierSettings, documents: Documents
) -> tuple[Documents, Documents | None]:
    if not settings.validation_fraction:
        return documents, None
    _, sizes = np.unique(documents.strata, return_counts=True)
    if sizes.min() < 2:
        raise ValueError(
            "A class has one training document only, so none can be held out for "
            "validation: add documents, or set `validation_fraction` to 0 to choose "
            f"the best epoch by the training documents. Received: "
            f"validation_fraction={settings.validation_fraction}"
        )
    return train_test_split(documents, settings.validation_fraction, seed=settings.seed)


def _vocabulary(
    settings: ClassifierSettings,
    folder: RunFolder,
    train: Documents,
    verbose: int | str,
) -> list[str] | None:
    """Learns the vocabulary, where one is needed and not there."""
    if settings.tokenizer != "wordpiece" or folder.vocabulary_path.exists():
        return None
    import_tensorflow_text()
    _say(verbose, f"Learning a vocabulary of {settings.vocabulary_size}")
    texts = train.dataset().map(lambda text, label: text)
    return learn_vocabulary(texts, settings.vocabulary_size)


def warn_of_unknown(tokenizer: Tokenizer, documents: Documents) -> None:
    """Warns where much of the text is not what the vocabulary can spell."""
    if not isinstance(tokenizer, WordPieceTokenizer):
        return
    sample = documents.dataset().shard(-(-len(documents) // SAMPLED_DOCUMENTS), 0)
    texts = [text.numpy()[:SAMPLED_BYTES] for text, _ in sample]
    share = tokenizer.unknown_share(texts)
    if share > UNKNOWN_SHARE:
        warnings.warn(
            f"{share:.1%} of the bytes of words are unknown to the vocabulary of "
            f"{tokenizer.vocabulary_size} tokens: the model does not see what they "
            "are. Expected at most "
            f"{UNKNOWN_SHARE:.0%}: pass a larger `vocabulary_size`, or bytes, which "
            "lose nothing (`--tokenizer bytes`).",
            stacklevel=3,
        )


def _steps_per_epoch(
    settings: ClassifierSettings, folder: RunFolder, batches: DocumentBatches
) -> int:
    """The length of the epochs before, if there are any: it depends on `epochs`."""
    history = HistoryFile(folder.history_path).rows()
    if history:
        return int(history[-1]["step"] // (history[-1]["epoch"] + 1))
    return batches.steps_per_pass(settings.epochs)


def _say(verbose: int | str, line: str) -> None:
    if verbose:
        print(line, flush=True)


def _compile(
    model: PerformerTextClassifier,
    settings: ClassifierSettings,
    steps: int,
    arguments: dict[str, Any],
) -> None:
    schedule = warm_up_and_decay(settings.learning_rate, steps)
    optimizer = keras.optimizers.AdamW(
        schedule, weight_decay=settings.weight_decay, global_clipnorm=1.0
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    model.compile(
        optimizer,
        **arguments,
        # XLA takes a sixth off a step on a processor, and compiles for each width of a
        # batch as long as some hundred steps take: see benchmarks/README.md.
        jit_compile=False,
    )
