"""Batches of windows of documents: cut, shuffled and bucketed by length."""

import os

import numpy as np
import tensorflow as tf

from keras_performer.text.checks import check_integer

_OPEN_DOCUMENTS = 4  # give a window in turn
_TOKENIZERS = 2  # threads, each with a document
_SHUFFLED_IDS = 2**22  # wait in the shuffle buffer: 16 MiB
_SMALLEST_BUCKET = 64  # padding below it costs less than another shape
_SHORTEST_PIECE = 16  # of a longer document: less says nothing about its class


def training_batches(
    documents, tokenizer, context_length, tokens_per_batch, epoch, seed
):
    """Batches of shuffled windows of documents: one pass is one epoch.

    Each document is cut into windows of `context_length` ids. Where the first cut is
    made is drawn anew for each document and epoch, so epochs see different windows;
    what is left at both ends makes shorter windows, of which those below 16 ids are
    dropped. A document that is not longer than `context_length` is one window, always.

    The order of the documents, the cuts and the order of the windows are a function
    of `seed` and `epoch` alone, not of the global seed. So a training that goes on in
    epoch 5 sees what one without interruption would have seen.

    Windows are batched with others of about their length. The widths of the batches
    are the powers of two from 64 and `context_length` itself, so a compiled training
    step meets few shapes. However large the corpus is, some documents are in memory,
    and 16 MiB of ids in the shuffle buffer.

    As epochs are cut differently, they may differ by a few batches, while `fit` counts
    on the same number in each: give it `batches.repeat().take(steps)`.

    Args:
        documents: `Documents` to train on.
        tokenizer: `Tokenizer`.
        context_length: Length of the longest window, in ids; at most 2**30.
        tokens_per_batch: Largest number of ids in a batch, padding counted; sets how
            many windows a batch of each width has. A batch has one window at least.
        epoch: Integer, or an integer `tf.Variable` that is read when an iterator
            starts. With a variable one dataset serves all epochs of a `fit`: a
            callback sets it in `on_epoch_begin`.
        seed: Integer from 0.

    Returns:
        `tf.data.Dataset` of pairs of ids `(B, T)`, int32, padded on the right with 0,
        and labels `(B,)`, int32.

    Raises:
        ValueError: If an argument is not as described.

    Example:

    >>> import tempfile
    >>> from keras_performer.text import ByteTokenizer, Documents, training_batches
    >>> with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
    ...     _ = file.write("Call me Ishmael. " * 10)
    ...     file.flush()
    ...     documents = Documents((file.name,), (0,), ("novel",))
    ...     batches = training_batches(
    ...         documents, ByteTokenizer(), 256, 1024, epoch=0, seed=0
    ...     )
    ...     [(ids.shape, labels.shape) for ids, labels in batches]
    [(TensorShape([1, 256]), TensorShape([1]))]
    """
    _check(documents, context_length, tokens_per_batch)
    if isinstance(epoch, tf.Variable):
        if not epoch.dtype.is_integer:
            raise ValueError(
                f"epoch is a variable of {epoch.dtype.name}. Expected an integer one, "
                "tf.Variable(0, dtype=tf.int64)."
            )
    else:
        check_integer("epoch", epoch, 0)
    check_integer("seed", seed, 0)
    shortest_piece = min(_SHORTEST_PIECE, context_length // 2)
    rows = _rows(documents)

    def windows_of_epoch(_):
        order_seed, cut_seed, shuffle_seed = tf.unstack(
            tf.random.split(
                tf.random.fold_in(
                    tf.constant([seed, 0], tf.int64), tf.cast(epoch, tf.int64)
                ),
                num=3,
            )
        )

        def windows_of_document(ids, label_id, index):
            is_whole = tf.size(ids) <= context_length
            drawn_cut = tf.random.stateless_uniform(
                [],
                tf.random.fold_in(cut_seed, tf.cast(index, tf.int64)),
                1,
                context_length + 1,
                tf.int32,
            )
            first_cut = tf.where(is_whole, context_length, drawn_cut)
            shortest = tf.where(is_whole, 1, shortest_piece)
            return _windows(ids, first_cut, context_length, label_id).filter(
                lambda window, _: tf.size(window) >= shortest
            )

        order = tf.random.experimental.stateless_shuffle(
            tf.range(len(documents)), order_seed
        )
        # The global seed would have a say in the order of `shuffle`. Here, where a
        # graph is traced, this sets the seed of that graph alone.
        tf.random.set_seed(1)
        return (
            _tokenized([tf.gather(column, order) for column in rows], tokenizer)
            .interleave(windows_of_document, cycle_length=_OPEN_DOCUMENTS)
            .shuffle(
                max(_SHUFFLED_IDS // context_length, 1),
                seed=tf.random.stateless_uniform(
                    [], shuffle_seed, maxval=2**31 - 1, dtype=tf.int64
                ),
                reshuffle_each_iteration=False,
            )
        )

    # A dataset of one element, so that the epoch is read when it is iterated.
    windows = tf.data.Dataset.range(1).flat_map(windows_of_epoch)
    return _bucket(windows, context_length, tokens_per_batch, pad_to_width=True)


def evaluation_batches(documents, tokenizer, context_length, tokens_per_batch):
    """Batches of all windows of documents, each id in exactly one of them.

    The windows follow each other without overlap from the start of a document, the
    last one being shorter, and their order is always the same. What belongs to one
    document is told by its index: windows of about the same length are batched
    together, so those of a document may be in several batches. Widths are not rounded
    up as for training: a window longer than `tokens_per_batch` has no padding at all.

    Args:
        documents: `Documents` to evaluate on.
        tokenizer: `Tokenizer`.
        context_length: Length of the longest window, in ids; at most 2**30.
        tokens_per_batch: Largest number of ids in a batch, padding counted; sets how
            many windows a batch of each width has. A batch has one window at least.

    Returns:
        `tf.data.Dataset` of triples of ids `(B, T)`, int32, padded on the right with
        0; labels `(B,)`, int32; and indices into `documents` `(B,)`, int32. A document
        without ids has one window of padding alone.

    Raises:
        ValueError: If an argument is not as described.
    """
    _check(documents, context_length, tokens_per_batch)

    def windows_of_document(ids, label_id, index):
        is_empty = tf.cast(tf.equal(tf.size(ids), 0), tf.int32)
        ids = tf.pad(ids, [[0, is_empty]])
        return _windows(ids, context_length, context_length, label_id, index)

    windows = _tokenized(_rows(documents), tokenizer).flat_map(windows_of_document)
    return _bucket(windows, context_length, tokens_per_batch, pad_to_width=False)


def _rows(documents):
    """The path, the label and the index of each document, as columns."""
    return (
        np.array([os.fsencode(path) for path in documents.paths], dtype=object),
        np.array(documents.label_ids, dtype=np.int32),
        np.arange(len(documents), dtype=np.int32),
    )


def _tokenized(rows, tokenizer):
    """Documents as (ids, label, index), in the order of the rows."""

    def read(path, label_id, index):
        text = tf.io.read_file(path)
        return tokenizer.tokenize(text[tf.newaxis]).values, label_id, index

    return tf.data.Dataset.from_tensor_slices(tuple(rows)).map(
        read, num_parallel_calls=_TOKENIZERS, deterministic=True
    )


def _windows(ids, first_cut, context_length, *others):
    """Cuts ids at `first_cut`, in 1..context_length, and each context_length on.

    A window is an element, with the others beside it: those are of the document.
    """
    length = tf.size(ids)
    cuts = (tf.maximum(length - first_cut, 0) + context_length - 1) // context_length

    def window(number):
        end = first_cut + tf.cast(number, tf.int32) * context_length
        # A slice could share the memory of the whole document and keep it alive.
        places = tf.range(tf.maximum(end - context_length, 0), tf.minimum(end, length))
        return tf.gather(ids, places), *others

    return tf.data.Dataset.range(tf.cast(cuts, tf.int64) + 1).map(window)


def _bucket(windows, context_length, tokens_per_batch, pad_to_width):
    widths = [context_length]
    width = _SMALLEST_BUCKET
    while width < context_length:
        widths.insert(-1, width)
        width *= 2
    batch_sizes = [max(tokens_per_batch // width, 1) for width in widths]
    return windows.bucket_by_sequence_length(
        lambda ids, *_: tf.size(ids),
        # The boundaries are exclusive, and no window is beyond the last one.
        bucket_boundaries=[width + 1 for width in widths],
        bucket_batch_sizes=[*batch_sizes, 1],
        pad_to_bucket_boundary=pad_to_width,
    ).prefetch(tf.data.AUTOTUNE)


def _check(documents, context_length, tokens_per_batch):
    if not len(documents):
        raise ValueError("documents is empty. Expected at least one document.")
    # Two windows are to be counted in int32, as the lengths of buckets are.
    check_integer("context_length", context_length, 1, 2**30)
    check_integer("tokens_per_batch", tokens_per_batch, 1)
