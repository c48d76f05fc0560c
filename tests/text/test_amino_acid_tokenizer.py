"""Amino acids as ids."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_performer.text import AminoAcidTokenizer


def test_each_letter_has_an_id():
    ids = AminoAcidTokenizer().tokenize(["ACDEFGHIKLMNPQRSTVWY", "BJOUXZ", ""])
    assert ids.to_list() == [list(range(1, 21)), list(range(21, 27)), []]


def test_special_ids_follow_and_belong_to_no_text():
    tokenizer = AminoAcidTokenizer()
    special = [tokenizer.mask_id, tokenizer.start_id, tokenizer.end_id]
    assert special == [27, 28, 29]
    assert tokenizer.vocabulary_size == 30
    every_byte = tokenizer.tokenize([bytes(range(256))]).values.numpy()
    assert set(every_byte) == set(range(1, 27))


def test_case_does_not_matter_and_the_unknown_is_x():
    tokenizer = AminoAcidTokenizer()
    x = tokenizer.tokenize(["X"]).to_list()[0][0]
    upper, lower, other = tokenizer.tokenize(
        ["ARNDCEQGHILKMFPSTWYVBJOUXZ", "arndceqghilkmfpstwyvbjouxz", b"*-. 1\n\x00\xff"]
    ).to_list()
    assert upper == lower
    assert other == [x] * 8


def test_a_saved_model_reads_proteins(tmp_path):
    inputs = keras.Input(shape=(), dtype="string")
    model = keras.Model(inputs, AminoAcidTokenizer(sequence_length=3)(inputs))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    ids = again.predict_on_batch(tf.constant(["ACDE", "w"]))
    assert ids.tolist() == [[1, 2, 3], [19, 0, 0]]


def test_runs_in_a_dataset():
    proteins = tf.data.Dataset.from_tensor_slices(["AC", "DEF", ""])
    [ids] = proteins.batch(3).map(AminoAcidTokenizer())
    np.testing.assert_array_equal(ids, [[1, 2, 0], [3, 4, 5], [0, 0, 0]])


def test_refuses_what_is_not_a_batch_of_strings():
    with pytest.raises(ValueError, match=r"pass \[text\]"):
        AminoAcidTokenizer().tokenize("ACD")
