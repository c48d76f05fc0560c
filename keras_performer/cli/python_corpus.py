"""Real long documents that every machine has: the sources of its Python libraries.

The class of a document is the library that it comes from. What is tested on is held
out by module: a sub-package lies as a whole on one side, so that training has not
nearly seen it.
"""

import collections
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from keras_performer.cli.python_library import PYTHON_LIBRARIES, PythonLibrary
from keras_performer.extras import pip_line

MANIFEST = "corpus.json"
MIN_LIBRARIES = 6
MIN_BYTES, MAX_BYTES = 1_000, 200_000
TEST_SHARE = 0.25
_FORMAT = 1  # a corpus of another one is built anew
_HEAD = re.compile(r"\A(?:[ \t]*(?:#.*)?\n)+")
_IMPORT = re.compile(
    r"^[ \t]*(?:(?:>>>|\.\.\.)[ \t]+)?"  # also in the examples of docstrings
    r"(?:import[ \t]+\w|from[ \t]+[.\w]+(?:[ \t]|\\\n)+import\b(?:[ \t]*\([^)]*\))?)"
    r"(?:\\\n|.)*\n",
    re.MULTILINE,
)


@dataclasses.dataclass(frozen=True)
class PythonCorpus:
    """A corpus as it was built.

    Attributes:
        directory: Folder with the subfolders `train` and `test`.
        versions: Version of each library, by its label.
        train_files: Number of documents to train on, by label.
        test_files: Number of documents to test on, by label.
        test_modules: Dotted names of the modules held out, by label.
    """

    directory: str
    versions: dict[str, str]
    train_files: dict[str, int]
    test_files: dict[str, int]
    test_modules: dict[str, list[str]]


def build_python_corpus(
    directory: str | os.PathLike[str],
    libraries: Iterable[PythonLibrary] = PYTHON_LIBRARIES,
    max_train_files: int = 150,
    max_test_files: int = 50,
) -> PythonCorpus:
    """Writes `<directory>/{train,test}/<library>/<module>.txt` from installed sources.

    The task is to be about how a library is written, not about its name: the
    comments at the head of a file (licences) and all import statements are removed,
    generated code and copies of other projects are left out, and no text is taken
    twice. About a quarter of each library is held out, by whole modules. Which ones,
    and which files where there are more than the limits, follows from a hash of
    their names; the longest file that is held out is always taken.

    The folder is written under a temporary name and renamed. Where it already holds
    this corpus, it is left as it is; where it holds that of other versions or limits,
    it is replaced.

    Args:
        directory: Folder to write: a missing or empty one, or one with a corpus.
        libraries: `PythonLibrary` objects; those that are not installed are left out.
        max_train_files: Largest number of a library's documents to train on.
        max_test_files: Largest number of a library's documents to test on.

    Returns:
        `PythonCorpus`.

    Raises:
        ValueError: If fewer than six of the libraries have documents, if a limit is
            below one, or if `directory` holds something else.

    Example:

    >>> from keras_performer.cli.python_corpus import build_python_corpus
    >>> corpus = build_python_corpus("corpus", max_train_files=3, max_test_files=2)
    >>> corpus.train_files["keras"], corpus.test_files["keras"]
    (3, 2)
    """
    limits = {"train": max_train_files, "test": max_test_files}
    for side, limit in limits.items():
        if limit < 1:
            raise ValueError(
                f"max_{side}_files={limit!r} was passed. Expected at least 1."
            )
    directory = pathlib.Path(directory)
    installed = [library for library in libraries if library.folder() is not None]
    inputs: dict[str, Any] = {
        "format": _FORMAT,
        "limits": limits,
        "skip": {library.label: list(library.skip) for library in installed},
        "versions": {library.label: library.version() for library in installed},
    }
    outputs = _read_outputs(directory, inputs)
    if outputs is None:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=f".{directory.name}.", dir=directory.parent
        ) as temporary:
            built = pathlib.Path(temporary, "built")
            outputs = _write(built, installed, limits)
            manifest = json.dumps({"inputs": inputs, "outputs": outputs}, indent=1)
            (built / MANIFEST).write_text(manifest, encoding="utf-8")
            if directory.exists():
                directory.rename(pathlib.Path(temporary, "old"))
            built.rename(directory)
    return PythonCorpus(
        directory=os.fspath(directory),
        versions={
            label: inputs["versions"][label] for label in outputs["test_modules"]
        },
        **outputs,
    )


def clean_source(source: str) -> str:
    """Removes what names a library: the comments at the head, and the imports.

    Imports are removed wherever they stand, examples in docstrings included.

    Args:
        source: Text of a Python file.

    Returns:
        The text without them.

    Example:

    >>> from keras_performer.cli.python_corpus import clean_source
    >>> clean_source("# A licence.\\n\\nimport numpy as np\\n\\nx = np.pi  # pi\\n")
    'x = np.pi  # pi\\n'
    """
    return _IMPORT.sub("", _HEAD.sub("", source)).strip() + "\n"


def choose_test_modules(names: Collection[str], share: float = TEST_SHARE) -> list[str]:
    """Chooses the modules of a library that are held out as wholes.

    A module is what lies right below the library: a sub-package or a file. One with
    more than a third of the files is opened, and what lies below it counts instead.

    Args:
        names: Dotted names of the library's files, relative to it.
        share: Share of the files to hold out; it is not exceeded.

    Returns:
        Sorted list of dotted names.

    Example:

    >>> from keras_performer.cli.python_corpus import choose_test_modules
    >>> choose_test_modules(["a.a", "a.b", "b", "c.a", "c.b", "d"], share=0.5)
    ['c', 'd']
    """
    sizes = _module_sizes([name.split(".") for name in names], 1, len(names) / 3)
    budget = share * len(names)
    small = budget / 5
    chosen = []
    # The small ones first: a large one alone would be most of what is tested.
    for module in sorted(sizes, key=lambda name: (sizes[name] > small, _hash(name))):
        if sizes[module] <= budget:
            budget -= sizes[module]
            chosen.append(module)
    return sorted(chosen)


def _module_sizes(
    names: Iterable[list[str]], depth: int, limit: float
) -> dict[str, int]:
    """Number of files by module, where none that can be opened exceeds the limit."""
    members = collections.defaultdict(list)
    for name in names:
        members[".".join(name[:depth])].append(name)
    sizes: dict[str, int] = {}
    for module, inside in members.items():
        if len(inside) > limit and all(len(name) > depth for name in inside):
            sizes |= _module_sizes(inside, depth + 1, limit)
        else:
            sizes[module] = len(inside)
    return sizes


def _write(
    directory: pathlib.Path,
    libraries: Iterable[PythonLibrary],
    limits: Mapping[str, int],
) -> dict[str, Any]:
    """Writes the documents; returns what a `PythonCorpus` says of them."""
    written: dict[str, dict[str, Any]] = {
        "train_files": {},
        "test_files": {},
        "test_modules": {},
    }
    seen: set[bytes] = set()
    for library in libraries:
        files = library.files()
        modules = choose_test_modules(files)
        names: dict[str, list[str]] = {side: [] for side in limits}
        for name in sorted(files, key=_hash):
            held_out = any(f"{name}.".startswith(f"{module}.") for module in modules)
            names["test" if held_out else "train"].append(name)
        names["test"].sort(key=lambda name: _size(files[name]), reverse=True)
        names["test"][1:] = sorted(names["test"][1:], key=_hash)
        texts = {
            side: _take(names[side], files, limit, seen)
            for side, limit in limits.items()
        }
        if not all(texts.values()):
            continue
        for side in limits:
            folder = directory / side / library.label
            folder.mkdir(parents=True)
            for name, text in texts[side].items():
                (folder / f"{name}.txt").write_bytes(text)
            written[f"{side}_files"][library.label] = len(texts[side])
        written["test_modules"][library.label] = modules
    found = list(written["test_modules"])
    if len(found) < MIN_LIBRARIES:
        raise ValueError(
            f"Documents were found in {len(found)} Python libraries, {found}. Expected "
            f"at least {MIN_LIBRARIES}: install more, for example with "
            f"`{pip_line('baselines')}`, or use documents of your own."
        )
    return written


def _size(path: pathlib.Path) -> int:
    """Bytes of a file, or 0 if it is too long to be taken."""
    size = path.stat().st_size
    return size if size <= MAX_BYTES else 0


def _take(
    names: Sequence[str],
    files: Mapping[str, pathlib.Path],
    limit: int,
    seen: set[bytes],
) -> dict[str, bytes]:
    """The first texts that can be documents and are not among those seen."""
    taken: dict[str, bytes] = {}
    for name in names:
        if len(taken) == limit:
            break
        try:
            source = files[name].read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        text = clean_source(source).encode("utf-8")
        if MIN_BYTES <= len(text) <= MAX_BYTES and text not in seen:
            seen.add(text)
            taken[name] = text
    return taken


def _read_outputs(
    directory: pathlib.Path, inputs: dict[str, Any]
) -> dict[str, Any] | None:
    """What the manifest says, or `None` where there is no corpus of these inputs."""
    if not directory.exists() or (directory.is_dir() and not any(directory.iterdir())):
        return None
    if not (directory / MANIFEST).is_file():
        raise ValueError(
            f"{directory} holds something else than a corpus: it has no {MANIFEST}. "
            "Pass a missing or empty folder, or remove what it holds."
        )
    manifest = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    outputs = manifest["outputs"]
    expected = sum([*outputs["train_files"].values(), *outputs["test_files"].values()])
    complete = sum(1 for _ in directory.rglob("*.txt")) == expected
    return outputs if complete and manifest["inputs"] == inputs else None


def _hash(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()
