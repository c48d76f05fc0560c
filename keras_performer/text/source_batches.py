"""Batches of a random-access source: resumable at any step, or once in order."""

import functools

import numpy as np
import tensorflow as tf

from keras_performer.text.checks import check_integer


def shuffled_batches(source, batch_size, seed, start_step=0):
    """Endless shuffled batches, of which the one of a step is known without the others.

    Each pass sees all examples once, in an order of its own; where a pass ends, the
    next one fills up the batch. The order of a pass is a function of `seed` and its
    number alone, so a training that goes on at step 500 with `start_step=500` sees
    the very batches that one without interruption would have seen, and reads none of
    those before. The global seed has no say.

    Give `fit` its `steps_per_epoch`, as there is no end, and `shuffle=False`.

    Args:
        source: Object with `len()` and `[i]`, such as `TokenWindows`,
            `PackedSequences`, `PackedNextTokens` or a Grain data source. An example is
            an array, or a tuple or dictionary of arrays, always of the same shapes.
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
    size = _check_source(source, batch_size)
    seed = check_integer("seed", seed, 0)
    start_step = check_integer("start_step", start_step, 0)

    @functools.lru_cache(maxsize=2)  # a batch may lie in two passes
    def order(number):
        return np.random.default_rng((seed, number)).permutation(size)

    def indices(step):
        first = int(step) * batch_size
        return [order(n // size)[n % size] for n in range(first, first + batch_size)]

    read = _reader(source, indices, batch_size)
    return tf.data.Dataset.counter(start_step).map(read).prefetch(tf.data.AUTOTUNE)


def ordered_batches(source, batch_size):
    """One pass over all examples in their order, for evaluation.

    Args:
        source: As for `shuffled_batches`.
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
    size = _check_source(source, batch_size)

    def indices(step):
        first = int(step) * batch_size
        return range(first, min(first + batch_size, size))

    read = _reader(source, indices, None if size % batch_size else batch_size)
    batches = tf.data.Dataset.range(-(-size // batch_size))
    return batches.map(read).prefetch(tf.data.AUTOTUNE)


def _check_source(source, batch_size):
    check_integer("batch_size", batch_size, 1)
    if not len(source):
        raise ValueError("source is empty. Expected at least one example.")
    return len(source)


def _reader(source, indices, batch_size):
    """A function of the graph that gives the batch of a step."""
    example = source[0]
    parts = [np.asarray(part) for part in tf.nest.flatten(example)]

    def read_arrays(step):
        rows = [tf.nest.flatten(source[int(index)]) for index in indices(step)]
        return [np.stack(column) for column in zip(*rows, strict=True)]

    def read(step):
        tensors = tf.numpy_function(read_arrays, [step], [part.dtype for part in parts])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.set_shape((batch_size, *part.shape))
        return tf.nest.pack_sequence_as(example, tensors)

    return read
