"""Which models to serve, and which of their versions.

Read either from a model's own options or from a text file with a `ModelServerConfig`
message, the file that TensorFlow Serving takes as `--model_config_file`.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from google.protobuf import text_format

from keras_performer.server.protos import import_protos
from keras_performer.server.server_options import ServerOptions

VersionPolicy = Callable[[set[int]], set[int]]


def latest(num_versions: int = 1) -> VersionPolicy:
    """A version policy that serves the versions with the highest numbers.

    >>> latest(2)({1, 7, 9})
    {9, 7}
    """
    return lambda versions: set(sorted(versions, reverse=True)[: max(num_versions, 1)])


def every() -> VersionPolicy:
    """A version policy that serves all versions there are."""
    return set


def specific(versions: Iterable[int]) -> VersionPolicy:
    """A version policy that serves the listed versions, as far as they exist.

    >>> specific([2, 3])({1, 2})
    {2}
    """
    return set(versions).intersection


@dataclass(frozen=True)
class ModelConfig:
    """One model to serve.

    Args:
        name: the model's name in URLs.
        base_path: folder of the model's numbered version folders.
        policy: function from the set of versions on disk to the set to serve; made by
            `latest`, `every` or `specific`.
        labels: names for versions, usable in URLs in place of the number.
    """

    name: str
    base_path: Path
    policy: VersionPolicy = field(default_factory=latest)
    labels: Mapping[str, int] = field(default_factory=dict)


def get_model_configs(options: ServerOptions) -> list[ModelConfig]:
    """The models that a server's options ask for.

    Args:
        options: a `ServerOptions`.

    Returns:
        List of `ModelConfig`.

    Raises:
        ValueError: the model configuration file does not fit.
    """
    if options.model_config_file:
        return read_model_config_file(options.model_config_file)
    # `ServerOptions` has one of the two.
    base_path = Path(cast(str, options.model_base_path))
    return [ModelConfig(options.model_name, base_path.absolute())]


def read_model_config_file(path: str | os.PathLike[str]) -> list[ModelConfig]:
    """Read the models of a text file with a `ModelServerConfig` message.

    Args:
        path: the file.

    Returns:
        List of `ModelConfig`.

    Raises:
        ValueError: the file is missing, is not such a message, or asks for something
            that cannot be served; the message says for which model.
        ImportError: the package with the message is missing.
    """
    ModelServerConfig = import_protos().ModelServerConfig
    try:
        text = Path(path).read_text(encoding="utf-8")
        message = text_format.Parse(text, ModelServerConfig())
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise ValueError(
            f"Cannot read model_config_file={str(path)!r}: {error}. Expected a "
            "ModelServerConfig in text form, such as model_config_list { config { "
            "name: 'documents' base_path: '/models/documents' "
            "model_platform: 'tensorflow' } }."
        ) from error
    if message.HasField("custom_model_config"):
        raise ValueError(
            f"{path}: custom_model_config is not supported; use model_config_list."
        )
    try:
        configs = read_model_configs(message)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if not configs:
        raise ValueError(
            f"{path}: model_config_list is empty; list at least one model."
        )
    return configs


def read_model_configs(message: Any) -> list[ModelConfig]:
    """Read the models of a `ModelServerConfig` message.

    Args:
        message: the message, with a `model_config_list`.

    Returns:
        List of `ModelConfig`.

    Raises:
        ValueError: it asks for something that cannot be served; the message says for
            which model.
    """
    configs = {}
    for entry in message.model_config_list.config:
        if entry.name in configs:
            raise ValueError(
                f"Illegal to list model {entry.name} multiple times in config list. "
                "Give each model a name of its own."
            )
        configs[entry.name] = _read_entry(entry)
    return list(configs.values())


def _read_entry(entry: Any) -> ModelConfig:
    if not entry.name:
        raise ValueError("a model has no name; add name: '...'.")
    if entry.model_platform != "tensorflow":
        raise ValueError(
            f"Model {entry.name} requests unsupported platform "
            f"{entry.model_platform!r}; set model_platform: 'tensorflow'."
        )
    if not Path(entry.base_path).is_absolute():
        raise ValueError(
            f"Expected model {entry.name} to have an absolute path; got "
            f"base_path()={entry.base_path}"
        )
    if entry.HasField("logging_config"):
        raise ValueError(
            f"logging_config of model {entry.name} is not supported; remove it, or "
            "serve the model with TensorFlow Serving."
        )
    return ModelConfig(
        name=entry.name,
        base_path=Path(entry.base_path),
        policy=_read_policy(entry.model_version_policy),
        labels=dict(entry.version_labels),
    )


def _read_policy(policy: Any) -> VersionPolicy:
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return every()
    if choice == "specific":
        return specific(policy.specific.versions)
    return latest(policy.latest.num_versions)
