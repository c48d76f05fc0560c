"""Word pieces as ids."""

import sys

import pytest

from keras_performer.text import WordPieceTokenizer

TOKENS = ["[PAD]", "[UNK]", "un", "##able", "##s", "Able", "able", ".", "_", "e", "長"]


def tokens_of(text, **arguments):
    tokenizer = WordPieceTokenizer(TOKENS, **arguments)
    return [TOKENS[token_id] for token_id in tokenizer.tokenize([text]).to_list()[0]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("unable", ["un", "##able"]),
        ("un.able", ["un", ".", "able"]),
        ("un_able", ["un", "_", "able"]),
        ("  un\n\table ", ["un", "able"]),
        ("長長", ["長", "長"]),
        ("unknown un", ["[UNK]", "un"]),
        ("able" * 26 + " un", ["able", *["##able"] * 25, "un"]),
        ("", []),
    ],
)
def test_cuts_words_into_the_longest_pieces(text, expected):
    assert tokens_of(text) == expected


def test_case_and_accents_are_kept_unless_lowercase():
    assert tokens_of("Able able é") == ["Able", "able", "[UNK]"]
    assert tokens_of("Able ABLE É", lowercase=True) == ["able", "able", "e"]


def test_invalid_utf8_is_an_unknown_word():
    assert tokens_of(b"un \xff able \xc3") == ["un", "[UNK]", "able", "[UNK]"]
    assert tokens_of(b"un\xffable") == ["[UNK]"]


def test_control_characters_and_byte_order_marks_are_spaces():
    assert tokens_of(b"\xef\xbb\xbfun\x00able\x7f") == ["un", "able"]


def test_names_of_reserved_tokens_in_a_text_are_text():
    assert "[PAD]" not in tokens_of("[PAD] PAD [UNK]")


def test_vocabulary_is_in_the_config():
    tokenizer = WordPieceTokenizer(TOKENS, lowercase=True)
    config = tokenizer.get_config()
    assert config["vocabulary"] == TOKENS
    assert config["lowercase"] is True
    assert WordPieceTokenizer.from_config(config).get_config() == config


def test_vocabulary_size_counts_its_tokens():
    assert WordPieceTokenizer(TOKENS).vocabulary_size == len(TOKENS)


def test_refuses_a_lowercase_that_is_not_a_bool():
    with pytest.raises(ValueError, match="lowercase='yes'"):
        WordPieceTokenizer(TOKENS, lowercase="yes")


def test_missing_tensorflow_text_names_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_text", None)
    with pytest.raises(ImportError, match=r"pip install .*\[text\]"):
        WordPieceTokenizer(TOKENS)
