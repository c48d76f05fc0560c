"""`RunFolder`: the folder of one training, all that it takes to resume or export."""

import csv
import dataclasses
import hashlib
import json
import os
import pathlib
import zipfile
from collections.abc import Sequence
from typing import Any

import keras

from keras_performer.text import (
    ByteTokenizer,
    Documents,
    Tokenizer,
    WordPieceTokenizer,
)
from keras_performer.text.vocabulary import load_vocabulary, save_vocabulary
from keras_performer.training.checkpoints.atomic_write import (
    atomic_write,
    atomic_write_text,
    room_for,
)
from keras_performer.training.checkpoints.checkpoint import Checkpoint
from keras_performer.training.classifier_settings import ClassifierSettings
from keras_performer.training.training_settings import TrainingSettings


class RunFolder:
    """The files of one training of a classifier, or of one pretraining.

    | file | what |
    |---|---|
    | `settings.json` | the `ClassifierSettings`, or the `PretrainingSettings` |
    | `documents.json` | a fingerprint of the documents it trains on |
    | `labels.json` | the names of the classes; for numbers none |
    | `vocabulary.txt` | the learnt vocabulary, a token a line (word pieces) |
    | `history.csv` | losses and accuracies, a row an epoch |
    | `ngrams/` | the same files of the n-grams, of each training of them |
    | `checkpoints/` | where a killed training goes on, or one with more epochs |
    | `best.weights.h5`, `best.json` | the best weights so far, and their epoch |
    | `model.keras` | the model with the best weights: the training is complete |
    | `evaluation.json` | accuracies on the test documents; of masked tokens held out |

    Args:
        path: The folder.
        settings_class: Class of the settings, `PretrainingSettings` for the folder of
            `pretrain_encoder`.

    Example:

    >>> RunFolder("runs/books").model_path.name
    'model.keras'
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        settings_class: type[TrainingSettings] = ClassifierSettings,
    ) -> None:
        self.path = pathlib.Path(path)
        self.settings_class = settings_class
        self.settings_path = self.path / "settings.json"
        self.documents_path = self.path / "documents.json"
        self.labels_path = self.path / "labels.json"
        self.vocabulary_path = self.path / "vocabulary.txt"
        self.history_path = self.path / "history.csv"
        self.ngrams_path = self.path / "ngrams"
        self.checkpoints_path = self.path / "checkpoints"
        self.best_weights_path = self.path / "best.weights.h5"
        self.model_path = self.path / "model.keras"
        self.evaluation_path = self.path / "evaluation.json"

    def check(self, settings: TrainingSettings, documents: Documents) -> None:
        """Checks that a training can start here, or go on. Nothing is written.

        Args:
            settings: The `ClassifierSettings` of the training.
            documents: The `Documents` to train on.

        Raises:
            ValueError: If the folder holds something else than a training with the
                same settings on the same documents. Only `epochs` may be more, and
                `early_stopping` another.
        """
        if self._is_new():
            return
        if not self.settings_path.exists():
            raise ValueError(
                f"The run folder {str(self.path)!r} exists and holds something else "
                "than a training. Choose another folder."
            )
        if (self.path / "backup").is_dir():
            raise ValueError(
                f"The training in {str(self.path)!r} was begun by an older version, "
                "whose batches were others, and is not complete. Choose another folder."
            )
        before = self.settings()
        more_epochs = max(before.epochs, settings.epochs)
        same = dataclasses.replace(
            before, epochs=more_epochs, early_stopping=settings.early_stopping
        )
        if same != settings:
            differences = [
                f"{name}: {getattr(before, name)!r} there, {value!r} now"
                for name, value in vars(settings).items()
                if getattr(before, name) != value
            ]
            raise ValueError(
                f"The run folder {str(self.path)!r} holds a training with other "
                f"settings ({'; '.join(differences)}). Pass the same settings, or more "
                "`epochs` or another `early_stopping`, to go on with it, or choose "
                "another folder."
            )
        if _read_json(self.documents_path) != fingerprint(documents):
            raise ValueError(
                f"The documents have changed since the training in {str(self.path)!r} "
                "began: other files, or other sizes. Choose another folder to train "
                "on them as they are now."
            )
        is_complete = self.model_path.exists()
        if settings != before and is_complete and not self.has_checkpoint():
            raise ValueError(
                f"The training in {str(self.path)!r} is complete and has no checkpoint "
                f"to go on from to epochs={settings.epochs}: an older version removed "
                "it at the end. Choose another folder."
            )

    def open(self, settings: TrainingSettings, documents: Documents) -> None:
        """Starts a training here, or goes on with the one that is here.

        With more `epochs` or another `early_stopping` than before, a complete training
        is incomplete again.

        Args:
            settings: The `ClassifierSettings` of the training.
            documents: The `Documents` to train on.

        Raises:
            ValueError: As `check` does.
        """
        self.check(settings, documents)
        if self._is_new():
            self.path.mkdir(parents=True, exist_ok=True)
            labels, found = list(documents.labels), fingerprint(documents)
            atomic_write_text(self.labels_path, json.dumps(labels) + "\n")
            atomic_write_text(self.documents_path, json.dumps(found) + "\n")
            # Last: a folder without it is one where a training may start.
            atomic_write_text(self.settings_path, settings.to_json())
        elif self.settings() != settings:
            self.evaluation_path.unlink(missing_ok=True)
            self.model_path.unlink(missing_ok=True)
            atomic_write_text(self.settings_path, settings.to_json())

    def _is_new(self) -> bool:
        """Whether nothing is here but what may be written before the settings."""
        if not self.path.exists():
            return True
        first = {self.labels_path.name, self.documents_path.name}
        first |= {f"incomplete.{name}" for name in {*first, self.settings_path.name}}
        return all(path.name in first for path in self.path.iterdir())

    def has_checkpoint(self) -> bool:
        """Whether a training of the encoder goes on here after a step of its own."""
        return Checkpoint(self.checkpoints_path).latest_step() > 0

    def settings(self) -> Any:
        """Returns the settings of the training, of `settings_class`."""
        command = f"`keras-performer {self.settings_class.command}`"
        try:
            text = self.settings_path.read_text()
        except OSError as error:
            raise ValueError(
                f"{str(self.path)!r} is no run folder: it has no readable "
                f"{self.settings_path.name} ({error}). Expected a folder that "
                f"{command} wrote."
            ) from error
        try:
            return self.settings_class.from_json(text)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{self.settings_path} does not hold settings of {command} of this "
                f"version: {error}"
            ) from error

    def labels(self) -> tuple[str, ...]:
        """Returns the names of the classes."""
        return tuple(_read_json(self.labels_path))

    def save_vocabulary(self, vocabulary: Sequence[str]) -> None:
        """Writes the vocabulary, which stays the same from then on.

        Raises:
            ValueError: If there is another one.
        """
        if not self.vocabulary_path.exists():
            save_vocabulary(vocabulary, self.vocabulary_path)
        elif load_vocabulary(self.vocabulary_path) != list(vocabulary):
            raise ValueError(
                f"{self.vocabulary_path} is another vocabulary than that of the "
                "encoder to start from, which was pretrained anew since this training "
                "began. Choose another folder."
            )

    def tokenizer(self) -> Tokenizer:
        """Returns the tokenizer of the training."""
        if self.settings().tokenizer == "bytes":
            return ByteTokenizer(name="tokenizer")
        return WordPieceTokenizer(
            load_vocabulary(self.vocabulary_path), name="tokenizer"
        )

    def save_model(self, model: keras.Model) -> None:
        """Writes the trained model, which completes the training."""
        with atomic_write(self.model_path, room_for(model)) as temporary:
            model.save(temporary)

    def model(self) -> keras.Model:
        """Returns the trained model.

        Raises:
            ValueError: If the training is not complete.
        """
        self.settings()  # raises where this is no run folder
        if not self.model_path.exists():
            raise ValueError(
                f"The training in {str(self.path)!r} is not complete: it has no "
                f"{self.model_path.name}. Run the same `{self.settings_class.command}` "
                "again to finish it."
            )
        try:
            return keras.saving.load_model(self.model_path)
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"{self.model_path} is damaged: {error}. Remove the folder and train "
                "again."
            ) from error

    def history(self) -> list[dict[str, float]]:
        """Returns a dictionary of floats for each epoch, in order.

        In a file of an older version an epoch may stand twice; the last one counts.
        """
        with self.history_path.open(newline="") as file:
            rows = {int(row["epoch"]): row for row in csv.DictReader(file)}
        return [
            {name: float(x) for name, x in rows[epoch].items() if x != "NA"}
            for epoch in sorted(rows)
        ]


def fingerprint(documents: Documents) -> dict[str, Any]:
    """What tells one set of documents from another: keys, sizes and labels.

    Args:
        documents: `Documents`.

    Returns:
        Dictionary of the number of documents and a digest.
    """
    digest = hashlib.sha256("\n".join(documents.labels).encode())
    for index, key in enumerate(documents.texts.keys()):
        size, label_id = documents.size(index), documents.label_ids[index]
        digest.update(b"\n%b %d %b" % (key, size, str(label_id).encode()))
    return {"files": len(documents), "sha256": digest.hexdigest()}


def _read_json(path: pathlib.Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path} cannot be read: {error}. The run folder is incomplete; remove it "
            "and train again."
        ) from error
