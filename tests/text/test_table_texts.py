"""Documents that are rows of tables: compressed, labelled, split, held out."""

import bz2
import contextlib
import gc
import gzip
import json
import lzma
import os
import pathlib

import numpy as np
import pytest
from test_json_lines import TWO, doc, write

from keras_performer.text import (
    ByteTokenizer,
    find_documents,
    find_train_test,
    tokenize_each,
    train_test_split,
)


def texts_of(documents):
    return [documents.read(index).decode() for index in range(len(documents))]


@pytest.mark.parametrize("module", [gzip, lzma, bz2])
def test_compressed_tables_are_read_as_plain_ones(tmp_path, module):
    ending = {gzip: ".gz", lzma: ".xz", bz2: ".bz2"}[module]
    plain = write(tmp_path / "a.jsonl", *TWO)
    packed = tmp_path / f"a.jsonl{ending}"
    packed.write_bytes(module.compress(plain.read_bytes()))
    documents = find_documents(packed)
    assert texts_of(documents) == ["one", "two"]
    assert documents.name(1) == f"{packed}:2"
    packed.unlink()  # the texts are elsewhere
    assert texts_of(documents) == ["one", "two"]

    packed.write_bytes(module.compress(os.urandom(10_000))[:5000])
    with pytest.raises(ValueError, match="not compressed as its ending says, or is"):
        find_documents(packed)
    packed.write_bytes(plain.read_bytes())
    with pytest.raises(ValueError, match="not compressed as its ending says, or is"):
        find_documents(packed)
    packed.rename(tmp_path / "b.jsonl")
    (tmp_path / "b.jsonl").write_bytes(module.compress(plain.read_bytes()))
    with pytest.raises(ValueError, match=r"b.jsonl looks like a.*\.gz, \.xz, \.bz2"):
        find_documents(tmp_path / "b.jsonl")


def open_files():
    """Pairs of a descriptor and the file that it is of."""
    found = set()
    for path in pathlib.Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # that of the folder itself
            found.add((path.name, str(path.readlink())))
    return found


def test_files_are_closed_when_their_documents_go(tmp_path):
    plain = write(tmp_path / "a.jsonl", *TWO)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(plain.read_bytes()))
    gc.collect()
    before = open_files()
    documents = [find_documents(path) for path in tmp_path.iterdir()]
    opened = open_files() - before
    assert len(opened) == 2
    del documents
    gc.collect()
    assert opened.isdisjoint(open_files())


def test_labels_of_any_type_are_names(tmp_path):
    labels = [1, "1", 1.0, True, "true", " 1 ", 0.5, False]
    rows = [doc(str(index), label) for index, label in enumerate(labels)]
    documents = find_documents(write(tmp_path / "a.jsonl", *rows))
    assert documents.labels == ("0.5", "1", "false", "true")
    assert documents.label_ids == (1, 1, 1, 3, 3, 1, 0, 2)


def test_texts_of_whitespace_are_left_out_with_one_warning(tmp_path):
    empty = [doc(t) for t in ("", " \n", None, "\u2003", "\t")] + [{"text": ""}]
    path = write(tmp_path / "a.jsonl", *TWO, *empty)
    with pytest.warns(UserWarning) as warned:
        documents = find_documents(path)
    assert texts_of(documents) == ["one", "two"]
    [warning] = warned
    assert "6 rows" in str(warning.message) and f"{path}:5, ..." in str(warning.message)
    assert warning.filename == __file__
    write(path, *empty)
    with pytest.raises(ValueError, match="no documents: 6 rows, none with text"):
        find_documents(path)


def test_classes_that_are_too_few_or_unknown(tmp_path):
    path = write(tmp_path / "a.jsonl", *TWO)
    with pytest.raises(ValueError, match=r"labels \['b'\], .* known labels \['a'\]"):
        find_documents(path, labels=["a"])
    assert find_documents(path, labels=["c", "b", "a"]).label_ids == (2, 1)
    with pytest.raises(ValueError, match="one label, 'a'"):
        find_documents(write(path, doc("x"), doc("y")))


def test_a_text_larger_than_the_limit(tmp_path):
    path = write(tmp_path / "a.jsonl", *TWO, doc("é" * 6))
    with pytest.raises(ValueError, match=r"line 3 has a text of 12 .*max_bytes=11"):
        find_documents(path, max_bytes=11)
    assert len(find_documents(path, max_bytes=12)) == 3


def test_a_file_that_is_no_table(tmp_path):
    for name in ("a.txt", "a.gz", "jsonl", "a.xlsx", "a.jsonl.zip"):
        (tmp_path / name).write_text("x")
        with pytest.raises(ValueError, match=rf"{name} is no table .*\.jsonl.*\.gz"):
            find_documents(tmp_path / name)


def table(count, twice=()):
    texts = [*range(count), *twice]
    return [doc(f"text {i}", "ab"[i % 2]) for i in texts]


def test_what_is_held_out_follows_from_the_texts(tmp_path):
    path = write(tmp_path / "a.jsonl", *table(60))
    train, test = find_train_test(path, fraction=0.2)
    assert (len(train), len(test)) == (48, 12)
    assert [test.label_ids.count(label) for label in (0, 1)] == [6, 6]
    assert sorted(texts_of(train) + texts_of(test)) == sorted(
        row["text"] for row in table(60)
    )
    # In another order, place and format, and with rows before: the same ones.
    rows = table(60)[::-1]
    lines = ["text,label", *(f"{row['text']},{row['label']}" for row in rows)]
    (tmp_path / "b.csv").write_text("\n".join(lines))
    _, again = find_train_test(tmp_path / "b.csv", fraction=0.2)
    assert sorted(texts_of(again)) == sorted(texts_of(test))
    _, other = find_train_test(path, fraction=0.2, seed=1)
    assert texts_of(other) != texts_of(test)


def test_a_text_that_is_there_twice_is_on_one_side(tmp_path):
    path = write(tmp_path / "a.jsonl", *table(40, twice=[*range(40), *range(0, 40, 3)]))
    for fraction in (0.05, 0.2, 0.5, 0.9):
        train, test = find_train_test(path, fraction)
        assert set(texts_of(train)).isdisjoint(texts_of(test))
        assert abs(len(test) - fraction * (len(train) + len(test))) <= 4
    write(path, *table(2, twice=[0, 0, 1, 1]))
    with pytest.raises(ValueError, match=r"'a' has one document, .*jsonl:1, 3 times"):
        train_test_split(find_documents(path), 0.5)


def test_a_column_says_what_to_test_on(tmp_path):
    rows = [{**row, "split": "train"} for row in table(6)]
    rows += [{**row, "split": "test"} for row in table(3)]
    path = write(tmp_path / "a.jsonl", *rows)
    train, test = find_train_test(path)
    assert (len(train), len(test)) == (6, 3)
    assert test.name(0) == f"{path}:7" and train.labels == test.labels
    assert len(find_documents(path)) == 9

    write(path, *rows, {**doc("x"), "split": "validation"})
    with pytest.warns(UserWarning, match="1 rows .* {'validation': 1}") as warned:
        assert list(map(len, find_train_test(path))) == [6, 3]
    assert warned[0].filename == __file__
    for bad, match in (
        (rows[:6], r"has {'train': 6}. Expected rows of both"),
        ([{**row, "split": "banana"} for row in rows], "has {'banana': 9}"),
        ([*rows, doc("x")], "in some rows alone"),
    ):
        with pytest.raises(ValueError, match=match):
            find_train_test(write(path, *bad))


def test_tables_may_be_the_halves(tmp_path):
    write(tmp_path / "train.jsonl", *table(6))
    (tmp_path / "README.md").write_text("beside them")
    with pytest.raises(ValueError, match=r"file .*train.jsonl without its counterpart"):
        find_train_test(tmp_path)
    (tmp_path / "test.csv.gz").write_bytes(gzip.compress(b"label,text\nb,two"))
    train, test = find_train_test(tmp_path)
    assert (len(train), texts_of(test), test.label_ids) == (6, ["two"], (1,))
    # The file itself is a table of which a part is held out.
    assert list(map(len, find_train_test(tmp_path / "train.jsonl"))) == [4, 2]
    (tmp_path / "test").mkdir()
    with pytest.raises(ValueError, match=r"both .*test and .*test.csv.gz"):
        find_train_test(tmp_path)


def test_tables_may_be_in_parts(tmp_path):
    for part in (1, 0):
        write(tmp_path / f"train-0000{part}-of-00002.jsonl", *table(6)[part::2])
    write(tmp_path / "test-00000-of-00001.jsonl", doc("x", "b"))
    train, test = find_train_test(tmp_path)
    assert texts_of(train) == [f"text {i}" for i in (0, 2, 4, 1, 3, 5)]
    assert train.name(3) == f"{tmp_path}/train-00001-of-00002.jsonl:1"
    assert (train.size(3), train.label_ids) == (6, (0, 0, 0, 1, 1, 1))
    assert (texts_of(test), test.label_ids) == (["x"], (1,))


def test_a_folder_of_tables_is_all_their_rows(tmp_path):
    write(tmp_path / "b.jsonl", *table(20)[10:], doc(" "))
    write(tmp_path / "a.jsonl", *table(20)[:10])
    (tmp_path / "README.md").write_text("beside them")
    with pytest.warns(UserWarning, match=r"1 rows in .*b.jsonl:11"):
        documents = find_documents(tmp_path)
    assert texts_of(documents) == [row["text"] for row in table(20)]
    whole = find_documents(write(tmp_path / "whole.json", *table(20)))
    (tmp_path / "whole.json").unlink()
    held = train_test_split(documents, 0.2)[1]
    assert texts_of(held) == texts_of(train_test_split(whole, 0.2)[1])
    (tmp_path / "c.csv").write_text("text,class\nx,y\n")
    with pytest.raises(ValueError, match=r"c.csv, line 1 has no column 'label'"):
        find_train_test(tmp_path)


def test_rows_are_tokenized_as_files_are(tmp_path):
    documents = find_documents(write(tmp_path / "a.jsonl", *TWO, doc("\0x\0")))
    ids = [ids - 1 for ids in tokenize_each(documents, ByteTokenizer())]
    assert [np.uint8(row).tobytes() for row in ids] == [b"one", b"two", b"\0x\0"]


def test_json_is_read_from_a_folder_of_files_too(tmp_path):
    for label in "ab":
        (tmp_path / label).mkdir()
        (tmp_path / label / "1.json").write_text(json.dumps([label]))
    assert texts_of(find_documents(tmp_path)) == ['["a"]', '["b"]']
