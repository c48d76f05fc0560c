"""`keras-performer embed`: vectors of documents, and the nearest of each."""

import argparse
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from keras_performer.cli.local_model import local_model
from keras_performer.cli.output import json_output
from keras_performer.cli.text_blocks import TextBlocks
from keras_performer.cli.texts import text_paths
from keras_performer.extras import pip_line

_COSINES_AT_ONCE = 2**24
_FORMATS = (".npz", ".parquet")


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns 2 where a file could not be read."""
    _check(arguments)
    blocks = TextBlocks(text_paths(arguments.files), arguments.text_column)
    prints_vectors = arguments.out is None and arguments.nearest is None
    with json_output(arguments.json or prints_vectors) as write_json:
        model = local_model(arguments)
        paths: list[str] = []
        parts: list[np.ndarray] = []
        for names, texts in blocks:
            vectors = model.embeddings(texts)
            if prints_vectors:
                for path, vector in zip(names, vectors, strict=True):
                    write_json({"path": path, "embedding": vector.tolist()})
            else:
                paths += names
                parts.append(vectors)
        if parts and arguments.out is not None:
            _write(arguments.out, paths, np.concatenate(parts))
            print(f"Wrote {arguments.out}: {len(paths)} vectors")
        if parts and arguments.nearest is not None:
            nearest = nearest_rows(np.concatenate(parts), arguments.nearest)
            for path, row in zip(paths, nearest, strict=True):
                found = [(paths[index], cosine) for index, cosine in row]
                if arguments.json:
                    rows = [{"path": name, "cosine": cosine} for name, cosine in found]
                    write_json({"path": path, "nearest": rows})
                else:
                    for name, cosine in found:
                        print(f"{path}\t{name}\t{cosine:.4f}")
    return 2 if blocks.num_failures else 0


def nearest_rows(vectors: np.ndarray, number: int) -> Iterator[list[tuple[int, float]]]:
    """Finds for each row the other rows of the largest cosine.

    Args:
        vectors: Array of shape (N, F). The cosine with a row of zeros is 0.
        number: Largest number of rows to find for each.

    Returns:
        Iterator over the rows: pairs of an index and a cosine, the largest first.

    Example:

    >>> vectors = np.array([[1.0, 0.0], [0.0, 3.0], [2.0, 0.1]])
    >>> [row[0][0] for row in nearest_rows(vectors, 1)]
    [2, 2, 0]
    """
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    units = vectors / np.where(lengths > 0, lengths, 1)
    number = min(number, len(units) - 1)
    rows = max(1, _COSINES_AT_ONCE // max(1, len(units)))
    for start in range(0, len(units), rows):
        cosines = units[start : start + rows] @ units.T
        for offset, row in enumerate(cosines):
            row[start + offset] = -np.inf  # not itself
            found = np.argpartition(-row, number)[:number] if number else []
            order = sorted(found, key=lambda index: (-row[index], index))
            yield [(int(index), float(row[index])) for index in order]


def _check(arguments: argparse.Namespace) -> None:
    """Says before the work what could not be written after it."""
    if arguments.nearest is not None and arguments.nearest < 1:
        raise ValueError(f"--nearest {arguments.nearest}: expected at least 1.")
    if arguments.out is None:
        return
    path = pathlib.Path(arguments.out)
    if path.suffix not in _FORMATS:
        raise ValueError(
            f"--out {arguments.out}: expected a name that ends in .npz or .parquet."
        )
    if not path.parent.is_dir():
        raise ValueError(f"--out {arguments.out}: there is no folder {path.parent}.")
    if path.suffix == ".parquet":
        _import_pyarrow()


def _import_pyarrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(
            f"Parquet files need pyarrow. Install it with: {pip_line('parquet')}"
        ) from error
    return pyarrow


def _write(path: str, paths: Sequence[str], vectors: np.ndarray) -> None:
    if path.endswith(".npz"):
        np.savez(path, paths=np.array(paths), embeddings=vectors)
        return
    pyarrow = _import_pyarrow()
    values = pyarrow.array(vectors.reshape(-1), pyarrow.float32())
    columns = {
        "path": pyarrow.array(paths, pyarrow.string()),
        "embedding": pyarrow.FixedSizeListArray.from_arrays(values, vectors.shape[1]),
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
