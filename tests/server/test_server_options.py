"""Options are checked when they are made."""

import pytest

from keras_performer.server import ServerOptions


def test_defaults_are_those_of_tensorflow_serving():
    options = ServerOptions(model_base_path="m")
    assert options.model_name == "default"
    assert options.rest_api_port == 8501
    assert options.rest_api_host == "127.0.0.1"
    assert options.rest_api_timeout_in_ms == 30_000
    assert options.file_system_poll_wait_seconds == 1
    assert options.max_num_load_retries == 5
    assert options.load_retry_interval_micros == 60_000_000
    assert options.enable_model_warmup
    assert not options.allow_version_labels_for_unavailable_models


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "Nothing to serve"),
        ({"model_base_path": ""}, "Nothing to serve"),
        ({"model_base_path": "m", "model_config_file": "c"}, "would be ignored"),
        ({"model_name": "n", "model_config_file": "c"}, "model_name='n'.*ignored"),
        ({"model_base_path": "m", "model_name": ""}, "model_name is empty"),
        ({"model_base_path": "m", "rest_api_port": 70000}, "rest_api_port=70000"),
        ({"model_base_path": "m", "rest_api_port": -1}, "rest_api_port=-1"),
        ({"model_base_path": "m", "port": 70000}, "port=70000 is not a port"),
        ({"model_base_path": "m", "port": 8501}, "port=8501 is the rest_api_port too"),
        ({"model_base_path": "m", "rest_api_num_threads": 0}, "num_threads=0"),
        ({"model_base_path": "m", "rest_api_timeout_in_ms": -1}, "timeout_in_ms=-1"),
        (
            {"model_base_path": "m", "file_system_poll_wait_seconds": -1},
            "file_system_poll_wait_seconds=-1",
        ),
        ({"model_base_path": "m", "max_num_load_retries": -1}, "load_retries=-1"),
        ({"model_base_path": "m", "max_padded_bytes": -1}, "max_padded_bytes=-1"),
        ({"model_base_path": "m", "max_request_bytes": 0}, "lets nothing in"),
        ({"model_base_path": "m", "access_log": "xml"}, "access_log='xml'"),
        ({"model_base_path": "m", "ssl_config_file": "s"}, "would encrypt nothing"),
        (
            {"model_base_path": "m", "rest_api_enable_ssl": True},
            "needs ssl_con",
        ),
        (
            {"model_base_path": "m", "batching_parameters_file": "b"},
            "without setting enable_batching",
        ),
        (
            {"model_config_file": "c", "model_config_file_poll_wait_seconds": -1},
            "poll_wait_seconds=-1",
        ),
        (
            {"model_base_path": "m", "load_retry_interval_micros": -1},
            "load_retry_interval_micros=-1",
        ),
    ],
)
def test_refused_options(arguments, message):
    with pytest.raises(ValueError, match=message):
        ServerOptions(**arguments)
