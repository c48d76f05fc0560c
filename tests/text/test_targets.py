"""Labels of tables: one class, several, or a number; what is refused, and the split."""

import json

import numpy as np
import pytest

from keras_performer.text import (
    ByteTokenizer,
    DocumentBatches,
    find_documents,
    find_train_test,
    tokenize_each,
    train_test_split,
)


def write_rows(path, *labels):
    rows = [{"text": f"text {i}", "label": label} for i, label in enumerate(labels)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_lists_of_labels(tmp_path):
    path = write_rows(tmp_path / "a.jsonl", ["sea", "war"], [], None, [" war ", 3])
    documents = find_documents(path, problem="multi_label")
    assert documents.labels == ("3", "sea", "war")
    assert documents.label_ids == ((1, 2), (), (), (0, 2))
    expected = [[0, 1, 1], [0, 0, 0], [0, 0, 0], [1, 0, 1]]
    assert documents.targets.tolist() == expected
    rows = [row.tolist() for _, row in documents.dataset().as_numpy_iterator()]
    assert rows == expected


def test_labels_in_a_string(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label\na,sea|war\nb,\nc, war || sea|war\n")
    documents = find_documents(path, problem="multi_label", label_separator="|")
    assert documents.labels == ("sea", "war")
    assert documents.label_ids == ((0, 1), (), (0, 1))


def test_lists_of_a_parquet_file(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table({"text": ["a", "b"], "label": [["sea"], []]})
    parquet.write_table(table, tmp_path / "a.parquet")
    documents = find_documents(tmp_path / "a.parquet", problem="multi_label")
    assert documents.label_ids == ((0,), ())


def test_numbers(tmp_path):
    path = write_rows(tmp_path / "a.jsonl", 3, -0.5, " 1e3 ")
    documents = find_documents(path, problem="regression")
    assert (documents.labels, documents.label_ids) == ((), (3.0, -0.5, 1000.0))
    assert documents.targets.tolist() == [[3.0], [-0.5], [1000.0]]
    assert documents.targets.dtype == np.float32


@pytest.mark.parametrize(
    ("problem", "label", "message"),
    [
        ("single_label", ["a"], r"line 2: 'label' is .*problem='multi_label'"),
        ("multi_label", "a|b", r"line 2: .*'a\|b'.*label_separator"),
        ("multi_label", 3, "line 2: 'label' is '3', of type int.*list of labels"),
        ("multi_label", [["a"]], "line 2: .*of type list.*name of one class"),
        ("regression", "many", "line 2: 'label' is 'many'.*finite number"),
        ("regression", None, "line 2: 'label' is 'None'.*finite number"),
        ("regression", True, "line 2: 'label' is 'True'.*finite number"),
        ("regression", float("nan"), "line 2: 'label' is 'nan'.*finite number"),
    ],
)
def test_what_a_cell_may_not_hold(tmp_path, problem, label, message):
    first = {"single_label": "a", "multi_label": ["a"], "regression": 1}[problem]
    path = write_rows(tmp_path / "a.jsonl", first, label)
    with pytest.raises(ValueError, match=message):
        find_documents(path, problem=problem)


def test_other_labels_than_those_of_the_training(tmp_path):
    path = write_rows(tmp_path / "a.jsonl", ["sea"], ["war"])
    with pytest.raises(ValueError, match=r"labels \['war'\], which are none"):
        find_documents(path, ["sea"], problem="multi_label")
    nothing = write_rows(tmp_path / "b.jsonl", [], [])
    with pytest.raises(ValueError, match=r"has no labels\. Expected at least one"):
        find_documents(nothing, problem="multi_label")


@pytest.mark.parametrize("problem", ["multi_label", "regression"])
def test_folders_have_one_class_a_file(tmp_path, problem):
    (tmp_path / "sea").mkdir()
    (tmp_path / "sea" / "1.txt").write_text("a")
    with pytest.raises(ValueError, match=rf"problem='{problem}'.* no table"):
        find_documents(tmp_path, problem=problem)


@pytest.mark.parametrize(
    "arguments",
    [
        {"problem": "ranking"},
        {"problem": "regression", "label_separator": "|"},
        {"problem": "multi_label", "label_separator": ""},
    ],
)
def test_no_such_problem(tmp_path, arguments):
    path = write_rows(tmp_path / "a.jsonl", 1, 2)
    with pytest.raises(ValueError, match=r"`problem` must be|`label_separator` must"):
        find_documents(path, **arguments)


def test_texts_without_labels(tmp_path):
    (tmp_path / "files" / "deep").mkdir(parents=True)
    for name in ("b.txt", "deep/a.txt"):
        (tmp_path / "files" / name).write_text(name)
    table = tmp_path / "t.csv"
    table.write_text("id,text\n1,one\n2,two\n")
    for data in (tmp_path / "files", table):
        train, test = find_train_test(data, problem="unlabelled")
        assert (len(train), len(test), train.labels) == (2, 0, ())
        assert train.targets.tolist() == [0, 0]
        kept, held = train_test_split(train, 0.5)
        assert {*kept.paths, *held.paths} == {*train.paths}
        assert len([*train.dataset()]) == 2
    table.write_text("split,text\ntrain,one\ntest,two\n")
    train, test = find_train_test(table, problem="unlabelled")
    assert (train.read(0), test.read(0)) == (b"one", b"two")
    with pytest.raises(ValueError, match=r"The folder .*/empty has no documents"):
        (tmp_path / "empty").mkdir()
        find_documents(tmp_path / "empty", problem="unlabelled")


def test_a_share_of_all_is_held_out(tmp_path):
    path = write_rows(tmp_path / "a.jsonl", *range(20))
    train, test = find_train_test(path, problem="regression")
    assert (len(train), len(test)) == (16, 4)
    assert train.problem == test.problem == "regression"
    assert set(train.label_ids) | set(test.label_ids) == set(range(20))
    alone = write_rows(tmp_path / "b.jsonl", 1)
    with pytest.raises(ValueError, match="The table has one document"):
        find_train_test(alone, problem="regression")


def test_batches_have_rows_of_targets(tmp_path):
    path = write_rows(tmp_path / "a.jsonl", ["sea"], ["war", "sea"], [])
    documents = find_documents(path, problem="multi_label")
    arrays = tokenize_each(documents, ByteTokenizer())
    batches = DocumentBatches(arrays, documents.targets, 64, 256, seed=0)
    [(_, targets)] = batches.dataset().take(1)
    assert targets.dtype == "float32"
    assert sorted(targets.numpy().tolist()) == [[0, 0], [1, 0], [1, 1]]
