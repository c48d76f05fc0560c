"""Replays the requests that were recorded in a version to warm it up.

The first request to a signature pays for work that is done once, such as the
optimization of its graph. Requests stored in the version's folder pay it before the
version is served.
"""

import logging
from pathlib import Path

from google.protobuf.message import DecodeError

from keras_performer.server import tensorflow_core as tf
from keras_performer.server.protos import import_protos
from keras_performer.server.servable import Servable
from keras_performer.server.serving_error import ServingError

WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"

MAX_WARMUP_RECORDS = 1000

_logger = logging.getLogger(__name__)


def warm_up(servable: Servable) -> int:
    """Run the recorded requests of a version; do nothing if it has none.

    Args:
        servable: a `Servable`. Its warm-up file is a TFRecord file of `PredictionLog`
            messages with predict requests.

    Returns:
        The number of records. Classify and regress requests among them are left out
        with a warning, as this server does not compute them.

    Raises:
        ServingError: a record cannot be read or fails, or there are more than 1,000.
    """
    path = Path(servable.path) / WARMUP_FILE
    if not path.exists():
        return 0
    count = 0
    try:
        for record in tf.RecordIterator(str(path), ""):
            count += 1
            if count > MAX_WARMUP_RECORDS:
                raise ServingError(
                    "INVALID_ARGUMENT",
                    "Number of warmup records exceeds the maximum "
                    f"({MAX_WARMUP_RECORDS}) at {WARMUP_FILE}",
                )
            _replay(servable, record)
    except tf.errors.DataLossError as error:
        raise ServingError(
            "DATA_LOSS",
            f"{error.message}. Please verify your warmup data is in TFRecord format.",
        ) from error
    except tf.errors.OpError as error:
        raise ServingError.from_tensorflow(error) from error
    _logger.info("Replayed %d warm-up requests of %s", count, servable.path)
    return count


def _replay(servable: Servable, record: bytes) -> None:
    try:
        log = import_protos().PredictionLog.FromString(record)
    except DecodeError as error:
        raise ServingError(
            "INVALID_ARGUMENT",
            f"Failed to parse warmup record from {WARMUP_FILE}: {error}",
        ) from error
    kind = log.WhichOneof("log_type")
    if kind == "session_run_log":
        raise ServingError(
            "UNIMPLEMENTED", f"Unsupported log_type for warmup: {kind} at {WARMUP_FILE}"
        )
    if kind != "predict_log":
        _logger.warning(
            "Left out a warm-up record of kind %s of %s", kind, servable.path
        )
        return
    request = log.predict_log.request
    signature = servable.get_signature(request.model_spec.signature_name)
    try:
        arrays = {
            name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()
        }
    except (TypeError, ValueError) as error:
        raise ServingError(
            "INVALID_ARGUMENT",
            f"A warm-up request at {WARMUP_FILE} has no tensor: {error}",
        ) from error
    if arrays.keys() != signature.inputs.keys():
        raise ServingError(
            "INVALID_ARGUMENT",
            f"A warm-up request at {WARMUP_FILE} has the inputs {sorted(arrays)}, "
            f"but its signature has {sorted(signature.inputs)}.",
        )
    servable.run(signature, arrays)
