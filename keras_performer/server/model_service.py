"""The `ModelService` of gRPC: which versions serve, and which models are to."""

import functools
import logging
from collections.abc import Callable
from typing import Any

from keras_performer.server.deadline import Deadline
from keras_performer.server.json.values import invalid
from keras_performer.server.model_config import read_model_configs
from keras_performer.server.model_repository import ModelRepository
from keras_performer.server.protos import import_protos, parse_message
from keras_performer.server.serving_error import ServingError

_logger = logging.getLogger(__name__)


class ModelService:
    """Answers the bytes of messages by the bytes of messages.

    Args:
        repository: a `ModelRepository`.
    """

    def __init__(self, repository: ModelRepository) -> None:
        self._repository = repository
        self._protos = import_protos()

    def get_status(self, body: bytes, deadline: Deadline) -> bytes:
        """The states of a model's versions.

        Args:
            body: the bytes of a `GetModelStatusRequest`.
            deadline: the `Deadline`, which is not needed: it is answered at once.

        Returns:
            The bytes of a `GetModelStatusResponse`.

        Raises:
            ServingError: there is no such model or version.
        """
        del deadline
        request = parse_message(self._protos.GetModelStatusRequest, body)
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        spec = request.model_spec
        version = spec.version.value if spec.HasField("version") else None
        response = self._protos.make_status_response(
            self._repository.list_statuses(spec.name, version)
        )
        return response.SerializeToString()

    def reload_config(self, body: bytes, deadline: Deadline) -> Callable[[], bytes]:
        """Serve other models from now on.

        Args:
            body: the bytes of a `ReloadConfigRequest`.
            deadline: the `Deadline`, which does not hold: loading takes its time, and
                goes on when the client leaves.

        Returns:
            A function that loads and unloads, and returns the bytes of a
            `ReloadConfigResponse`. It raises `ServingError`, when a label cannot be
            moved or a model has no version that serves.

        Raises:
            ServingError: `INVALID_ARGUMENT`, and nothing is changed.
        """
        del deadline
        config = parse_message(self._protos.ReloadConfigRequest, body).config
        if config.WhichOneof("config") != "model_config_list":
            raise invalid(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                "Only ModelConfigList is currently supported"
            )
        try:
            configs = read_model_configs(config)
        except ValueError as error:
            raise invalid(str(error)) from error
        return functools.partial(self._reload, configs)

    def _reload(self, configs: list[Any]) -> bytes:
        names = ", ".join(config.name for config in configs)
        _logger.info("Serving the models of a ReloadConfigRequest: %s", names)
        if errors := self._repository.reload(configs):
            raise ServingError("FAILED_PRECONDITION", "; ".join(errors))
        if failures := self._repository.list_unavailable():
            raise ServingError(
                "UNKNOWN",
                f"{len(failures)} model(s) did not become available: "
                f"{{{', '.join(failures)}}}",
            )
        response = self._protos.ReloadConfigResponse()
        response.status.SetInParent()  # of the code OK
        return response.SerializeToString()
