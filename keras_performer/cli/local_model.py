"""Classifiers on this machine's disk: run folders and exported models."""

import abc
import argparse
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_performer.cli.answers import problem_of_outputs
from keras_performer.export import versions
from keras_performer.server.servable import Servable
from keras_performer.server.serving_error import ServingError
from keras_performer.training import RunFolder
from keras_performer.training.evaluation import predict_texts


class LocalModel(abc.ABC):
    """A classifier that takes texts.

    Attributes:
        labels: Names of the classes; for a number none.
        problem: Whether it answers one label, several, or a number.
    """

    labels: tuple[str, ...]
    problem: str

    @abc.abstractmethod
    def outputs(self, texts: Sequence[str]) -> np.ndarray:
        """Returns the probabilities of texts, of shape (texts, classes), or numbers."""

    @abc.abstractmethod
    def embeddings(self, texts: Sequence[str]) -> np.ndarray:
        """Returns the vectors of texts, of shape (texts, F)."""


class RunModel(LocalModel):
    """The classifier of a run folder.

    Args:
        run_folder: Folder of a complete training.
    """

    def __init__(self, run_folder: str) -> None:
        folder = RunFolder(run_folder)
        self.labels = folder.labels()
        self._model = folder.model()
        self._tokenizer = folder.tokenizer()
        self._tokens_per_batch = folder.settings().tokens_per_batch
        self.problem = folder.settings().problem

    def outputs(self, texts: Sequence[str]) -> np.ndarray:
        return self._predict(self._model, texts)

    def embeddings(self, texts: Sequence[str]) -> np.ndarray:
        return self._predict(self._model.embedder, texts)

    def _predict(self, model: object, texts: Sequence[str]) -> np.ndarray:
        return predict_texts(model, self._tokenizer, texts, self._tokens_per_batch)


class ExportedModel(LocalModel):
    """A SavedModel that `keras-performer export` wrote.

    Args:
        path: Folder of a version, or of a model, of which it is the newest version.

    Raises:
        ValueError: If there is no SavedModel, or it is no document classifier.
    """

    def __init__(self, path: str) -> None:
        folder = pathlib.Path(path)
        if not (folder / "saved_model.pb").is_file():
            found = versions(folder)
            if not found:
                raise ValueError(
                    f"{path!r} has neither saved_model.pb nor a numbered version. "
                    "Expected a folder that `keras-performer export` wrote, such as "
                    "saved_models/documents or saved_models/documents/1."
                )
            folder /= str(found[-1])
        self._path = folder
        try:
            self._servable = Servable(folder)
            answered = self._run("serving_default", "text", [b""])
            problem = problem_of_outputs(list(answered))
            if problem is None:
                raise KeyError(f"it answers {sorted(answered)}")
            self.problem = problem
            names: Any = []
            if "probabilities" in answered:
                [row] = answered["probabilities"]
                names = self._run("labels", "index", range(len(row)))["label"]
        except (ServingError, KeyError) as error:
            raise ValueError(
                f"The model in {str(folder)!r} cannot be used as a document "
                f"classifier: {error}"
            ) from error
        self.labels = tuple(name.decode() for name in names)

    def outputs(self, texts: Sequence[str]) -> np.ndarray:
        data = [text.encode() for text in texts]
        answered = self._run("serving_default", "text", data)
        if "value" in answered:
            return answered["value"][:, None]
        return answered["probabilities"]

    def embeddings(self, texts: Sequence[str]) -> np.ndarray:
        data = [text.encode() for text in texts]
        return self._run("embed", "text", data)["embedding"]

    def _run(
        self, signature: str, name: str, values: Sequence[object]
    ) -> dict[str, np.ndarray]:
        dtype = object if name == "text" else "int32"
        array = np.array(values, dtype)
        return self._servable.run(
            self._servable.get_signature(signature), {name: array}
        )


def local_model(arguments: argparse.Namespace) -> LocalModel:
    """Returns the model of parsed arguments: of `--run` or of `--model`."""
    if arguments.run_folder is not None:
        return RunModel(arguments.run_folder)
    return ExportedModel(arguments.model)
