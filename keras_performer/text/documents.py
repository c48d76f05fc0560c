"""Documents of a folder or a table: found, checked, held out, streamed."""

import collections
import functools
import hashlib
import itertools
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_performer.text.readers.table_texts import (
    SPLIT_COLUMN,
    find_rows,
    table_stem,
)
from keras_performer.text.readers.text_files import TextFiles, find_files
from keras_performer.text.readers.text_reader import FoundTexts, TextReader
from keras_performer.text.targets import SingleLabel, Unlabelled, get_targets

MAX_BYTES = 64 * 2**20
_HALVES = ("train", "test")
_NUMBERS = ("none", "one", "two")
# A folder or a table; of a table in parts, as train-00000-of-00002, each part.
_HALF = re.compile(r"(?P<half>train|test)(?P<part>[-_.]\d.*)?")
_BLOCK_BYTES, _BLOCK_TEXTS = 2**20, 64


class Documents:
    """Where documents lie and which class each is of; their texts stay on disk.

    Args:
        paths: Paths of files, a document each, or a `TextReader` that knows where the
            texts are.
        label_ids: Index into `labels` of each document; with `problem="multi_label"` a
            tuple of such, with `"regression"` a number.
        labels: Names of the classes; for numbers none.
        problem: `"single_label"`, `"multi_label"`, `"regression"` or `"unlabelled"`.

    Example:

    >>> import pathlib
    >>> from keras_performer.text import Documents
    >>> _ = pathlib.Path("whale.txt").write_text("Call me Ishmael.")
    >>> documents = Documents(("whale.txt",), (0,), ("sea", "land"))
    >>> documents.read(0), documents.name(0)
    (b'Call me Ishmael.', 'whale.txt')
    """

    def __init__(
        self,
        paths: Sequence[str] | TextReader,
        label_ids: Sequence[Any],
        labels: Sequence[str],
        problem: str = "single_label",
    ) -> None:
        self._targets = get_targets(problem)
        if not isinstance(paths, TextReader):
            paths = TextFiles(tuple(paths))
        self._texts = paths
        self._label_ids = tuple(label_ids)
        self._labels = tuple(labels)
        self._problem = problem

    @property
    def texts(self) -> TextReader:
        """The `TextReader`."""
        return self._texts

    @property
    def label_ids(self) -> tuple[Any, ...]:
        """Index into `labels` of each document, or a tuple of such, or a number."""
        return self._label_ids

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self._labels

    @property
    def problem(self) -> str:
        """Whether a document has one label, several, a number, or nothing."""
        return self._problem

    @functools.cached_property
    def targets(self) -> np.ndarray:
        """What a model learns: a row a document.

        Of one label its index, int32 of shape (N,); of several 1 for each that a
        document has and 0 for others, uint8 of shape (N, K); of a number float32 of
        shape (N, 1). Of unlabelled texts zeros, int32 of shape (N,).
        """
        return self._targets.array(self.label_ids, len(self.labels))

    @functools.cached_property
    def strata(self) -> np.ndarray:
        """The group of each document, of which the same share is held out: (N,)."""
        return self._targets.strata(self.label_ids)

    @property
    def paths(self) -> tuple[str, ...]:
        """Where each document is; see `name`."""
        return tuple(self.name(index) for index in range(len(self)))

    def stratum_name(self, stratum: int) -> str:
        """How errors call one of the groups in `strata`."""
        return self._targets.stratum_name(stratum, self.labels)

    def __len__(self) -> int:
        return len(self._texts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Documents):
            return NotImplemented
        return (self.paths, self.label_ids, self.labels) == (
            other.paths,
            other.label_ids,
            other.labels,
        )

    def __repr__(self) -> str:
        return f"<Documents: {len(self)} of {len(self.labels)} classes>"

    def name(self, index: int) -> str:
        """Where a document is: the path of its file, or of its table and its line.

        Args:
            index: Index of the document.

        Returns:
            Path such as `"books/sea/1.txt"`, or `"books.jsonl:12"`.
        """
        return self._texts.name(index)

    def size(self, index: int) -> int:
        """Number of bytes of a document.

        Args:
            index: Index of the document.
        """
        return self._texts.size(index)

    def read(self, index: int) -> bytes:
        """Reads a document.

        Args:
            index: Index of the document.

        Returns:
            The text in UTF-8, without the byte order mark that some editors write.
        """
        return self._texts.read(index)

    def dataset(self) -> tf.data.Dataset:
        """Streams the documents in their order, a mebibyte in memory at a time.

        Returns:
            `tf.data.Dataset` of pairs of a text, a scalar string as `read` gives it,
            and its row of `targets`: of one label the index, a scalar int32. A document
            larger than a mebibyte is in memory as a whole.
        """
        targets = self.targets
        signature = (
            tf.TensorSpec((None,), tf.string),
            tf.TensorSpec((None, *targets.shape[1:]), targets.dtype),
        )
        return tf.data.Dataset.from_generator(
            self._blocks, output_signature=signature
        ).unbatch()

    def _blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Some documents at a time: a call from TensorFlow to Python is slow."""
        texts: list[bytes] = []
        num_bytes = 0
        for index in range(len(self)):
            texts.append(self.read(index))
            num_bytes += len(texts[-1])
            is_last = index == len(self) - 1
            if is_last or num_bytes >= _BLOCK_BYTES or len(texts) == _BLOCK_TEXTS:
                first = index + 1 - len(texts)
                yield np.array(texts, object), self.targets[first : index + 1]
                texts, num_bytes = [], 0


def find_documents(
    directory: str | os.PathLike[str],
    labels: Sequence[str] | None = None,
    max_bytes: int = MAX_BYTES,
    text_column: str = "text",
    label_column: str = "label",
    problem: str = "single_label",
    label_separator: str | None = None,
) -> Documents:
    """Finds the documents of a folder that has one subfolder a class, or of a table.

    The layout of a folder is that of `keras.utils.text_dataset_from_directory`: the
    files of `<directory>/<class>/`, and of the folders in it, are the documents of a
    class. Their names may end in anything. Files and folders whose name starts with a
    dot are left out, as are files beside the class folders, and a link to a folder is
    followed only where it is the class folder.

    A table has a row a document. A folder that has no folders in it has tables, which
    are taken together.

    | ending | what it is |
    |---|---|
    | `.jsonl`, `.ndjson`, `.json` | a JSON object a line |
    | `.csv`, `.tsv` | separated by commas, tabs, semicolons or bars, names first |
    | `.parquet` | a Parquet file; needs pyarrow |

    The first two may be compressed: `.gz`, `.xz` or `.bz2` behind the ending. Labels
    are names: the integer 3 and the number 3.0 become `"3"`, a boolean `"true"` or
    `"false"`, and space around a name is dropped.

    Each document is read once, so that what training could stumble on comes to light
    now. One with nothing but whitespace in it is left out with a warning. What is held
    is where the texts are: 48 bytes of a row. Compressed tables are decompressed, and
    the texts of Parquet files written, to a temporary file that goes when it is no
    longer used (`TMPDIR` in the environment says where).

    Args:
        directory: Folder of the class folders, or of tables, or the file of a table.
        labels: Names of the classes in the order of their ids, as when a folder of
            tests must mean the same as one of training; some may have no documents.
            `None` takes the names that are found, sorted.
        max_bytes: Largest size of a document.
        text_column: Column of the texts of a table.
        label_column: Column of its labels.
        problem: What a document of a table is labelled with: `"single_label"`, one
            class; `"multi_label"`, a list of any number of classes; `"regression"`, a
            number. The files of a folder have one class each. `"unlabelled"`: nothing,
            and the files of a folder may lie in any folders.
        label_separator: What stands between several labels where they are a string, as
            in CSV; such as `"|"`.

    Returns:
        `Documents`, sorted by class and path, or in the order of the table.

    Raises:
        ImportError: If the file is of Parquet, and pyarrow is not installed.
        ValueError: If the folder or the file is missing, has fewer than two classes
            (where `labels` is `None`), has a class that is not in `labels`, or if a
            document cannot be read, is not UTF-8 or is larger than `max_bytes`. If a
            class folder has no documents. If a table has no such columns, or a row is
            malformed, has no label or something else than a text.

    Example:

    >>> import pathlib, tempfile
    >>> from keras_performer.text import find_documents
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     for name in ("prose", "verse"):
    ...         (pathlib.Path(directory) / name).mkdir()
    ...         _ = (pathlib.Path(directory) / name / "1.txt").write_text("a b c")
    ...     find_documents(directory).labels
    ('prose', 'verse')
    >>> _ = pathlib.Path("lines.csv").write_text("label,text\\nverse,a b\\nprose,c")
    >>> documents = find_documents("lines.csv")
    >>> documents.labels, documents.read(0), documents.name(0)
    (('prose', 'verse'), b'a b', 'lines.csv:2')
    """
    find = _Finder(max_bytes, text_column, label_column, problem, label_separator)
    return find.with_label_ids(find([os.fspath(directory)]), labels)


def train_test_split(
    documents: Documents, fraction: float, seed: int = 0
) -> tuple[Documents, Documents]:
    """Splits documents in two, by whole files and with the same share of each class.

    Which documents are held out follows from a hash of their paths inside their
    common folder, or of the texts of a table: it is the same wherever the folder lies
    and in whichever order its files were found, and few change sides when one is
    added. A text that a table has twice in a class is on one side. Documents with
    several labels or a number are split without regard to these.

    Args:
        documents: `Documents` to split.
        fraction: Share of each class to hold out, between 0 and 1. Of each class at
            least one document is held out and one is kept.
        seed: Integer; another one holds out other documents.

    Returns:
        Pair of `Documents`: those kept and those held out, with the same labels.

    Raises:
        ValueError: If `fraction` is not between 0 and 1, or if a class has but one
            document, or but one text.
    """
    if not 0 < fraction < 1:
        raise ValueError(
            f"fraction={fraction!r} was passed. Expected a number between 0 and 1."
        )
    seed_bytes, keys = f"{seed}/".encode(), documents.texts.keys()
    ranks = np.fromiter(
        (
            int.from_bytes(hashlib.blake2b(seed_bytes + key).digest()[:8], "big")
            for key in keys
        ),
        np.uint64,
        len(documents),
    )
    strata = documents.strata
    is_held: np.ndarray = np.zeros(len(documents), bool)
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        distinct, counts = np.unique(ranks[members], return_counts=True)
        if len(distinct) < 2:
            again = "" if len(members) == 1 else f", {len(members)} times"
            raise ValueError(
                f"{documents.stratum_name(stratum)} has one document, "
                f"{documents.name(int(members[0]))}{again}. Holding out needs two: add "
                "documents, or keep those to test on in a folder or file of their own."
            )
        # Whole texts, in the order of their ranks, until the share is reached.
        share = max(round(fraction * len(members)), 1)
        number = np.searchsorted(np.cumsum(counts), share) + 1
        last = distinct[min(number, len(distinct) - 1) - 1]
        is_held[members] = ranks[members] <= last
    return _select(documents, ~is_held), _select(documents, is_held)


def find_train_test(
    directory: str | os.PathLike[str],
    fraction: float = 0.2,
    seed: int = 0,
    max_bytes: int = MAX_BYTES,
    text_column: str = "text",
    label_column: str = "label",
    problem: str = "single_label",
    label_separator: str | None = None,
) -> tuple[Documents, Documents]:
    """Finds the documents to train on and those to test on.

    | what is there | what is tested on |
    |---|---|
    | a folder with `train` and `test`, folders or tables (`train.jsonl`) | `test` |
    | a table with a column `split` | rows where it is `test`, of `train` and `test` |
    | a folder of class folders, or other tables | a part that is held out |
    | texts that are `"unlabelled"`, without such a split | nothing |

    A table may be in parts with numbers: `train-00000-of-00002.parquet` and so on.

    Args:
        directory: Folder, or the file of a table, as `find_documents` takes them.
        fraction: Share of each class to hold out where nothing says what to test on.
        seed: Seed of the choice of what is held out.
        max_bytes: Largest size of a document.
        text_column: Column of the texts of a table.
        label_column: Column of its labels.
        problem: What a document of a table is labelled with: `"single_label"`, one
            class; `"multi_label"`, a list of any number of classes; `"regression"`, a
            number. The files of a folder have one class each. `"unlabelled"`: nothing,
            and the files of a folder may lie in any folders.
        label_separator: What stands between several labels where they are a string, as
            in CSV; such as `"|"`.

    Returns:
        Pair of `Documents`: to train on and to test on, with the same labels.

    Raises:
        ImportError: If a file is of Parquet, and pyarrow is not installed.
        ValueError: If only one of `train` and `test` exists, or two of one, or as
            `find_documents` and `train_test_split` do.
    """
    directory = os.fspath(directory)
    find = _Finder(max_bytes, text_column, label_column, problem, label_separator)
    halves = _find_halves(directory)
    if halves:
        train, test = (find(halves[half]) for half in _HALVES)
    else:
        found = find([directory])
        if not found.splits:
            documents = find.with_label_ids(found)
            if not find.is_labelled:
                all_of_them: np.ndarray = np.ones(len(documents), bool)
                return documents, _select(documents, ~all_of_them)
            return train_test_split(documents, fraction, seed)
        train, test = _split_by_column(found)
    documents = find.with_label_ids(train)
    return documents, find.with_label_ids(test, documents.labels)


class _Finder:
    """Finds the texts of a folder or a file, or of several files."""

    def __init__(
        self,
        max_bytes: int,
        text_column: str,
        label_column: str,
        problem: str,
        label_separator: str | None,
    ) -> None:
        if max_bytes < 1:
            raise ValueError(
                f"max_bytes={max_bytes!r} was passed. Expected at least 1."
            )
        self.max_bytes = max_bytes
        self.problem = problem
        self.targets = get_targets(problem, label_separator)
        self.is_labelled = not isinstance(self.targets, Unlabelled)
        # A table needs the two columns: of what is not read, the text's is there.
        label_column = label_column if self.is_labelled else text_column
        self.columns = (text_column, label_column)

    def __call__(self, paths: list[str]) -> FoundTexts:
        """Finds them, and warns of those without text."""
        if os.path.isdir(paths[0]):
            paths = _tables_in(paths[0]) or paths
        if os.path.isfile(paths[0]):
            found = find_rows(paths, *self.columns, self.max_bytes, self.targets)
        elif isinstance(self.targets, (SingleLabel, Unlabelled)):
            found = find_files(paths[0], self.max_bytes, self.is_labelled)
        else:
            raise ValueError(
                f"problem={self.problem!r} was passed, and {paths[0]} is no table. A "
                "folder of class folders gives each document one class: expected a "
                "table, such as JSON lines, with a column of labels, or the problem "
                "'single_label'."
            )
        _warn_of_empty(found)
        return found

    def with_label_ids(
        self, found: FoundTexts, labels: Sequence[str] | None = None
    ) -> Documents:
        """The `Documents` of what was found, with these names of the classes."""
        kind = "class folder" if found.unit == "files" else "label"
        classes = self.targets.names(found.labels)
        if labels is None:
            labels = classes
            if len(labels) < self.targets.least_labels:
                shown = f"one {kind}, {labels[0]!r}" if labels else "no labels"
                raise ValueError(
                    f"{found.where} has {shown}. Expected at least "
                    f"{_NUMBERS[self.targets.least_labels]}: a classifier needs a "
                    "choice. If a folder has the folders of the classes in it, pass "
                    "that folder instead."
                )
        unknown = sorted(set(classes) - set(labels))
        if unknown:
            raise ValueError(
                f"{found.where} has the {kind}s {unknown!r}, which are none of the "
                f"known labels {list(labels)!r}. Rename or remove them, or train with "
                "them."
            )
        ids = {label: label_id for label_id, label in enumerate(labels)}
        label_ids = self.targets.encode(found.labels, ids)
        return Documents(found.reader, label_ids, labels, self.problem)


def _tables_in(directory: str) -> list[str]:
    """The tables of a folder that has no folders of classes."""
    names = [name for name in os.listdir(directory) if not name.startswith(".")]
    paths = [os.path.join(directory, name) for name in sorted(names)]
    if any(map(os.path.isdir, paths)):
        return []
    return [path for path in paths if table_stem(path)]


def _warn_of_empty(found: FoundTexts) -> None:
    if found.num_empty:
        more = ", ..." if found.num_empty > len(found.empty) else ""
        warnings.warn(
            f"{found.num_empty} {found.unit} in {found.where} have no text and are "
            f"left out: {', '.join(found.empty)}{more}",
            stacklevel=4,
        )


def _find_halves(directory: str) -> dict[str, list[str]]:
    """The folder or the tables of each half, `train` and `test`, if there are any."""
    if not os.path.isdir(directory):
        return {}
    halves: dict[str, list[str]] = {}
    for name in sorted(os.listdir(directory)):
        path = os.path.join(directory, name)
        is_folder = os.path.isdir(path)
        matched = _HALF.fullmatch(name if is_folder else table_stem(name) or "")
        if not matched or (is_folder and matched["part"]):
            continue
        paths = halves.setdefault(matched["half"], [])
        paths.append(path)
        if len(paths) > 1 and not matched["part"]:
            raise ValueError(
                f"{directory} has both {paths[0]} and {path}. Expected one "
                f"`{matched['half']}`, or parts with numbers, such as "
                "train-00000-of-00002.parquet: remove the other, or put it elsewhere."
            )
    if len(halves) == 1:
        [[path, *_]] = halves.values()
        kind = "folder" if os.path.isdir(path) else "file"
        raise ValueError(
            f"{directory} has the {kind} {path} without its counterpart. "
            f"Expected both `train` and `test`, or neither. Pass that {kind} itself to "
            "hold a part of it out; if it is a class, rename it."
        )
    return halves


def _split_by_column(found: FoundTexts) -> tuple[FoundTexts, FoundTexts]:
    """The rows whose column `split` is `train`, and those where it is `test`."""
    counts = collections.Counter(found.splits)
    others = {name: number for name, number in counts.items() if name not in _HALVES}
    if not counts["train"] or not counts["test"]:
        raise ValueError(
            f"The column {SPLIT_COLUMN!r} of {found.where} has "
            f"{dict(counts.most_common(5))}. Expected rows of both 'train' and 'test'. "
            "Rename a column that means something else."
        )
    if others:
        warnings.warn(
            f"{sum(others.values())} rows of {found.where} are left out, whose column "
            f"{SPLIT_COLUMN!r} is none of 'train' and 'test': {others}.",
            stacklevel=3,
        )
    splits = np.array(found.splits)
    train, test = (
        found._replace(
            reader=found.reader.select(np.flatnonzero(splits == half)),
            labels=list(itertools.compress(found.labels, splits == half)),
        )
        for half in _HALVES
    )
    return train, test


def _select(documents: Documents, mask: np.ndarray) -> Documents:
    indices = np.flatnonzero(mask)
    label_ids = [documents.label_ids[index] for index in indices.tolist()]
    return Documents(
        documents.texts.select(indices), label_ids, documents.labels, documents.problem
    )
