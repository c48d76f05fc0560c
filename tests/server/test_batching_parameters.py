"""The file that says how requests are joined."""

import pytest

from keras_performer.server.batching_parameters import (
    BatchingParameters,
    read_batching_parameters,
)


def test_defaults_are_those_of_tensorflow_serving():
    parameters = BatchingParameters()
    assert parameters.max_batch_size == 1000
    assert parameters.batch_timeout_micros == 0
    assert parameters.max_enqueued_batches == 10
    assert parameters.num_batch_threads is None  # one for each processor


def test_a_file(tmp_path):
    path = tmp_path / "batching.config"
    path.write_text(
        "max_batch_size { value: 16 } batch_timeout_micros { value: 5000 }\n"
        "num_batch_threads { value: 2 } thread_pool_name { value: 'p' }\n"
        "pad_variable_length_inputs: true allowed_batch_sizes: 4\n"
        "allowed_batch_sizes: 16 enable_large_batch_splitting { value: false }"
    )
    assert read_batching_parameters(path) == BatchingParameters(
        max_batch_size=16,
        batch_timeout_micros=5000,
        num_batch_threads=2,
        pad_variable_length_inputs=True,
        thread_pool_name="p",
        allowed_batch_sizes=(4, 16),
    )


def test_rows_that_a_model_is_run_with():
    parameters = BatchingParameters(8, allowed_batch_sizes=(2, 4, 8))
    assert [parameters.round_up(n) for n in (1, 2, 3, 8, 9)] == [2, 2, 4, 8, 9]
    assert BatchingParameters().round_up(3) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_size { value: 0 }", "max_batch_size must be positive; was 0"),
        ("num_batch_threads { value: 0 }", "num_batch_threads must be positive"),
        ("batch_timeout_micros { value: -1 }", "must be non-negative; was -1"),
        ("allowed_batch_sizes: 8", "must match max_batch_size; last entry was 8"),
        ("allowed_batch_sizes: [8, 4, 1000]", "monotonically increasing"),
        ("allowed_batch_sizes: [0, 1000]", "must be positive"),
        (
            "enable_large_batch_splitting { value: true }",
            "has enable_large_batch_splitting, keras-performer serve has not",
        ),
        ("max_execution_batch_size { value: 8 }", "keras-performer serve has not"),
        ("max_batch { value: 1 }", "no field named"),
    ],
)
def test_refused_files(tmp_path, text, message):
    path = tmp_path / "batching.config"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_batching_parameters(path)
