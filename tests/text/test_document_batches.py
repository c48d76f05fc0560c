"""Windows, their order and their batches."""

import collections

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_performer.text import (
    ByteTokenizer,
    DocumentBatches,
    Documents,
    TokenArrays,
    Tokenizer,
    evaluation_batches,
    tokenize_each,
    training_batches,
)
from keras_performer.text.document_batches import balanced_class_weights

LENGTHS = (1, 3, 15, 16, 17, 50, 63, 64, 65, 100, 127, 128, 129, 700, 1800)
CONTEXT = 128
TOKENS = 512


def write_documents(folder, lengths=LENGTHS):
    """Files of random letters: no two pieces of 8 letters are the same."""
    generator = np.random.default_rng(0)
    paths = []
    for index, length in enumerate(lengths):
        path = folder / f"{index}.txt"
        path.write_bytes(generator.integers(97, 123, length, np.uint8).tobytes())
        paths.append(str(path))
    label_ids = tuple(index % 3 for index in range(len(lengths)))
    return Documents(tuple(paths), label_ids, ("a", "b", "c"))


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    return write_documents(tmp_path_factory.mktemp("documents"))


@pytest.fixture(scope="module")
def first_epochs(documents):
    """The batches of the epochs 0, 1 and 2 with seed 0."""
    return [as_lists(training(documents, epoch)) for epoch in range(3)]


def passes(documents, seed=0, context=CONTEXT, tokens=TOKENS):
    return DocumentBatches(
        tokenize_each(documents, ByteTokenizer()),
        documents.label_ids,
        context,
        tokens,
        seed,
    )


def texts_of(documents):
    return [text for text, _ in documents.dataset().as_numpy_iterator()]


def windows_of(batch_dataset):
    """The windows as bytes, padding removed, each with its label and what follows."""
    for batch in batch_dataset:
        for row, *values in zip(*map(np.asarray, batch), strict=True):
            length = np.count_nonzero(row)
            assert not row[length:].any(), "padding is on the right"
            yield (row[:length] - 1).astype(np.uint8).tobytes(), *map(int, values)


def training(documents, epoch=0, seed=0, context=CONTEXT, tokens=TOKENS):
    return training_batches(documents, ByteTokenizer(), context, tokens, epoch, seed)


def evaluation(documents, context=CONTEXT, tokens=TOKENS):
    return evaluation_batches(documents, ByteTokenizer(), context, tokens)


def as_lists(batch_dataset):
    return [
        [array.tolist() for array in batch]
        for batch in batch_dataset.as_numpy_iterator()
    ]


@pytest.mark.parametrize("context", [1, 64, 100, 128, 5000])
def test_evaluation_covers_every_id_once(documents, context):
    pieces = collections.defaultdict(list)
    for piece, label_id, index in windows_of(evaluation(documents, context)):
        assert 0 < len(piece) <= context
        assert label_id == documents.label_ids[index]
        pieces[index].append(piece)
    for index, text in enumerate(texts_of(documents)):
        # Within a width the order is kept; between widths it is not.
        cuts = [text[start : start + context] for start in range(0, len(text), context)]
        assert sorted(pieces[index]) == sorted(cuts)


def test_evaluation_is_the_same_each_time(documents):
    batches = evaluation(documents)
    first = as_lists(batches)
    assert len(first) > 3
    keras.utils.set_random_seed(1234)
    assert as_lists(batches) == first == as_lists(evaluation(documents))


@pytest.mark.parametrize("context", [16, 17, 31, 128, 5000])
def test_training_covers_all_but_tiny_ends(documents, context):
    pieces = list(windows_of(training(documents, context=context)))
    shortest = min(16, context // 2)
    for text, label_id in zip(texts_of(documents), documents.label_ids, strict=True):
        if len(text) <= context:
            assert (text, label_id) in pieces
            continue
        found = {}
        for piece, piece_label_id in pieces:
            start = text.find(piece)
            if start >= 0 and len(piece) >= 8:
                assert piece_label_id == label_id
                assert shortest <= len(piece) <= context
                found[start] = piece
        starts = sorted(found)
        ends = [start + len(found[start]) for start in starts]
        assert starts, "no document is lost"
        assert starts[1:] == ends[:-1], "windows follow each other without overlap"
        assert all(len(found[start]) == context for start in starts[1:-1])
        assert starts[0] < shortest and len(text) - ends[-1] < shortest


@pytest.mark.parametrize("context", [1, 3])
def test_tiny_windows_cover_all(documents, context):
    pieces = list(windows_of(training(documents, context=context)))
    letters = collections.Counter(b"".join(piece for piece, _ in pieces))
    assert letters == collections.Counter(b"".join(texts_of(documents)))


def test_epochs_cut_long_documents_elsewhere_and_short_ones_never(
    documents, first_epochs
):
    texts = texts_of(documents)
    first_cuts = collections.defaultdict(set)
    for batches in first_epochs:
        for piece, _ in windows_of(batches):
            for index, text in enumerate(texts):
                if len(piece) >= 16 and text.startswith(piece):
                    first_cuts[index].add(len(piece))
    assert len(first_cuts[len(LENGTHS) - 1]) == 3
    assert first_cuts[len(LENGTHS) - 1].isdisjoint(first_cuts[len(LENGTHS) - 2])
    assert first_cuts[LENGTHS.index(128)] == {128}


def test_order_is_a_function_of_seed_and_epoch(documents, first_epochs):
    assert first_epochs[0] != first_epochs[1] != first_epochs[2]
    for global_seed in (99, 0):
        tf.random.set_seed(global_seed)
        assert as_lists(training(documents, epoch=1)) == first_epochs[1]
    assert as_lists(training(documents, epoch=1, seed=5)) != first_epochs[1]


def test_a_training_that_goes_on_sees_what_one_without_interruption_sees(
    documents, first_epochs
):
    expected = [batch for epoch in first_epochs for batch in epoch]
    first_steps = [0, *np.cumsum([len(epoch) for epoch in first_epochs])]
    batches = passes(documents)
    assert [batches.first_step(number) for number in range(4)] == first_steps
    # From any step, within a pass and at its ends, and in any order of asking.
    for step in (len(expected) - 1, 0, 1, first_steps[1], first_steps[2] - 1):
        batch = passes(documents).batch(step)
        assert [array.tolist() for array in batch] == expected[step]
        resumed = passes(documents).dataset(step).take(len(expected) - step)
        assert as_lists(resumed) == expected[step:]
    assert batches.dataset().cardinality() == tf.data.INFINITE_CARDINALITY


def test_grain_takes_batches_by_their_step(documents, first_epochs):
    grain = pytest.importorskip("grain")
    batches = passes(documents)
    dataset = grain.MapDataset.range(2, 6).map(batches.batch)
    expected = [batch for epoch in first_epochs for batch in epoch]
    assert [[a.tolist() for a in batch] for batch in dataset] == expected[2:6]


def test_a_fit_that_resumes_sees_what_one_without_interruption_sees(
    documents, first_epochs
):
    seen = []

    class Recording(keras.Model):
        def train_step(self, data):
            def record(*batch):
                seen.append([array.tolist() for array in batch])

            tf.numpy_function(record, data, [])
            return {"loss": tf.constant(0.0)}

    model = Recording()
    model.built = True
    model.compile()
    model.fit(
        passes(documents).dataset(5),
        epochs=3,
        initial_epoch=1,
        steps_per_epoch=5,
        shuffle=False,
        verbose=0,
    )
    assert seen == [batch for epoch in first_epochs for batch in epoch][5:15]


def test_epochs_shuffle_documents_and_windows(documents, first_epochs):
    longest = texts_of(documents)[-1]
    orders = []
    for batches in first_epochs:
        starts = [
            longest.find(piece)
            for piece, _ in windows_of(batches)
            if len(piece) == CONTEXT and piece in longest
        ]
        assert len(starts) > 10
        assert starts != sorted(starts)
        orders.append(np.argsort(starts).tolist())
    assert orders[0] != orders[1]


def test_windows_of_all_documents_are_shuffled(tmp_path):
    documents = write_documents(tmp_path, (1000,) * 8)
    texts = texts_of(documents)

    def owners(epoch):
        pieces = windows_of(training(documents, epoch, context=100, tokens=100))
        return [
            next(index for index, text in enumerate(texts) if piece in text)
            for piece, _ in pieces
            if len(piece) == 100
        ]

    first, second = owners(0), owners(1)
    assert first != second
    for order in (first, second):
        # Of 72 windows of 8 documents, two in a row are of one document 8 times.
        repeats = np.mean(np.diff(order) == 0)
        assert repeats < 0.3
        assert len(set(order[:36])) == len(set(order[36:])) == 8


@pytest.mark.parametrize("tokens", [1, 512, 4096])
@pytest.mark.parametrize("make", [training, evaluation])
def test_batches_keep_to_their_widths_and_sizes(documents, make, tokens):
    shapes = collections.Counter()
    for ids, labels, *_ in make(documents, tokens=tokens, context=200):
        assert ids.dtype == labels.dtype == tf.int32
        batch_size, width = ids.shape
        assert labels.shape == (batch_size,)
        assert batch_size == 1 or batch_size * width <= tokens
        longest = int(tf.reduce_max(tf.math.count_nonzero(ids, axis=1)))
        bucket = min(bound for bound in (64, 128, 200) if longest <= bound)
        assert width == (bucket if make is training else longest)
        shapes[bucket, batch_size] += 1
    for width in (64, 128, 200):
        sizes = {size for w, size in shapes if w == width}
        assert max(sizes) <= max(tokens // width, 1)
        assert sum(n for (w, s), n in shapes.items() if w == width) >= 1
        # All batches of a width but the last are full.
        partial = [s for s in sizes if s != max(tokens // width, 1)]
        assert sum(shapes[width, size] for size in partial) <= 1


def test_no_window_is_padded_to_more_than_it_needs(documents):
    for ids, _ in training(documents, context=200):
        lengths = np.count_nonzero(ids, axis=1)
        narrower = {64: 0, 128: 64, 200: 128}[ids.shape[1]]
        assert (lengths > narrower).all()


def test_several_megabytes_in_one_document(tmp_path):
    documents = write_documents(tmp_path, (5_000_000, 1))
    pieces = list(windows_of(evaluation(documents, 65536, 131072)))
    assert b"".join(p for p, _, index in pieces if index == 0) == texts_of(documents)[0]
    pieces = list(windows_of(training(documents, context=65536, tokens=131072)))
    assert sum(len(piece) for piece, _ in pieces) >= 5_000_000 - 32


class Words(Tokenizer):
    """Gives each word the number of its letters."""

    vocabulary_size = 100

    def tokenize(self, texts):
        words = tf.strings.split(texts)
        return tf.cast(tf.strings.length(words), tf.int32)


def test_any_tokenizer_serves(tmp_path):
    (tmp_path / "1").write_text("one three a")
    documents = Documents((str(tmp_path / "1"),), (1,), ("a", "b"))
    [(ids, labels)] = training_batches(documents, Words(), 8, 8, 0, 0)
    assert ids.numpy().tolist() == [[3, 5, 1, 0, 0, 0, 0, 0]]
    assert labels.numpy().tolist() == [1]


def test_a_document_without_ids_is_evaluated_but_not_trained_on(tmp_path):
    (tmp_path / "1").write_text(" ")
    (tmp_path / "2").write_text("word")
    paths = (str(tmp_path / "1"), str(tmp_path / "2"))
    documents = Documents(paths, (0, 1), ("a", "b"))
    [(ids, labels, indices)] = evaluation_batches(documents, Words(), 8, 16)
    assert ids.numpy().tolist() == [[0], [4]]
    assert (labels.numpy().tolist(), indices.numpy().tolist()) == ([0, 1], [0, 1])
    [(ids, labels)] = training_batches(documents, Words(), 8, 16, 0, 0)
    assert ids.numpy().tolist() == [[4] + [0] * 7]


def test_a_document_without_ids_alone_has_a_column(tmp_path):
    (tmp_path / "1").write_text(" ")
    documents = Documents((str(tmp_path / "1"),), (0,), ("a", "b"))
    [(ids, _, _)] = evaluation_batches(documents, Words(), 8, 16)
    assert ids.numpy().tolist() == [[0]]


def test_whole_documents_are_evaluated_without_padding(documents):
    batches = list(evaluation(documents, context=2**30, tokens=1))
    assert sorted(ids.shape[1] for ids, _, _ in batches) == sorted(LENGTHS)


@pytest.mark.parametrize("value", [0, -1, 2.0, "8", True, 2**64])
@pytest.mark.parametrize("name", ["context_length", "tokens_per_batch"])
def test_refuses_sizes_that_are_none(documents, name, value):
    arguments = {"context_length": 8, "tokens_per_batch": 8, name: value}
    with pytest.raises(ValueError, match=f"{name}={value!r} was passed"):
        evaluation_batches(documents, ByteTokenizer(), **arguments)
    with pytest.raises(ValueError, match=f"{name}={value!r} was passed"):
        training_batches(documents, ByteTokenizer(), **arguments, epoch=0, seed=0)


def test_refuses_epochs_and_seeds_that_are_none(documents):
    with pytest.raises(ValueError, match="epoch=-1"):
        training(documents, epoch=-1)
    with pytest.raises(ValueError, match=r"epoch=<tf.Variable"):
        training(documents, epoch=tf.Variable(0))
    with pytest.raises(ValueError, match="seed=None"):
        training(documents, seed=None)


def test_documents_without_ids_cannot_be_trained_on():
    empty = TokenArrays(np.empty(0, np.uint8), [0, 0])
    with pytest.raises(ValueError, match="No document has ids"):
        DocumentBatches(empty, [0, 1], 8, 16, seed=0)


def test_refuses_no_documents():
    with pytest.raises(ValueError, match="documents is empty"):
        evaluation(Documents((), (), ("a", "b")))


def test_balanced_classes_have_the_same_share_of_the_loss():
    lengths = [300, 20, 20, 700, 0, 10]
    label_ids = [0, 1, 1, 0, 1, 3]
    arrays = TokenArrays(np.ones(sum(lengths), int), lengths)
    weights = balanced_class_weights(arrays, label_ids, 100)
    assert weights.dtype == np.float32 and weights[2] == 0  # a class without documents
    windows = np.array([10, 3, 0, 1])
    np.testing.assert_allclose(weights * windows, [14 / 3, 14 / 3, 0, 14 / 3], 1e-6)


def test_batches_have_the_weights_of_their_windows():
    arrays = TokenArrays(np.ones(40, int), [30, 5, 5])
    batches = DocumentBatches(arrays, [0, 1, 2], 10, 640, 0, class_weights=[0.5, 3, 2])
    _, labels, weights = next(iter(batches.dataset()))
    assert set(labels.numpy()) == {0, 1, 2}
    np.testing.assert_array_equal(weights, np.array([0.5, 3, 2])[labels.numpy()])
    # Evaluations have none.
    batches = DocumentBatches(arrays, [0, 1, 2], 10, 640, class_weights=[0.5, 3, 2])
    assert batches.batch(0)[2].dtype == np.int32
