"""`train_classifier`: from a folder of documents to a trained model, resumable."""

import shutil

import keras
import tensorflow as tf

from keras_performer.callbacks import RedrawProjections
from keras_performer.models import PerformerBackbone, PerformerTextClassifier
from keras_performer.text.batches import evaluation_batches, training_batches
from keras_performer.text.documents import find_train_test, hold_out
from keras_performer.text.vocabulary import learn_vocabulary
from keras_performer.training.backup import Backup
from keras_performer.training.best_weights import BestWeights
from keras_performer.training.epoch_state import EpochState
from keras_performer.training.progress import ProgressLogger
from keras_performer.training.run_folder import RunFolder


def train_classifier(settings, run_folder, verbose="auto"):
    """Trains a classifier of long documents.

    What it writes is described by `RunFolder`. Called again after an interruption, with
    the same settings, it goes on after the last complete epoch: the weights, the
    optimizer, the order of the documents and the draws of the projections are those of
    an uninterrupted training. Called again on a complete training, it returns the
    model. Keras's global random seed is set from the settings.

    Args:
        settings: A `ClassifierSettings`.
        run_folder: Folder to write to; new, or of a training with the same settings.
        verbose: As for `keras.Model.fit`; off a terminal, lines instead of a bar.

    Returns:
        The trained `PerformerTextClassifier`, with the weights of the best epoch.

    Raises:
        ValueError: If the settings, the data or the run folder are not fit for it.
    """
    folder = RunFolder(run_folder)
    train, validation = _documents(settings)
    # Before anything is written: raises what is wrong with the settings.
    build_classifier(settings, vocabulary_size=2, num_classes=2)
    folder.open(settings, train)
    if folder.model_path.exists():
        _say(verbose, f"Trained before: {folder.path}")
        return folder.model()
    tokenizer = _tokenizer(settings, folder, train, verbose)

    keras.utils.set_random_seed(settings.seed)
    model = build_classifier(settings, tokenizer.vocabulary_size, len(train.labels))
    epoch = tf.Variable(0, dtype="int64", trainable=False)
    _say(verbose, f"Counting the batches of {len(train)} documents")
    batches = training_batches(
        train,
        tokenizer,
        settings.context_length,
        settings.tokens_per_batch,
        epoch,
        settings.seed,
    )
    # Epochs are cut differently, so their batches are not quite as many; Keras counts
    # on the same number in each.
    steps_per_epoch = _count(batches)
    batches = batches.repeat().take(steps_per_epoch)
    _compile(model, settings, steps_per_epoch * settings.epochs)

    best = BestWeights(
        folder.best_weights_path, "loss" if validation is None else "val_loss"
    )
    backup = Backup(folder.backup_path)
    callbacks = [
        EpochState(epoch),
        keras.callbacks.CSVLogger(folder.history_path, append=True),
        best,
        # After the files above, so that an epoch that is backed up is complete in them.
        backup,
        ProgressLogger(),
    ]
    if settings.redraw_interval and model.backbone.redraws:
        callbacks.insert(0, RedrawProjections(settings.redraw_interval, settings.seed))
    model.fit(
        batches,
        initial_epoch=backup.restore(model),
        epochs=settings.epochs,
        validation_data=_validation_batches(settings, validation, tokenizer),
        callbacks=callbacks,
        shuffle=False,
        verbose=verbose,
    )
    best.load(model)
    folder.save_model(model)
    shutil.rmtree(folder.backup_path)
    return model


def build_classifier(settings, vocabulary_size, num_classes):
    """Builds the model of some settings.

    Args:
        settings: A `ClassifierSettings`.
        vocabulary_size: Number of token ids.
        num_classes: Number of classes.

    Returns:
        A `PerformerTextClassifier`, not compiled.
    """
    backbone = PerformerBackbone(
        vocabulary_size=vocabulary_size,
        num_layers=settings.num_layers,
        num_heads=settings.num_heads,
        hidden_dim=settings.hidden_dim,
        intermediate_dim=settings.intermediate_dim,
        dropout=settings.dropout,
        # Whole periods within the trained windows: later positions bring nothing new.
        max_wavelength=max(1, settings.context_length // 7),
        feature_map=settings.feature_map,
        num_features=settings.num_features,
        seed=settings.seed,
    )
    return PerformerTextClassifier(
        backbone, num_classes, dropout=settings.dropout, seed=settings.seed
    )


def _documents(settings):
    train, _ = find_train_test(settings.data, max_bytes=settings.max_bytes)
    if not settings.validation_fraction:
        return train, None
    smallest = min(map(train.label_ids.count, range(len(train.labels))))
    if smallest < 2:
        raise ValueError(
            "A class has one training document only, so none can be held out for "
            "validation: add documents, or set `validation_fraction` to 0 to choose "
            f"the best epoch by the training loss. Received: validation_fraction="
            f"{settings.validation_fraction}"
        )
    return hold_out(train, settings.validation_fraction, seed=settings.seed)


def _tokenizer(settings, folder, train, verbose):
    if settings.tokenizer == "wordpiece" and not folder.vocabulary_path.exists():
        _say(verbose, f"Learning a vocabulary of {settings.vocabulary_size}")
        texts = train.dataset().map(lambda text, label: text)
        folder.save_vocabulary(learn_vocabulary(texts, settings.vocabulary_size))
    return folder.tokenizer()


def _say(verbose, line):
    if verbose:
        print(line, flush=True)


def _compile(model, settings, steps):
    warm_up = max(1, steps // 10)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        decay_steps=max(1, steps - warm_up),
        warmup_target=settings.learning_rate,
        warmup_steps=warm_up,
    )
    optimizer = keras.optimizers.AdamW(
        schedule, weight_decay=settings.weight_decay, global_clipnorm=1.0
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    model.compile(
        optimizer,
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        # XLA would compile anew for every length of a bucket, and gains nothing on CPU.
        jit_compile=False,
    )


def _validation_batches(settings, validation, tokenizer):
    if validation is None:
        return None
    batches = evaluation_batches(
        validation, tokenizer, settings.context_length, settings.tokens_per_batch
    )
    batches = batches.map(lambda ids, labels, document: (ids, labels))
    return batches.apply(tf.data.experimental.assert_cardinality(_count(batches)))


def _count(batches):
    return int(batches.reduce(0, lambda count, _: count + 1))
