"""An installed Python library as a source of documents, and those that are known."""

import dataclasses
import importlib.metadata
import importlib.util
import pathlib
import platform

# Folders with installed packages or with copies of other projects, in any library.
_SKIPPED_FOLDERS = {
    "__pycache__",
    "_api",
    "_vendor",
    "array_api_compat",
    "array_api_extra",
    "dist-packages",
    "extern",
    "externals",
    "site-packages",
}
_GENERATED = ("*_pb2.py", "*_pb2_grpc.py", "*_generated.py", "gen_*.py")


@dataclasses.dataclass(frozen=True)
class PythonLibrary:
    """A library by its name; it is found without being imported.

    Attributes:
        label: Name of the library.
        package: Dotted name of the package with the sources; `None` stands for the
            standard library.
        distribution: Name under which the library is installed; `None` if it comes
            with Python.
        skip: Parts that are left out, as dotted names relative to `package`.
    """

    label: str
    package: str | None
    distribution: str | None
    skip: tuple[str, ...] = ()

    def folder(self) -> pathlib.Path | None:
        """The folder of the sources, or `None` if the library is not installed."""
        # `email` is a folder in every standard library.
        top, *below = (self.package or "email").split(".")
        found = importlib.util.find_spec(top)
        if found is None or not found.submodule_search_locations:
            return None
        folder = pathlib.Path(found.submodule_search_locations[0], *below)
        return folder if self.package else folder.parent

    def version(self) -> str:
        """The version of the library, or that of Python."""
        if self.distribution is None:
            return platform.python_version()
        return importlib.metadata.version(self.distribution)

    def files(self) -> dict[str, pathlib.Path]:
        """Finds the source files, without generated ones and other projects' copies.

        Returns:
            Dictionary from dotted names relative to `package` to paths.

        Raises:
            ValueError: If the library is not installed.

        Example:

        >>> from keras_performer.cli.python_library import PythonLibrary
        >>> str(PythonLibrary("json", "json", None).files()["decoder"])
        '...json/decoder.py'
        """
        folder = self.folder()
        if folder is None:
            raise ValueError(f"The library {self.label!r} is not installed.")
        found = {}
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            skipped = not _SKIPPED_FOLDERS.isdisjoint(parts) or any(
                parts[: name.count(".") + 1] == tuple(name.split("."))
                for name in self.skip
            )
            if not skipped and not any(path.match(name) for name in _GENERATED):
                found[".".join(parts)] = path
        return found


PYTHON_LIBRARIES = (
    PythonLibrary("keras", "keras", "keras", skip=("_tf_keras",)),
    # NumPy and SciPy bundle one file of another project.
    PythonLibrary("numpy", "numpy", "numpy", skip=("_utils._pep440",)),
    PythonLibrary("pip", "pip._internal", "pip"),
    PythonLibrary("scipy", "scipy", "scipy", skip=("_lib._pep440",)),
    PythonLibrary("sklearn", "sklearn", "scikit-learn"),
    # Without what some distributions of Python leave out, and without tables.
    PythonLibrary(
        "stdlib",
        None,
        None,
        skip=(
            "distutils",
            "encodings",
            "ensurepip",
            "idlelib",
            "lib2to3",
            "pydoc_data",
            "test",
            "tkinter",
            "turtledemo",
        ),
    ),
    # `compat` has parts of TensorFlow, as TensorFlow has an older Keras.
    PythonLibrary("tensorboard", "tensorboard", "tensorboard", skip=("compat",)),
    PythonLibrary("tensorflow", "tensorflow", "tensorflow", skip=("python.keras",)),
)
