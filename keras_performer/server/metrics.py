"""What the server counts and measures, in the text form that Prometheus reads.

Names, labels, types and limits of buckets are those of TensorFlow Serving, so that its
dashboards and alerts fit; what it has no counterpart for begins with
`:keras_performer:`.
"""

import bisect
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Protocol

Labels = tuple[str, ...]  # values, in the order of a metric's names of labels


class Metric(Protocol):
    """Something that `Metrics` writes."""

    def write(self) -> list[str]:
        """Its lines."""


class Counter:
    """A number for each combination of labels that only grows.

    Args:
        name: as TensorFlow Serving spells it, with slashes.
        *labels: names of the labels.

    >>> counter = Counter("/tensorflow/serving/request_count", "model_name", "status")
    >>> counter.add(("documents", "OK"))
    >>> print("\\n".join(counter.write()))
    # TYPE :tensorflow:serving:request_count counter
    :tensorflow:serving:request_count{model_name="documents",status="OK"} 1
    """

    def __init__(self, name: str, *labels: str) -> None:
        self._name = name.replace("/", ":")
        self._labels = labels
        self._counts: dict[Labels, int] = {}
        self._lock = threading.Lock()

    def add(self, labels: Labels = (), amount: int = 1) -> None:
        """Count `amount` for these values of the labels."""
        with self._lock:
            self._counts[labels] = self._counts.get(labels, 0) + amount

    def write(self) -> list[str]:
        """Its lines."""
        with self._lock:
            counts = sorted(self._counts.items())
        return _write_scalars(self._name, "counter", self._labels, counts)


class Gauge:
    """Numbers as they are at the moment when they are asked for.

    Args:
        name: with slashes.
        labels: names of the labels.
        read: function that returns a `dict` from values of the labels to a number.
    """

    def __init__(
        self, name: str, labels: Labels, read: Callable[[], Mapping[Labels, int]]
    ) -> None:
        self._name = name.replace("/", ":")
        self._labels = labels
        self._read = read

    def write(self) -> list[str]:
        """Its lines."""
        values = sorted(self._read().items())
        return _write_scalars(self._name, "gauge", self._labels, values)


class Histogram:
    """How many values fell below each of some limits, for each combination of labels.

    Args:
        name: as TensorFlow Serving spells it, with slashes.
        *labels: names of the labels.
        limits: upper limits of the buckets; one without a limit is added.
    """

    def __init__(self, name: str, *labels: str, limits: Iterable[float]) -> None:
        self._name = name.replace("/", ":")
        self._labels = labels
        self._limits = tuple(limits)
        self._counts: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}
        self._lock = threading.Lock()

    def add(self, labels: Labels, value: float) -> None:
        """Put a value into its bucket, for these values of the labels."""
        with self._lock:
            counts = self._counts.setdefault(labels, [0] * (len(self._limits) + 1))
            counts[bisect.bisect_right(self._limits, value)] += 1
            self._sums[labels] = self._sums.get(labels, 0.0) + value

    def write(self) -> list[str]:
        """Its lines."""
        with self._lock:
            points = [
                (labels, list(counts), self._sums[labels])
                for labels, counts in sorted(self._counts.items())
            ]
        lines = [f"# TYPE {self._name} histogram"]
        ends = [f"{limit:g}" for limit in self._limits] + ["+Inf"]
        for values, counts, total in points:
            labels = _write_labels(self._labels, values)
            separator = "," if labels else ""
            count = 0
            for end, increment in zip(ends, counts, strict=True):
                count += increment
                lines.append(
                    f'{self._name}_bucket{{{labels}{separator}le="{end}"}} {count}'
                )
            lines.append(f"{self._name}_sum{{{labels}}} {total:.15g}")
            lines.append(f"{self._name}_count{{{labels}}} {count}")
        return lines


def exponential(scale: float, growth: float, count: int) -> list[float]:
    """Limits of buckets, each `growth` times the one before.

    >>> exponential(1, 2, 4)
    [1, 2, 4, 8]
    """
    limits = [scale]
    while len(limits) < count:
        limits.append(limits[-1] * growth)
    return limits


class Metrics:
    """All metrics of a server.

    Attributes:
        request_count: requests by model and status.
        request_latency: microseconds from the arrival of a request to its answer.
        runtime_latency: microseconds that TensorFlow computed for a request.
        load_attempt_count: loads of versions by folder and status.
        load_latency: microseconds of loads that succeeded.
        warmup_latency: microseconds of warm-ups by folder and status.
        warmup_records_read: warm-up requests by folder and status.
        queuing_latency: microseconds that requests waited for company in a batch.
        wrapped_run_count: batches that were computed.
        input_batch_size: rows of the requests that came to be batched.
        processed_batch_size: rows of the batches that were computed.
        padding_size: rows by which they were filled up, by the rows computed.
    """

    def __init__(self) -> None:
        microseconds = exponential(10, 1.8, 33)
        rows = exponential(1, 2, 14)
        self._metrics: dict[str, Metric] = {}
        serving = "/tensorflow/serving"
        session = f"{serving}/batching_session"
        saved_model = "/tensorflow/cc/saved_model"
        self.request_count = self._count(
            f"{serving}/request_count", "model_name", "status"
        )
        self.request_latency = self._sample(
            f"{serving}/request_latency",
            *("model_name", "API", "entrypoint"),
            limits=microseconds,
        )
        self.runtime_latency = self._sample(
            f"{serving}/runtime_latency",
            *("model_name", "API", "runtime"),
            limits=microseconds,
        )
        self.load_attempt_count = self._count(
            f"{saved_model}/load_attempt_count", "model_path", "status"
        )
        self.load_latency = self._count(f"{saved_model}/load_latency", "model_path")
        self.warmup_latency = self._sample(
            f"{serving}/model_warmup_latency",
            *("model_path", "status"),
            limits=microseconds,
        )
        self.warmup_records_read = self._count(
            f"{serving}/model_warmup_records_read", "model_path", "status"
        )
        self.queuing_latency = self._sample(
            f"{session}/queuing_latency",
            "thread_pool_name",
            limits=exponential(100, 1.2, 52),
        )
        self.wrapped_run_count = self._count(f"{session}/wrapped_run_count")
        self.input_batch_size = self._sample(f"{session}/input_batch_size", limits=rows)
        self.processed_batch_size = self._sample(
            f"{session}/processed_batch_size", limits=rows
        )
        self.padding_size = self._sample(
            f"{session}/padding_size", "execution_batch_size", limits=rows
        )
        self.watch("memory_bytes", (), lambda: {(): read_memory()})

    def watch(
        self, name: str, labels: Labels, read: Callable[[], Mapping[Labels, int]]
    ) -> None:
        """Add a `Gauge` of this server alone.

        Args:
            name: without the beginning that all these have.
            labels: names of the labels.
            read: as of `Gauge`.
        """
        name = f"/keras_performer/serving/{name}"
        self._metrics[name] = Gauge(name, labels, read)

    def write(self) -> bytes:
        """The page that Prometheus reads."""
        lines = [
            line
            for _, metric in sorted(self._metrics.items())
            for line in metric.write()
        ]
        return "\n".join([*lines, ""]).encode("utf-8", "backslashreplace")

    def time_model(self, model_name: str, api: str) -> Callable[[float], None]:
        """A function that takes the microseconds of a model's run.

        Args:
            model_name: name of the model.
            api: what was asked for, such as `"Predict"`, in any letters.
        """
        labels = model_name, api.capitalize(), "TF1"
        return lambda microseconds: self.runtime_latency.add(labels, microseconds)

    def _count(self, name: str, *labels: str) -> Counter:
        counter = self._metrics[name] = Counter(name, *labels)
        return counter

    def _sample(self, name: str, *labels: str, limits: list[float]) -> Histogram:
        histogram = self._metrics[name] = Histogram(name, *labels, limits=limits)
        return histogram


def read_memory() -> int:
    """Bytes of memory that the process holds."""
    fields = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    kilobytes = fields.partition("VmRSS:")[2].split()[0]
    return int(kilobytes) * 1024


def _write_scalars(
    name: str,
    kind: str,
    labels: Labels,
    values: Iterable[tuple[Labels, int]],
) -> list[str]:
    return [f"# TYPE {name} {kind}"] + [
        f"{name}{{{_write_labels(labels, each)}}} {value:d}" for each, value in values
    ]


def _write_labels(names: Labels, values: Labels) -> str:
    return ",".join(
        f'{name}="{_escape(value)}"' for name, value in zip(names, values, strict=True)
    )


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
