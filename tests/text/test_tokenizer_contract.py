"""What every tokenizer promises, for each of them."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_performer.layers import hashed_ngrams
from keras_performer.text import (
    PAD,
    AminoAcidTokenizer,
    ByteTokenizer,
    TokenKind,
    WordPieceTokenizer,
)

VOCABULARY = ["[PAD]", "[UNK]", "a", "b", "long", "##er", "time", ".", "é"]

TEXTS = [
    "a longer time.",
    "",
    " \t\n",
    "b",
    "été é",
    "[PAD] [UNK]",
    b"a \xff\xfe b \xed\xa0\x80 time\xc3",
    b"a\x00b",
]


def make_byte(**arguments):
    return ByteTokenizer(**arguments)


def make_word_piece(**arguments):
    return WordPieceTokenizer(VOCABULARY, **arguments)


def make_amino_acid(**arguments):
    return AminoAcidTokenizer(**arguments)


each_tokenizer = pytest.mark.parametrize(
    "make", [make_byte, make_word_piece, make_amino_acid]
)


@each_tokenizer
def test_padded_ids_are_the_ragged_ids_and_zeros(make):
    tokenizer = make()
    rows = tokenizer.tokenize(TEXTS)
    assert isinstance(rows, tf.RaggedTensor) and rows.dtype == tf.int32
    rows = rows.to_list()
    ids = tokenizer(TEXTS)
    assert ids.dtype == tf.int32
    longest = max(map(len, rows))
    assert ids.shape == (len(TEXTS), longest) and longest > 4
    for row, padded in zip(rows, ids.numpy().tolist(), strict=True):
        assert padded == row + [PAD] * (longest - len(row))
        assert all(PAD < token_id < tokenizer.vocabulary_size for token_id in row)


@each_tokenizer
def test_texts_do_not_change_each_other(make):
    tokenizer = make()
    together = tokenizer.tokenize(TEXTS).to_list()
    assert together == [tokenizer.tokenize([text]).to_list()[0] for text in TEXTS]


@each_tokenizer
def test_takes_tensors_arrays_and_lists_alike(make):
    tokenizer = make()
    texts = ["a long time.", "b", "é"]
    expected = tokenizer(tf.constant(texts)).numpy().tolist()
    for same in (
        texts,
        tuple(texts),
        np.array(texts),
        np.array(texts, dtype=object),
        np.array([text.encode() for text in texts]),
    ):
        assert tokenizer(same).numpy().tolist() == expected


@each_tokenizer
def test_texts_without_ids_give_one_column_of_padding(make):
    assert make()(["", ""]).numpy().tolist() == [[PAD], [PAD]]


@each_tokenizer
def test_no_texts_give_no_rows(make):
    assert make()(tf.zeros([0], tf.string)).shape == (0, 1)


@each_tokenizer
def test_sequence_length_cuts_what_follows(make):
    whole = make().tokenize(TEXTS).to_list()
    for sequence_length in (1, 3, 1000):
        cut = make(sequence_length=sequence_length)
        expected = [row[:sequence_length] for row in whole]
        assert cut.tokenize(TEXTS).to_list() == expected
        assert cut(TEXTS).shape[1] == max(map(len, expected))


@each_tokenizer
@pytest.mark.parametrize("sequence_length", [0, -1, 2.5, "8", True])
def test_refuses_a_sequence_length_that_is_none(make, sequence_length):
    with pytest.raises(ValueError, match=r"sequence_length=.* positive integer"):
        make(sequence_length=sequence_length)


@each_tokenizer
def test_refuses_what_is_not_a_batch_of_strings(make):
    tokenizer = make()
    with pytest.raises(ValueError, match="must be strings"):
        tokenizer.tokenize([1, 2])
    with pytest.raises(ValueError, match="must be strings"):
        tokenizer.tokenize(tf.constant([1, 2]))
    with pytest.raises(ValueError, match=r"pass \[text\]"):
        tokenizer.tokenize("one text")
    with pytest.raises(ValueError, match=r"tf.reshape"):
        tokenizer.tokenize([["a"], ["b"]])


@each_tokenizer
def test_config_round_trip(make):
    tokenizer = make(sequence_length=5, name="to_ids")
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(tokenizer)))
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(tokenizer)
    assert again.get_config() == tokenizer.get_config()
    assert again.sequence_length == 5 and again.name == "to_ids"
    assert again(TEXTS).numpy().tolist() == tokenizer(TEXTS).numpy().tolist()


@each_tokenizer
def test_is_a_layer_of_a_functional_model_that_saves(make, tmp_path):
    inputs = keras.Input(shape=(), dtype="string")
    tokenizer = make()
    assert not tokenizer.supports_jit, "XLA has no strings"
    ids = tokenizer(inputs)
    assert ids.shape == (None, None) and ids.dtype == "int32"
    model = keras.Model(inputs, ids)
    texts = tf.constant(["a longer time.", "b"])
    expected = model.predict_on_batch(texts).tolist()
    assert expected == tokenizer(texts).numpy().tolist()
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.predict_on_batch(texts).tolist() == expected


@each_tokenizer
def test_runs_in_a_dataset(make):
    tokenizer = make()
    batches = tf.data.Dataset.from_tensor_slices(TEXTS).batch(3).map(tokenizer)
    rows = [ids.numpy().tolist() for ids in batches]
    assert rows[0] == tokenizer(TEXTS[:3]).numpy().tolist()


LOAD = """
import json, sys
import tensorflow as tf

texts = tf.constant([bytes(text) for text in json.load(sys.stdin)])
byte = tf.saved_model.load(sys.argv[1]).signatures["serving_default"](texts)
import tensorflow_text
word_piece = tf.saved_model.load(sys.argv[2]).signatures["serving_default"](texts)
foreign = [name for name in sys.modules if name.startswith("keras_performer")]
print(json.dumps({
    "byte": byte["ids"].numpy().tolist(),
    "word_piece": word_piece["ids"].numpy().tolist(),
    "foreign": foreign,
}))
"""


@pytest.mark.slow
def test_saved_models_run_in_a_process_without_this_package(tmp_path):
    for name, tokenizer in (("byte", make_byte()), ("word_piece", make_word_piece())):
        module = tf.Module()
        module.tokenizer = tokenizer

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def serve(texts, tokenizer=tokenizer):
            return {"ids": tokenizer(texts)}

        tf.saved_model.save(module, tmp_path / name, signatures=serve)
    texts = [list(t if isinstance(t, bytes) else t.encode()) for t in TEXTS]
    process = subprocess.run(
        [sys.executable, "-c", LOAD, tmp_path / "byte", tmp_path / "word_piece"],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    loaded = json.loads(process.stdout)
    assert loaded["byte"] == make_byte()(TEXTS).numpy().tolist()
    assert loaded["word_piece"] == make_word_piece()(TEXTS).numpy().tolist()
    assert loaded["foreign"] == []


@each_tokenizer
def test_exports_through_keras(make, tmp_path):
    tokenizer = make()
    archive = keras.export.ExportArchive()
    archive.track(tokenizer)
    archive.add_endpoint(
        "serve",
        lambda texts: {"ids": tokenizer(texts)},
        input_signature=[tf.TensorSpec([None], tf.string)],
    )
    archive.write_out(tmp_path / "archive", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "archive")
    ids = loaded.signatures["serve"](tf.constant(TEXTS))["ids"]
    assert ids.numpy().tolist() == tokenizer(TEXTS).numpy().tolist()


@pytest.mark.parametrize("make", [make_byte, make_word_piece, make_amino_acid])
def test_a_kind_for_each_id(make):
    tokenizer = make()
    assert len(tokenizer.token_kinds) == tokenizer.vocabulary_size
    assert tokenizer.token_kinds[PAD] == TokenKind.BLANK


def test_kinds_of_word_pieces_and_of_bytes():
    kinds = dict(zip(VOCABULARY, make_word_piece().token_kinds, strict=True))
    assert kinds["##er"] == TokenKind.CONTINUATION
    assert kinds["long"] == kinds["."] == kinds["[UNK]"] == TokenKind.WORD
    kinds = make_byte().token_kinds
    for text, kind in (
        (b"aZ09_\xc3", TokenKind.LETTER),
        (b" \n\t", TokenKind.BLANK),
        (b".-(\x00", TokenKind.WORD),
    ):
        assert {kinds[byte + 1] for byte in text} == {kind}


def test_the_kinds_of_tokenizers_are_those_of_ngrams():
    kinds = {name: getattr(hashed_ngrams, name) for name in TokenKind.__members__}
    assert kinds == dict(TokenKind.__members__)
