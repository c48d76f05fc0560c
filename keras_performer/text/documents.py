"""Folders of documents, one subfolder a class: found, checked, held out, streamed."""

import codecs
import dataclasses
import hashlib
import os
import pathlib
import stat
import warnings
from collections.abc import Sequence
from typing import NoReturn

import tensorflow as tf

MAX_BYTES = 64 * 2**20
_CHUNK_BYTES = 2**20
# Longer ones first: the mark of UTF-32 begins as that of UTF-16 does.
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
# Share of zero bytes: text in UTF-8 has none, in UTF-16 at least one in each space.
_MAX_ZEROS = 0.01


@dataclasses.dataclass(frozen=True)
class Documents:
    """Where documents lie and which class each is of; their texts stay on disk.

    Attributes:
        paths: Path of each document.
        label_ids: Index into `labels` of each document.
        labels: Names of the classes.
    """

    paths: tuple[str, ...]
    label_ids: tuple[int, ...]
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def dataset(self) -> tf.data.Dataset:
        """Streams the documents in their order, one file in memory at a time.

        Returns:
            `tf.data.Dataset` of pairs of a text, a scalar string without the byte
            order mark that some editors write, and the index of its label, a scalar
            int32.
        """
        paths = [os.fsencode(path) for path in self.paths]
        return tf.data.Dataset.from_tensor_slices(
            (tf.constant(paths, tf.string), tf.constant(self.label_ids, tf.int32))
        ).map(lambda path, label_id: (_read_text(path), label_id))


def find_documents(
    directory: str | os.PathLike[str],
    labels: Sequence[str] | None = None,
    max_bytes: int = MAX_BYTES,
) -> Documents:
    """Finds the documents of a folder that has one subfolder a class.

    The layout is that of `keras.utils.text_dataset_from_directory`: the files of
    `<directory>/<class>/`, and of the folders in it, are the documents of a class.
    Their names may end in anything. Files and folders whose name starts with a dot
    are left out, as are files beside the class folders, and a link to a folder is
    followed only where it is the class folder.

    Each file is read once, so that what training could stumble on comes to light
    now. A file with nothing but whitespace in it is left out with a warning.

    Args:
        directory: Folder of the class folders.
        labels: Names of the classes in the order of their ids, as when a folder of
            tests must mean the same as one of training; some may have no folder.
            `None` takes the names of the class folders, sorted.
        max_bytes: Largest size of a file.

    Returns:
        `Documents`, sorted by class and path.

    Raises:
        ValueError: If the folder is missing, has fewer than two classes (where
            `labels` is `None`), has a class that is not in `labels` or that has no
            documents, or if a file cannot be read, is not UTF-8 or is larger than
            `max_bytes`.

    Example:

    >>> import pathlib, tempfile
    >>> from keras_performer.text import find_documents
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     for name in ("prose", "verse"):
    ...         (pathlib.Path(directory) / name).mkdir()
    ...         _ = (pathlib.Path(directory) / name / "1.txt").write_text("a b c")
    ...     find_documents(directory).labels
    ('prose', 'verse')
    """
    directory = os.fspath(directory)
    if max_bytes < 1:
        raise ValueError(f"max_bytes={max_bytes!r} was passed. Expected at least 1.")
    classes = _class_folders(directory)
    if labels is None:
        labels = classes
        if len(labels) < 2:
            raise ValueError(
                f"{directory} has one class folder, {labels[0]!r}. Expected at least "
                "two, <directory>/<class>/<file>: a classifier needs a choice. If the "
                "classes are inside that folder, pass it instead."
            )
    unknown = sorted(set(classes) - set(labels))
    if unknown:
        raise ValueError(
            f"{directory} has the class folders {unknown!r}, which are none of the "
            f"known labels {list(labels)!r}. Rename or remove them, or train with them."
        )
    paths: list[str] = []
    label_ids: list[int] = []
    empty: list[str] = []
    for label in classes:
        found = _files_under(os.path.join(directory, label))
        kept = [path for path in found if _has_text(path, max_bytes)]
        if not kept:
            raise ValueError(
                f"The class folder {os.path.join(directory, label)} has no documents: "
                f"{len(found)} files, none with text. Add documents or remove the "
                "folder."
            )
        paths += kept
        label_ids += [list(labels).index(label)] * len(kept)
        empty += sorted(set(found) - set(kept))
    if empty:
        more = ", ..." if len(empty) > 3 else ""
        warnings.warn(
            f"{len(empty)} files in {directory} have no text and are left out: "
            f"{', '.join(empty[:3])}{more}",
            stacklevel=2,
        )
    return Documents(tuple(paths), tuple(label_ids), tuple(labels))


def train_test_split(
    documents: Documents, fraction: float, seed: int = 0
) -> tuple[Documents, Documents]:
    """Splits documents in two, by whole files and with the same share of each class.

    Which documents are held out follows from a hash of their paths inside their
    common folder: it is the same wherever the folder lies and in whichever order
    its files were found, and few change sides when a file is added.

    Args:
        documents: `Documents` to split.
        fraction: Share of each class to hold out, between 0 and 1. Of each class at
            least one document is held out and one is kept.
        seed: Integer; another one holds out other documents.

    Returns:
        Pair of `Documents`: those kept and those held out, with the same labels.

    Raises:
        ValueError: If `fraction` is not between 0 and 1, or if a class has but one
            document.
    """
    if not 0 < fraction < 1:
        raise ValueError(
            f"fraction={fraction!r} was passed. Expected a number between 0 and 1."
        )
    root = os.path.commonpath(documents.paths)
    by_label: dict[int, list[tuple[bytes, int]]] = {
        label_id: [] for label_id in documents.label_ids
    }
    for index, label_id in enumerate(documents.label_ids):
        name = pathlib.Path(os.path.relpath(documents.paths[index], root)).as_posix()
        digest = hashlib.blake2b(f"{seed}/".encode() + os.fsencode(name)).digest()
        by_label[label_id].append((digest, index))
    held: set[int] = set()
    for label_id, ranked in by_label.items():
        if len(ranked) < 2:
            raise ValueError(
                f"The class {documents.labels[label_id]!r} has one document, "
                f"{documents.paths[ranked[0][1]]}. Holding out needs two: add "
                "documents, or keep those to test on in a folder of their own."
            )
        count = min(max(round(fraction * len(ranked)), 1), len(ranked) - 1)
        held.update(index for _, index in sorted(ranked)[:count])
    return (
        _select(documents, [i for i in range(len(documents)) if i not in held]),
        _select(documents, sorted(held)),
    )


def find_train_test(
    directory: str | os.PathLike[str],
    fraction: float = 0.2,
    seed: int = 0,
    max_bytes: int = MAX_BYTES,
    text_column: str = "text",
    label_column: str = "label",
) -> tuple[Documents, Documents]:
    """Finds the documents to train on and those to test on.

    Args:
        directory: Folder with the subfolders `train` and `test`, each with one
            subfolder a class; or folder of the class folders themselves, of which a
            part is then held out.
        fraction: Share of each class to hold out where there is no `test` folder.
        seed: Seed of the choice of what is held out.
        max_bytes: Largest size of a file.
        text_column: Column of the texts, where the documents are rows of a table.
        label_column: Column of the labels there.

    Returns:
        Pair of `Documents`: to train on and to test on, with the same labels.

    Raises:
        ValueError: If only one of the folders `train` and `test` exists, or as
            `find_documents` and `train_test_split` do.
    """
    halves = [os.path.join(os.fspath(directory), name) for name in ("train", "test")]
    existing = [path for path in halves if os.path.isdir(path)]
    if len(existing) == 1:
        raise ValueError(
            f"{directory} has the folder {existing[0]} without its counterpart. "
            "Expected both `train` and `test`, or neither. Pass that folder itself to "
            "hold a part of it out; if it is a class, rename it."
        )
    if existing:
        train = find_documents(halves[0], max_bytes=max_bytes)
        return train, find_documents(halves[1], train.labels, max_bytes)
    return train_test_split(
        find_documents(directory, max_bytes=max_bytes), fraction, seed
    )


def _select(documents: Documents, indices: Sequence[int]) -> Documents:
    return Documents(
        tuple(documents.paths[i] for i in indices),
        tuple(documents.label_ids[i] for i in indices),
        documents.labels,
    )


def _class_folders(directory: str) -> list[str]:
    try:
        with os.scandir(directory) as entries:
            names = sorted(
                entry.name
                for entry in entries
                if entry.is_dir() and not entry.name.startswith(".")
            )
    except OSError as error:
        raise ValueError(
            f"The folder {directory} cannot be read: {error.strerror}. Expected a "
            "folder with one subfolder a class, <directory>/<class>/<file>."
        ) from error
    if not names:
        raise ValueError(
            f"The folder {directory} has no class folders. Expected one subfolder a "
            "class, <directory>/<class>/<file>."
        )
    for name in names:
        try:
            name.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(
                f"The class folder {name!r} in {directory} has a name that is not "
                "UTF-8, so it cannot be a label. Rename it."
            ) from error
    return names


def _files_under(folder: str) -> list[str]:
    def fail(error: OSError) -> NoReturn:
        raise ValueError(
            f"The folder {error.filename} cannot be read: {error.strerror}. Make it "
            "readable or remove it."
        ) from error

    files: list[str] = []
    for parent, folders, names in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [os.path.join(parent, n) for n in names if not n.startswith(".")]
    return sorted(files)


def _read_text(path: tf.Tensor) -> tf.Tensor:
    """A file as a scalar string, without a byte order mark."""
    text = tf.io.read_file(path)
    length = len(codecs.BOM_UTF8)
    marked = tf.strings.substr(text, 0, length) == codecs.BOM_UTF8
    return tf.cond(marked, lambda: tf.strings.substr(text, length, -1), lambda: text)


def _wide_encoding(data: bytes) -> str | None:
    """UTF-16 or UTF-32, where a file begins like that; UTF-8 text has no zero bytes."""
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            return encoding
    if data.count(0) > _MAX_ZEROS * len(data):
        return "UTF-16BE" if data[::2].count(0) > data[1::2].count(0) else "UTF-16LE"
    return None


def _has_text(path: str, max_bytes: int) -> bool:
    """Reads a file once; whether it has more than whitespace in it."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    offset = 0
    has_text = False
    try:
        status = os.stat(path)
        # A pipe would block the reader for ever, a device might never end.
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(
                f"{path} is no regular file. Remove it, or put a file in its place."
            )
        if status.st_size > max_bytes:
            raise ValueError(
                f"{path} has {status.st_size} bytes, more than max_bytes={max_bytes}. "
                "A document is held in memory as a whole: split it, or raise max_bytes."
            )
        with open(path, "rb") as file:
            at_end = False
            while not at_end:
                chunk = file.read(_CHUNK_BYTES)
                at_end = not chunk
                wide = _wide_encoding(chunk) if offset == 0 else None
                if wide:
                    raise ValueError(
                        f"{path} is not UTF-8: it looks like {wide}. Convert it, for "
                        f"example with `iconv -f {wide} -t UTF-8`, or remove it."
                    )
                # An incomplete character stays in the decoder for the next chunk.
                pending = len(decoder.getstate()[0])
                # A byte order mark is no text.
                text = decoder.decode(chunk, final=at_end).removeprefix("\ufeff")
                has_text |= bool(text) and not text.isspace()
                offset += len(chunk)
    except OSError as error:
        raise ValueError(
            f"{path} cannot be read: {error.strerror}. Make it readable or remove it."
        ) from error
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8: {error.reason} at byte "
            f"{offset - pending + error.start}. Convert it, for example with `iconv "
            "-f WINDOWS-1252 -t UTF-8`, or remove it."
        ) from error
    return has_text
