"""`StepBatches`: batches of which each is a function of its step alone."""

import abc
import functools
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from keras_performer.text.checks import check_integer


class Source(Protocol):
    """Random access to examples: `TokenWindows`, `PackedSequences`, Grain's sources.

    An example is an array, or a tuple or dictionary of arrays, always of the same
    shapes.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class StepBatches(abc.ABC):
    """Random access to batches by their step, for trainings that resume.

    A batch is read without those before it. So `dataset` is what `train_steps` takes
    as `batches_from`, and `grain.MapDataset.range(start, stop).map(batches.batch)` is
    the same in Grain. What changes a batch by its step, as `TokenMasking` does, is
    mapped over it: `batches.dataset(step).enumerate(step).map(masking)`.

    Attributes:
        num_steps: Number of batches, or `None` where they have no end.
    """

    num_steps: int | None = None

    @abc.abstractmethod
    def batch(self, step: int) -> Any:
        """Returns the batch of a step, from 0: an array, or a structure of arrays."""

    @property
    @abc.abstractmethod
    def element_spec(self) -> Any:
        """The structure of a batch, of `tf.TensorSpec`s."""

    def dataset(self, start_step: int = 0) -> tf.data.Dataset:
        """Reads the batches as a `tf.data.Dataset`.

        Args:
            start_step: Step of the first batch.

        Raises:
            ValueError: If `start_step` is no integer from 0.
        """
        start_step = check_integer("start_step", start_step, 0)
        specs = tf.nest.flatten(self.element_spec)

        def read_arrays(step: np.integer) -> list[np.ndarray]:
            return tf.nest.flatten(self.batch(int(step)))

        def read(step: Any) -> Any:
            tensors = tf.numpy_function(
                read_arrays, [step], [spec.dtype for spec in specs]
            )
            for tensor, spec in zip(tensors, specs, strict=True):
                tensor.set_shape(spec.shape)
            return tf.nest.pack_sequence_as(self.element_spec, tensors)

        if self.num_steps is None:
            steps = tf.data.Dataset.counter(start_step)
        else:
            steps = tf.data.Dataset.range(start_step, self.num_steps)
        return steps.map(read).prefetch(tf.data.AUTOTUNE)


class SourceBatches(StepBatches):
    """Batches of the examples of a source: shuffled without end, or once in order.

    With a seed, each pass sees all examples once, in an order that is a function of
    the seed and the pass; where a pass ends, the next one fills up the batch. Without
    one there is a single pass in order, whose last batch may have fewer examples.

    Args:
        source: Object with `len()` and `[i]`, such as `TokenWindows`,
            `PackedSequences`, `PackedNextTokens` or a Grain data source.
        batch_size: Number of examples in a batch, B.
        seed: Integer from 0, or `None` for one pass in order.

    Raises:
        ValueError: If the source is empty or an argument is not as described.

    Example:

    >>> import numpy as np
    >>> from keras_performer.text import SourceBatches, TokenWindows
    >>> windows = TokenWindows(np.arange(1, 8), context_length=2)
    >>> batches = SourceBatches(windows, batch_size=2)
    >>> batches.num_steps
    2
    >>> inputs, targets = batches.batch(1)
    >>> inputs.tolist()
    [[5, 6]]
    """

    def __init__(self, source: Source, batch_size: int, seed: int | None = None):
        self.source = source
        self.batch_size = check_integer("batch_size", batch_size, 1)
        size = len(source)
        if not size:
            raise ValueError("source is empty. Expected at least one example.")
        if seed is None:
            self.num_steps = -(-size // self.batch_size)
        else:
            seed = check_integer("seed", seed, 0)

        @functools.lru_cache(maxsize=2)  # a batch may lie in two passes
        def order(number: int) -> Sequence[int] | np.ndarray:
            if seed is None:
                return range(size)
            return np.random.default_rng((seed, number)).permutation(size)

        self._order = order
        self._example = source[0]

    def batch(self, step: int) -> Any:
        size = len(self.source)
        first = step * self.batch_size
        last = first + self.batch_size
        if self.num_steps is not None:
            last = min(last, size)
        rows = [
            tf.nest.flatten(self.source[int(self._order(n // size)[n % size])])
            for n in range(first, last)
        ]
        columns = [np.stack(column) for column in zip(*rows, strict=True)]
        return tf.nest.pack_sequence_as(self._example, columns)

    @property
    def element_spec(self) -> Any:
        is_full = self.num_steps is None or not len(self.source) % self.batch_size

        def spec(part: Any) -> tf.TensorSpec:
            part = np.asarray(part)
            return tf.TensorSpec(
                (self.batch_size if is_full else None, *part.shape), part.dtype
            )

        return tf.nest.map_structure(spec, self._example)


def shuffled_batches(
    source: Source, batch_size: int, seed: int, start_step: int = 0
) -> tf.data.Dataset:
    """Endless shuffled batches, of which the one of a step is known without the others.

    The dataset of `SourceBatches(source, batch_size, seed)`: a training that goes on
    at step 500 with `start_step=500` sees the very batches that one without
    interruption would have seen, and reads none of those before. The global seed has
    no say. Give `fit` its `steps_per_epoch`, as there is no end, and `shuffle=False`.

    Args:
        source: Object with `len()` and `[i]`, such as `TokenWindows`,
            `PackedSequences`, `PackedNextTokens` or a Grain data source.
        batch_size: Number of examples in a batch, B.
        seed: Integer from 0.
        start_step: Step of the first batch: how many batches a training has seen, as
            `int(model.optimizer.iterations.numpy())` tells.

    Returns:
        `tf.data.Dataset` of the structure of an example, with an axis B before.

    Raises:
        ValueError: If the source is empty or an argument is not as described.

    Example:

    >>> import numpy as np
    >>> from keras_performer.text import TokenWindows, shuffled_batches
    >>> windows = TokenWindows(np.arange(1, 100), context_length=8)
    >>> all_steps = list(shuffled_batches(windows, 4, seed=0).take(10))
    >>> inputs, targets = next(iter(shuffled_batches(windows, 4, 0, start_step=9)))
    >>> bool((inputs.numpy() == all_steps[9][0].numpy()).all())
    True
    """
    seed = check_integer("seed", seed, 0)
    return SourceBatches(source, batch_size, seed).dataset(start_step)


def ordered_batches(source: Source, batch_size: int) -> tf.data.Dataset:
    """One pass over all examples in their order, for evaluation.

    Args:
        source: Object with `len()` and `[i]`.
        batch_size: Number of examples in a batch; the last one may have fewer.

    Returns:
        `tf.data.Dataset` of the structure of an example, with an axis B before.

    Raises:
        ValueError: If the source is empty or `batch_size` is not positive.

    Example:

    >>> import numpy as np
    >>> from keras_performer.text import TokenWindows, ordered_batches
    >>> windows = TokenWindows(np.arange(1, 8), context_length=2)
    >>> [inputs.numpy().tolist() for inputs, _ in ordered_batches(windows, 2)]
    [[[1, 2], [3, 4]], [[5, 6]]]
    """
    return SourceBatches(source, batch_size).dataset()
