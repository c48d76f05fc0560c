"""Tables in Parquet files, and without pyarrow."""

import sys

import pytest
from test_json_lines import TEXTS

from keras_performer.text import find_documents


@pytest.fixture(name="write")
def parquet_writer(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    def write(columns, **options):
        path = tmp_path / "a.parquet"
        parquet.write_table(pyarrow.table(columns), path, **options)
        return path

    return write


def test_any_text_is_read_again_as_it_was(write):
    texts = [*TEXTS[:4], None, "", *TEXTS[4:]]
    columns = {"id": range(10), "label": [1, 2] * 5, "text": texts}
    path = write(columns, row_group_size=3)
    with pytest.warns(UserWarning, match=r"2 rows in .*a.parquet:5, .*a.parquet:6"):
        documents = find_documents(path)
    expected = [text.encode() for text in TEXTS]
    assert [documents.read(i) for i in range(8)] == expected
    assert [t for t, _ in documents.dataset().as_numpy_iterator()] == expected
    assert (documents.labels, documents.label_ids[:5]) == (("1", "2"), (0, 1, 0, 1, 0))
    assert documents.name(4) == f"{path}:7"


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([True, False], ("false", "true")),
        ([1.0, 2.5], ("1", "2.5")),
        (["x", "y"], ("x", "y")),
    ],
)
def test_labels_of_any_type_are_names(write, labels, names):
    documents = find_documents(write({"text": ["a", "b"], "label": labels}))
    assert documents.labels == names


def test_a_missing_column_and_a_bad_row(write):
    path = write({"body": ["a", "b"], "label": ["x", None]})
    with pytest.raises(ValueError, match=r"no column 'text'\. It has 'body', 'label'"):
        find_documents(path)
    with pytest.raises(ValueError, match="row 2 has no label"):
        find_documents(path, text_column="body")
    with pytest.raises(ValueError, match="row 1: 'n' is '1', of type int"):
        find_documents(write({"n": [1, 2], "label": ["x", "y"]}), text_column="n")


def test_another_file_with_that_ending(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "a.parquet").write_text("text,label\n")
    with pytest.raises(ValueError, match=r"a.parquet cannot be read as a Parquet"):
        find_documents(tmp_path / "a.parquet")


def test_without_pyarrow_the_pip_line_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.parquet").write_text("")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"pip install .*\[parquet\]"):
        find_documents(tmp_path / "a.parquet")
