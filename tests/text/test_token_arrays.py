"""Texts as arrays of ids."""

import tracemalloc

import numpy as np
import pytest
import tensorflow as tf

from keras_performer.text import (
    AminoAcidTokenizer,
    ByteTokenizer,
    Documents,
    TokenArrays,
    Tokenizer,
    tokenize_documents,
    tokenize_each,
    tokenize_texts,
)
from keras_performer.text.token_arrays import cut_windows

BYTES = ByteTokenizer()


class Lengths(Tokenizer):
    """Gives each text one id, the number of its bytes, out of a large vocabulary."""

    vocabulary_size = 2**20

    def tokenize(self, texts):
        lengths = tf.strings.length(tf.convert_to_tensor(texts))
        return tf.RaggedTensor.from_tensor(lengths[:, None])


def write_documents(folder, texts):
    paths = [folder / f"{index}.txt" for index in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_bytes(text)
    return Documents(tuple(map(str, paths)), (0,) * len(texts), ("all",))


def test_each_text_has_its_ids_in_their_order():
    generator = np.random.default_rng(0)
    texts = [generator.bytes(generator.integers(0, 9)) for _ in range(600)]
    arrays = tokenize_texts(iter(texts), BYTES)
    assert all(array.dtype == np.uint16 for array in arrays)
    assert [(array - 1).astype(np.uint8).tobytes() for array in arrays] == texts


def test_start_and_end_are_written():
    arrays = tokenize_texts(["ab", ""], BYTES, start_id=257, end_id=70_000)
    assert [array.tolist() for array in arrays] == [
        [257, 98, 99, 70_000],
        [257, 70_000],
    ]
    assert arrays[0].dtype == np.uint32
    assert tokenize_texts(["a"], BYTES, start_id=3)[0].tolist() == [3, 98]


@pytest.mark.parametrize(
    ("tokenizer", "dtype"),
    [(AminoAcidTokenizer(), np.uint8), (BYTES, np.uint16), (Lengths(), np.uint32)],
)
def test_ids_are_as_small_as_the_vocabulary_allows(tmp_path, tokenizer, dtype):
    documents = write_documents(tmp_path, [b"some text" * 10])
    ids = tokenize_documents(documents, tokenizer)
    assert ids.dtype == tokenize_texts(["a"], tokenizer)[0].dtype == dtype
    assert (
        ids.tolist() == tokenizer.tokenize([b"some text" * 10]).values.numpy().tolist()
    )


def test_documents_follow_each_other_with_a_separator_between(tmp_path):
    documents = write_documents(tmp_path, [b"ab", b"", b"c"])
    assert tokenize_documents(documents, BYTES).tolist() == [98, 99, 100]
    separated = tokenize_documents(documents, BYTES, separator_id=257)
    assert separated.tolist() == [98, 99, 257, 257, 100]


def test_documents_are_held_in_small_integers(tmp_path):
    size = 2_000_000
    documents = write_documents(tmp_path, [b"x" * (size // 20)] * 20)
    tracemalloc.start()
    ids = tokenize_documents(documents, BYTES)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert ids.nbytes == 2 * size
    assert peak < 5 * size  # two bytes an id, twice so while they are joined


def test_refuses_what_is_empty_or_one_string():
    with pytest.raises(ValueError, match="texts is empty"):
        tokenize_texts([], BYTES)
    for text in ("abc", b"abc"):
        with pytest.raises(ValueError, match=r"one string.*pass \[text\]"):
            tokenize_texts(text, BYTES)
    with pytest.raises(ValueError, match="documents is empty"):
        tokenize_documents(Documents((), (), ("a",)), BYTES)


@pytest.mark.parametrize("token_id", [0, -1, 1.0, "a", True, 2**31])
@pytest.mark.parametrize("name", ["start_id", "end_id"])
def test_refuses_special_ids_that_are_none(name, token_id):
    with pytest.raises(ValueError, match=f"{name}={token_id!r} was passed"):
        tokenize_texts(["a"], BYTES, **{name: token_id})
    documents = Documents(("missing",), (0,), ("a",))
    with pytest.raises(ValueError, match=f"separator_id={token_id!r} was passed"):
        tokenize_documents(documents, BYTES, separator_id=token_id)


def test_each_document_has_its_ids_on_disk(tmp_path):
    texts = [b"abc", b"", b"d" * 1000]
    arrays = tokenize_each(write_documents(tmp_path, texts), BYTES)
    assert isinstance(arrays.token_ids, np.memmap)
    assert arrays.token_ids.dtype == np.uint16
    assert [(ids - 1).astype(np.uint8).tobytes() for ids in arrays] == texts
    (tmp_path / "2.txt").unlink()
    assert len(arrays[2]) == 1000, "they were read once and for all"


def test_documents_without_ids_are_no_error(tmp_path):
    arrays = tokenize_each(write_documents(tmp_path, [b"", b""]), BYTES)
    assert [ids.tolist() for ids in arrays] == [[], []]


def test_a_corpus_is_not_in_memory(tmp_path):
    documents = write_documents(tmp_path, [b"a" * 500_000] * 10)
    tracemalloc.start()
    arrays = tokenize_each(documents, BYTES)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert arrays.lengths.sum() == 5_000_000
    # The ids of a document: int32, small integers, and those as bytes.
    assert peak < 5 * 8 * 500_000


def test_a_missing_document_is_named(tmp_path):
    documents = write_documents(tmp_path, [b"a", b"b"])
    (tmp_path / "1.txt").unlink()
    with pytest.raises(tf.errors.OpError, match=r"No such file.*1.txt"):
        tokenize_each(documents, BYTES)


def test_lengths_that_do_not_add_up_are_refused():
    with pytest.raises(ValueError, match="has 5 ids, and lengths add up to 6"):
        TokenArrays(np.arange(5), [2, 4])


@pytest.mark.parametrize("first_cut", [1, 3, 5])
def test_windows_follow_each_other_to_the_end(first_cut):
    lengths = np.array([0, 1, 4, 5, 6, 23])
    owners, starts, sizes = cut_windows(lengths, 5, first_cut)
    for owner, length in enumerate(lengths):
        mine = owners == owner
        ends = starts[mine] + sizes[mine]
        assert starts[mine].tolist() == [0, *ends[:-1]]
        assert ends[-1] == length
        assert sizes[mine][0] == min(first_cut, length)
        assert (sizes[mine][1:-1] == 5).all()
