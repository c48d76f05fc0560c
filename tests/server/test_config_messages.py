"""TensorFlow Serving's configuration files, in text form."""

import pytest

from keras_performer.server.config_messages import read_config, read_metrics_path


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "some.config"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("prometheus_config { enable: true }", "/monitoring/prometheus/metrics"),
        ("prometheus_config { enable: true path: '/m' }", "/m"),
        ("prometheus_config { path: '/m' }", ""),
        ("# a comment", ""),
    ],
)
def test_the_path_of_metrics(write, text, path):
    assert read_metrics_path(write(text)) == path


def test_batching_parameters(write):
    text = """
        max_batch_size { value: 16 } thread_pool_name { value: 'p' }
        allowed_batch_sizes: 8 allowed_batch_sizes: 16
        pad_variable_length_inputs: true
    """
    message = read_config("BatchingParameters", write(text), "file")
    assert message.max_batch_size.value == 16
    assert not message.HasField("num_batch_threads")
    assert message.thread_pool_name.value == "p"
    assert list(message.allowed_batch_sizes) == [8, 16]
    assert message.pad_variable_length_inputs


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prometheus { }", "no field named .prometheus."),
        ("prometheus_config { enable: 'yes' }", "Cannot read monitoring_config_file"),
        ("prometheus_config { enable: true path: 'm' }", "begins with a slash"),
    ],
)
def test_refused_files(write, text, message):
    with pytest.raises(ValueError, match=message):
        read_metrics_path(write(text))


def test_a_missing_file(tmp_path):
    with pytest.raises(ValueError, match=r"No such file.*max_batch_size"):
        read_config("BatchingParameters", tmp_path / "nothing", "file")
