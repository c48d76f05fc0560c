"""Learning, saving and loading vocabularies."""

import hashlib
import json
import random
import subprocess
import sys

import pytest
import tensorflow as tf

from keras_performer.text import (
    WordPieceTokenizer,
    learn_vocabulary,
    load_vocabulary,
    save_vocabulary,
)
from keras_performer.text import vocabulary as vocabulary_module

SYLLABLES = ["ba", "de", "fi", "go", "lu", "na", "pe", "ri", "so", "tu", "ma", "ke"]


def corpus(documents=20, words=400, seed=0):
    """Texts of words whose frequencies fall as those of a language do."""
    generator = random.Random(seed)
    lexicon = ["".join(generator.choices(SYLLABLES, k=3)) for _ in range(400)]
    weights = [1 / rank for rank in range(1, len(lexicon) + 1)]
    return [
        " ".join(generator.choices(lexicon, weights, k=words)) + " Été."
        for _ in range(documents)
    ]


def test_starts_with_the_reserved_tokens_and_keeps_to_its_size():
    for size in (64, 150, 300):
        vocabulary = learn_vocabulary(corpus(), size)
        assert vocabulary[:2] == ["[PAD]", "[UNK]"]
        assert len(set(vocabulary)) == len(vocabulary)
        assert 0.5 * size < len(vocabulary) <= size


def test_uses_the_size_it_is_given():
    assert len(learn_vocabulary(corpus(), 200)) >= 0.95 * 200


def test_learns_the_words_of_the_corpus():
    texts = corpus()
    tokenizer = WordPieceTokenizer(learn_vocabulary(texts, 500))
    rows = tokenizer.tokenize(texts).to_list()
    unknown = sum(row.count(1) for row in rows)
    assert unknown == 0
    letters = sum(len(text.replace(" ", "")) for text in texts)
    assert letters / sum(map(len, rows)) > 4


def test_once_seen_pieces_are_not_learnt():
    vocabulary = learn_vocabulary(["seldom seldom unique"], 100)
    assert "seldom" in vocabulary
    assert "unique" not in vocabulary


def test_a_size_below_the_words_of_equal_count_is_kept_to():
    words = ["".join(pair) for pair in zip("abcdefgh" * 8, SYLLABLES * 6, strict=False)]
    assert len(learn_vocabulary([" ".join(words)] * 9, 32)) <= 32


def test_case_is_kept_unless_lowercase():
    texts = ["Zoë sees Zoë"] * 3
    assert "Zoë" in learn_vocabulary(texts, 60)
    lowercase = learn_vocabulary(texts, 60, lowercase=True)
    assert "zoe" in lowercase
    assert not any("Z" in token for token in lowercase[2:])


def test_takes_a_stripe_from_the_middle_of_long_documents():
    long = "edge " * 1000 + "middle " * 1000 + "edge " * 1000
    vocabulary = learn_vocabulary([long, "short short short"], 100, max_bytes=2000)
    assert "middle" in vocabulary and "short" in vocabulary
    assert "edge" not in vocabulary


def test_long_documents_share_the_bytes_evenly():
    long = "edge " * 200 + "middle " * 100 + "edge " * 200
    vocabulary = learn_vocabulary([long, long], 100, max_bytes=1200)
    assert "middle" in vocabulary and "edge" not in vocabulary
    assert "edge" in learn_vocabulary([long, long], 100, max_bytes=1800)


def test_cuts_of_the_stripe_do_not_break_characters():
    vocabulary = learn_vocabulary(["é" * 40 + " é é"] * 2, 16, max_bytes=33)
    assert not any("\N{REPLACEMENT CHARACTER}" in token for token in vocabulary)
    assert "é" in vocabulary


@pytest.mark.parametrize(
    "text",
    [
        "ACGT" * 1000,
        "ปัญญาประดิษฐ์เป็นสาขาหนึ่งของวิทยาการคอมพิวเตอร์ที่ศึกษาเกี่ยวกับการสร้างเครื่องจักร" * 5,
        "人工智能是计算机科学的一个分支。它企图了解智能的实质" * 5,
        "so long so far " * 9 + "x" * 20_000,
    ],
    ids=["dna", "thai", "chinese", "line"],
)
def test_text_without_spaces_is_learnt_and_spelt(text):
    tokenizer = WordPieceTokenizer(learn_vocabulary([text], 300))
    assert tokenizer.unknown_share([text]) == 0


# No-break, narrow and ideographic spaces, and separators of lines and paragraphs.
@pytest.mark.parametrize("space", ["\xa0", "\u202f", "\u3000", "\u2028", "\u2029"])
def test_spaces_of_any_kind_part_words(space):
    text = f"long{space}way 5{space}% {space} so"
    vocabulary = learn_vocabulary([text] * 3, 64)
    assert {"long", "way"} <= set(vocabulary)
    tokenizer = WordPieceTokenizer(vocabulary)
    expected = tokenizer.tokenize([text.replace(space, " ")])
    assert tokenizer.tokenize([text]).to_list() == expected.to_list()


def test_long_distinct_words_do_not_cost_more_than_short_ones(monkeypatch):
    monkeypatch.setattr(vocabulary_module, "_DISTINCT_WORDS", 0)
    given = []
    monkeypatch.setattr(
        vocabulary_module, "_learn_at_most", lambda words, _: given.append(words) or "a"
    )
    generator = random.Random(0)
    for length, expected in ((8, 1500), (40, 35)):
        words = ["".join(generator.choices("abcdef", k=length)) for _ in range(2000)]
        learn_vocabulary([" ".join(words)], 1000)
        assert len(given[-1]) == expected


def test_dataset_and_list_give_the_same():
    texts = corpus()
    dataset = tf.data.Dataset.from_tensor_slices(texts)
    assert learn_vocabulary(dataset, 150) == learn_vocabulary(texts, 150)


def test_words_of_equal_count_are_taken_in_any_order_of_documents(monkeypatch):
    monkeypatch.setattr(vocabulary_module, "_DISTINCT_WORDS", 0)
    words = [
        first + second + third
        for first in SYLLABLES[:6]
        for second in SYLLABLES
        for third in SYLLABLES[6:]
    ]
    assert len(words) > 2 * 96
    learnt = learn_vocabulary(words * 2, 64)
    assert learnt == learn_vocabulary(words[::-1] * 2, 64)


@pytest.mark.slow
def test_is_the_same_in_another_process_and_order():
    texts = corpus()
    script = (
        "import json, sys; from keras_performer.text import learn_vocabulary;"
        "print(json.dumps(learn_vocabulary(json.load(sys.stdin), 150)))"
    )
    process = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps(texts[::-1]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout) == learn_vocabulary(texts, 150)


def test_refuses_bad_arguments():
    with pytest.raises(ValueError, match="vocabulary_size=3"):
        learn_vocabulary(corpus(), 3)
    with pytest.raises(ValueError, match="max_bytes=0"):
        learn_vocabulary(corpus(), 100, max_bytes=0)
    with pytest.raises(ValueError, match="no word"):
        learn_vocabulary(["", "  "], 100)
    with pytest.raises(ValueError, match=r"no word.*--tokenizer bytes"):
        learn_vocabulary([], 100)
    with pytest.raises(ValueError, match=r"can spell a word.*--tokenizer bytes"):
        learn_vocabulary(["abcdefgh bcdefgha"], 16)
    pairs = tf.data.Dataset.from_tensor_slices((["a"], [0]))
    with pytest.raises(ValueError, match=r"dataset.map"):
        learn_vocabulary(pairs, 100)


def test_saves_one_token_a_line(tmp_path):
    path = tmp_path / "vocabulary.txt"
    save_vocabulary(["[PAD]", "[UNK]", "é", "##s"], path)
    assert path.read_bytes() == "[PAD]\n[UNK]\né\n##s\n".encode()
    assert load_vocabulary(path) == ["[PAD]", "[UNK]", "é", "##s"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["vocabulary.txt"]


def test_a_vocabulary_that_is_refused_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "vocabulary.txt"
    save_vocabulary(["[PAD]", "[UNK]", "a"], path)
    before = hashlib.sha256(path.read_bytes()).digest()
    with pytest.raises(ValueError, match="Token 2 of the vocabulary is 'a b'"):
        save_vocabulary(["[PAD]", "[UNK]", "a b"], path)
    assert hashlib.sha256(path.read_bytes()).digest() == before


def test_a_learnt_vocabulary_survives_its_file(tmp_path):
    vocabulary = learn_vocabulary(corpus(), 200)
    save_vocabulary(vocabulary, tmp_path / "vocabulary.txt")
    assert load_vocabulary(tmp_path / "vocabulary.txt") == vocabulary


def test_loads_files_with_carriage_returns(tmp_path):
    (tmp_path / "vocabulary.txt").write_bytes(b"[PAD]\r\n[UNK]\r\na")
    assert load_vocabulary(tmp_path / "vocabulary.txt") == ["[PAD]", "[UNK]", "a"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "Token 0"),
        (b"[UNK]\na\n", r"'\[PAD\]' first"),
        (b"[PAD]\na\n", r"'\[UNK\]' among"),
        (b"[PAD]\n[UNK]\na\na\n", "'a'.* more than once"),
        (b"[PAD]\n[UNK]\n\na\n", "Token 2"),
        (b"[PAD]\n[UNK]\n\xff\n", "not UTF-8"),
    ],
)
def test_a_bad_file_is_named(tmp_path, content, message):
    path = tmp_path / "vocabulary.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as raised:
        load_vocabulary(path)
    assert str(path) in str(raised.value)


def test_a_file_name_is_not_a_vocabulary():
    with pytest.raises(ValueError, match="load_vocabulary"):
        WordPieceTokenizer("vocabulary.txt")
