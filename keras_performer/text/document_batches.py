"""`DocumentBatches`: windows of documents in batches of about the same length."""

import bisect
import functools

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_performer.text.checks import check_integer
from keras_performer.text.documents import Documents
from keras_performer.text.step_batches import StepBatches
from keras_performer.text.token_arrays import (
    TokenArrays,
    cut_windows,
    tokenize_each,
)
from keras_performer.text.tokenizer import PAD, Tokenizer

_SMALLEST_BUCKET = 64  # padding below it costs less than another shape
_SHORTEST_PIECE = 16  # of a longer document: less says nothing about its class


class DocumentBatches(StepBatches):
    """Batches of windows of labelled documents: shuffled without end, or once in order.

    Documents are cut into windows of `context_length` ids, which are batched with
    others of about their length. The widths of the batches are the powers of two from
    64 and `context_length` itself, so a compiled training step meets few shapes.

    With a seed, each pass has all documents, and the windows and the batches in another
    order. Where the first cut is made is drawn for each document and pass, so passes
    see different windows; what is left at both ends makes shorter windows, of which
    those below 16 ids are dropped. A document that is not longer than `context_length`
    is one window, always. All of this is a function of the seed and the pass alone. As
    they are cut differently, passes may differ by a few batches.

    Without a seed there is one pass: the windows follow each other without overlap from
    the start of a document, and each id is in exactly one. A batch is as wide as its
    longest window, so that one longer than `tokens_per_batch` has no padding at all. A
    document without ids has one window of padding alone.

    Args:
        documents: The `TokenArrays` of the documents, such as `tokenize_each` gives.
        label_ids: Integers, the label of each document; or, of several labels and of
            numbers, `Documents.targets`, whose rows become float32.
        context_length: Length of the longest window, in ids; at most 2**30.
        tokens_per_batch: Largest number of ids in a batch, padding counted; sets how
            many windows a batch of each width has. A batch has one window at least.
        seed: Integer from 0, or `None` for one pass in order.
        class_weights: Weight of each class in the loss, as `balanced_class_weights`
            gives them: with a seed, batches then have the weight of each window as a
            third entry, which `fit` takes. `None` for no weights.

    Raises:
        ValueError: If an argument is not as described, or no document has ids.

    Example:

    >>> import numpy as np
    >>> from keras_performer.text import DocumentBatches, TokenArrays
    >>> documents = TokenArrays(np.array([5, 6, 7, 8, 9]), lengths=[2, 3])
    >>> batches = DocumentBatches(documents, [0, 1], 3, tokens_per_batch=6)
    >>> ids, labels, owners = batches.batch(0)
    >>> ids.tolist(), labels.tolist(), owners.tolist()
    ([[5, 6, 0], [7, 8, 9]], [0, 1], [0, 1])
    """

    def __init__(
        self,
        documents: TokenArrays,
        label_ids: npt.ArrayLike,
        context_length: int,
        tokens_per_batch: int,
        seed: int | None = None,
        class_weights: npt.ArrayLike | None = None,
    ) -> None:
        # Two windows are to be counted in int32, as widths are.
        self.context_length = check_integer("context_length", context_length, 1, 2**30)
        tokens_per_batch = check_integer("tokens_per_batch", tokens_per_batch, 1)
        self.seed = None if seed is None else check_integer("seed", seed, 0)
        if not len(documents):
            raise ValueError("documents is empty. Expected at least one document.")
        if seed is not None and not documents.lengths.any():
            raise ValueError("No document has ids. Expected documents with text.")
        self.documents = documents
        self.targets = np.asarray(label_ids)
        self._target_dtype = np.int32 if self.targets.ndim == 1 else np.float32
        if class_weights is not None:
            class_weights = np.asarray(class_weights, np.float32)
        self._class_weights = class_weights
        widths = [_SMALLEST_BUCKET]
        while widths[-1] < self.context_length:
            widths.append(2 * widths[-1])
        widths[-1] = self.context_length
        self._widths = np.array(widths)
        self._batch_sizes = [max(tokens_per_batch // width, 1) for width in widths]
        self._pass = functools.lru_cache(maxsize=2)(self._plan)
        self._first_steps = [0]  # of each pass, and of the one after
        if seed is None:
            self.num_steps = self.first_step(1)

    def first_step(self, number: int) -> int:
        """Returns the step at which a pass begins: the number of batches before it.

        Args:
            number: Number of the pass, from 0.
        """
        while len(self._first_steps) <= number:
            batches, _, _, _ = self._pass(len(self._first_steps) - 1)
            self._first_steps.append(self._first_steps[-1] + len(batches))
        return self._first_steps[number]

    def steps_per_pass(self, passes: int) -> int:
        """Returns the mean number of batches of the first passes, rounded up.

        Args:
            passes: Number of passes, at least 1.
        """
        return -(-self.first_step(passes) // passes)

    def batch(self, step: int) -> tuple[np.ndarray, ...]:
        """Returns ids, labels, and what else the batches have.

        In one pass in order that is the indices of documents; with class weights, the
        weight of each window.
        """
        while step >= self._first_steps[-1]:
            self.first_step(len(self._first_steps))
        number = bisect.bisect_right(self._first_steps, step) - 1
        batches, owners, starts, lengths = self._pass(number)
        members = batches[step - self._first_steps[number]]
        width = max(lengths[members].max(), 1)
        if self.seed is not None:
            width = self._widths[np.searchsorted(self._widths, width)]
        ids = np.full((len(members), width), PAD, np.int32)
        for row, member in zip(ids, members, strict=True):
            first = self.documents.starts[owners[member]] + starts[member]
            length = lengths[member]
            row[:length] = self.documents.token_ids[first : first + length]
        indices = owners[members].astype(np.int32)
        labels = self.targets[indices].astype(self._target_dtype)
        if self.seed is None:
            return ids, labels, indices
        if self._class_weights is None:
            return ids, labels
        return ids, labels, self._class_weights[labels]

    @property
    def element_spec(self) -> tuple[tf.TensorSpec, ...]:
        ids = tf.TensorSpec((None, None), tf.int32)
        labels = tf.TensorSpec((None, *self.targets.shape[1:]), self._target_dtype)
        if self.seed is None:
            return ids, labels, tf.TensorSpec((None,), tf.int32)
        if self._class_weights is None:
            return ids, labels
        return ids, labels, tf.TensorSpec((None,), tf.float32)

    def _plan(
        self, number: int
    ) -> tuple[list[np.ndarray], np.ndarray, np.ndarray, np.ndarray]:
        """Batches of a pass, as indices of windows, and the windows.

        Of each window the document, the start in it and the length.
        """
        context, sizes = self.context_length, self.documents.lengths
        is_whole = sizes <= context
        first_cuts = np.full(len(sizes), context)
        if self.seed is not None:
            generator = np.random.default_rng((self.seed, number))
            drawn = generator.integers(1, context + 1, len(sizes))
            first_cuts = np.where(is_whole, context, drawn)
        owners, starts, lengths = cut_windows(sizes, context, first_cuts)
        order = np.arange(len(lengths))
        if self.seed is not None:
            shortest = np.where(is_whole, 1, min(_SHORTEST_PIECE, context // 2))
            order = generator.permutation(order[lengths >= shortest[owners]])
        buckets = np.searchsorted(self._widths, lengths[order])
        batches: list[np.ndarray] = []
        for bucket, size in enumerate(self._batch_sizes):
            members = order[buckets == bucket]
            batches += [members[i : i + size] for i in range(0, len(members), size)]
        if self.seed is None:
            batches.sort(key=lambda members: members[0])
        else:
            batches = [batches[i] for i in generator.permutation(len(batches))]
        return batches, owners, starts, lengths


def balanced_class_weights(
    documents: TokenArrays, label_ids: npt.ArrayLike, context_length: int
) -> np.ndarray:
    """Weights with which all classes have the same share of the loss.

    `N / (K * N_c)`, where N_c of the N windows are of class c, and K is the number of
    classes that have any. A document counts as many windows as it has on average, and
    one at least. The mean weight of a window is 1.

    Args:
        documents: The `TokenArrays` of the documents.
        label_ids: Integers, the label of each document.
        context_length: Length of the longest window, in ids.

    Returns:
        Array of shape `(classes,)`, float32: up to the largest label.

    Example:

    >>> import numpy as np
    >>> from keras_performer.text import TokenArrays
    >>> from keras_performer.text.document_batches import balanced_class_weights
    >>> documents = TokenArrays(np.ones(40, int), lengths=[30, 5, 5])
    >>> balanced_class_weights(documents, [0, 1, 1], context_length=10).tolist()
    [0.8333333134651184, 1.25]
    """
    windows = np.bincount(
        label_ids, weights=np.maximum(documents.lengths / context_length, 1)
    )
    num_classes = np.count_nonzero(windows)
    weights = windows.sum() / (num_classes * np.maximum(windows, 1))
    return np.where(windows, weights, 0).astype(np.float32)


def training_batches(
    documents: Documents,
    tokenizer: Tokenizer,
    context_length: int,
    tokens_per_batch: int,
    epoch: int,
    seed: int,
) -> tf.data.Dataset:
    """Batches of shuffled windows of documents: one pass of `DocumentBatches`.

    The documents are tokenized first. For several epochs, and to go on in the middle
    of one, tokenize them once: `DocumentBatches(tokenize_each(documents, tokenizer),
    documents.targets, context_length, tokens_per_batch, seed)`.

    Args:
        documents: `Documents` to train on.
        tokenizer: `Tokenizer`.
        context_length: Length of the longest window, in ids; at most 2**30.
        tokens_per_batch: Largest number of ids in a batch, padding counted.
        epoch: Integer from 0, the number of the pass.
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
    epoch = check_integer("epoch", epoch, 0)
    batches = DocumentBatches(
        tokenize_each(documents, tokenizer),
        documents.targets,
        context_length,
        tokens_per_batch,
        check_integer("seed", seed, 0),
    )
    first, last = batches.first_step(epoch), batches.first_step(epoch + 1)
    return batches.dataset(first).take(last - first)


def evaluation_batches(
    documents: Documents,
    tokenizer: Tokenizer,
    context_length: int,
    tokens_per_batch: int,
) -> tf.data.Dataset:
    """Batches of all windows of documents, each id in exactly one of them.

    The documents are tokenized first. Their order is always the same. What belongs to
    one document is told by its index: windows of about the same length are batched
    together, so those of a document may be in several batches.

    Args:
        documents: `Documents` to evaluate on.
        tokenizer: `Tokenizer`.
        context_length: Length of the longest window, in ids; at most 2**30.
        tokens_per_batch: Largest number of ids in a batch, padding counted.

    Returns:
        `tf.data.Dataset` of triples of ids `(B, T)`, int32, padded on the right with
        0; labels `(B,)`, int32; and indices into `documents` `(B,)`, int32. A document
        without ids has one window of padding alone.

    Raises:
        ValueError: If an argument is not as described.
    """
    return DocumentBatches(
        tokenize_each(documents, tokenizer),
        documents.targets,
        context_length,
        tokens_per_batch,
    ).dataset()
