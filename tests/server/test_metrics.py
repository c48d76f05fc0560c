"""What is counted, and its text, which TensorFlow Serving's dashboards read."""

import re

import pytest
from running_app import ask, running

from keras_performer.server.metrics import (
    Counter,
    Gauge,
    Histogram,
    Metrics,
    exponential,
)

# The text form of Prometheus: a line of type, or a name with labels and a number.
LINE = re.compile(
    r"# TYPE [a-zA-Z_:][a-zA-Z0-9_:]* (counter|gauge|histogram)"
    r'|[a-zA-Z_:][a-zA-Z0-9_:]*\{(\w+="(\\.|[^"\\\n])*",?)*\} [-+.e0-9]+'
)


def values_of(page):
    """`dict` from a name with its labels to the number on its line."""
    lines = page.decode().splitlines()
    assert all(LINE.fullmatch(line) for line in lines)
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def test_a_histogram_is_written_as_tensorflow_serving_writes_it():
    histogram = Histogram("/a/b", "model", limits=exponential(10, 1.8, 4))
    for value in (1, 10, 32.3, 1e9):  # a value at a limit is above it
        histogram.add(("m",), value)
    assert histogram.write() == [
        "# TYPE :a:b histogram",
        ':a:b_bucket{model="m",le="10"} 1',
        ':a:b_bucket{model="m",le="18"} 2',
        ':a:b_bucket{model="m",le="32.4"} 3',
        ':a:b_bucket{model="m",le="58.32"} 3',
        ':a:b_bucket{model="m",le="+Inf"} 4',
        ':a:b_sum{model="m"} 1000000043.3',
        ':a:b_count{model="m"} 4',
    ]
    histogram = Histogram("/a", limits=[1])
    histogram.add((), 0.5)
    assert histogram.write()[1:] == [
        ':a_bucket{le="1"} 1',
        ':a_bucket{le="+Inf"} 1',
        ":a_sum{} 0.5",
        ":a_count{} 1",
    ]


def test_values_of_labels_are_escaped():
    counter = Counter("/a", "model")
    counter.add(('a"b\\c\nd',), 3)
    assert counter.write() == ["# TYPE :a counter", ':a{model="a\\"b\\\\c\\nd"} 3']


def test_a_gauge_is_read_when_it_is_written():
    states = {("m", "1"): 1}
    gauge = Gauge("/a", ("model", "version"), lambda: states)
    states[("m", "2")] = 5
    assert gauge.write()[1:] == [
        ':a{model="m",version="1"} 1',
        ':a{model="m",version="2"} 5',
    ]


def test_names_and_types_are_those_of_tensorflow_serving():
    types = dict(re.findall(r"# TYPE (\S+) (\w+)", Metrics().write().decode()))
    assert types.pop(":keras_performer:serving:memory_bytes") == "gauge"
    serving = ":tensorflow:serving:"
    assert types == {
        f"{serving}request_count": "counter",
        f"{serving}request_latency": "histogram",
        f"{serving}runtime_latency": "histogram",
        f"{serving}model_warmup_latency": "histogram",
        f"{serving}model_warmup_records_read": "counter",
        f"{serving}batching_session:queuing_latency": "histogram",
        f"{serving}batching_session:wrapped_run_count": "counter",
        f"{serving}batching_session:input_batch_size": "histogram",
        f"{serving}batching_session:processed_batch_size": "histogram",
        f"{serving}batching_session:padding_size": "histogram",
        ":tensorflow:cc:saved_model:load_attempt_count": "counter",
        ":tensorflow:cc:saved_model:load_latency": "counter",
    }


def test_requests_are_counted_by_model_and_status():
    metrics = Metrics()
    with running(metrics=metrics, metrics_path="/metrics", max_cost=10) as (port, _):
        ask(port, "/v1/models/m:predict", b"1")
        ask(port, "/v1/sleep", b"0")
        ask(port, "/v1/sleep", b"0          ")  # over the budget
        ask(port, "/v1/models", method="OPTIONS")
        ask(port, "/other", b"1")  # no part of the interface
        status, headers, page = ask(port, "/metrics", method="GET")
    assert (status, headers["content-type"]) == (200, "text/plain")
    values = values_of(page)
    count = ':tensorflow:serving:request_count{model_name="m",status="%s"}'
    assert values[count % "OK"] == 2
    assert values[count % "RESOURCE_EXHAUSTED"] == 1
    assert values[count % "FAILED_PRECONDITION"] == 1
    labels = '{model_name="m",API="predict",entrypoint="REST"}'
    assert values[f":tensorflow:serving:request_latency_count{labels}"] == 2
    assert sum(values[name] for name in values if "request_count" in name) == 4
    assert values[":keras_performer:serving:memory_bytes{}"] > 2**20


@pytest.mark.parametrize("path", ["/metrics", "/monitoring/prometheus/metrics"])
def test_without_a_path_there_is_no_page(path):
    with running() as (port, _):
        assert ask(port, path, method="GET")[2] == b"GET %b 0" % path.encode()
