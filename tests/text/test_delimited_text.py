"""Tables of separated values, good and bad."""

import csv

import pytest
from test_json_lines import TEXTS

from keras_performer.text import find_documents


def texts_of(documents):
    return [documents.read(index).decode() for index in range(len(documents))]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(("delimiter", "ending"), [(",", "csv"), ("\t", "tsv")])
def test_any_text_is_read_again_as_it_was(tmp_path, delimiter, ending, end):
    texts = [*TEXTS, "a\nb\n\nc", '"', '""', "a,b\tc;d", "old\rMac"]
    path = tmp_path / f"a.{ending}"
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator=end)
        writer.writerow(["id", "label", "text"])
        file.write(end)
        for index, text in enumerate(texts):
            if "\r" in text:  # the writer leaves some unquoted that have to be
                text = text.replace('"', '""')
                file.write(f'{index}{delimiter}x{delimiter}"{text}"{end}')
            else:
                writer.writerow([index, f"l{index % 2}", text])
    if "\0" in path.read_text(encoding="utf-8") and csv_refuses_nul():
        pytest.skip("csv of Python 3.10 has no NUL")
    documents = find_documents(path)
    assert texts_of(documents) == texts
    streamed = documents.dataset().as_numpy_iterator()
    assert [text.decode() for text, _ in streamed] == texts
    # Rows are named by the line at which they begin: "a\nb\n\nc" has four.
    lines = [int(documents.name(i).rpartition(":")[2]) for i in range(len(documents))]
    assert lines[0] == 3 and lines[9] - lines[8] == 4


def csv_refuses_nul():
    try:
        next(csv.reader(["\0"]))
    except csv.Error:
        return True
    return False


def test_a_field_larger_than_the_limit_of_csv(tmp_path):
    limit = csv.field_size_limit()
    large = "x" * 200_000
    (tmp_path / "a.csv").write_text(f"text,label\n{large},a\ny,b\n")
    try:
        csv.field_size_limit(131_072)
        documents = find_documents(tmp_path / "a.csv")
        assert documents.size(0) == 200_000
        assert documents.read(0).decode() == large
    finally:
        csv.field_size_limit(limit)
    with pytest.raises(ValueError, match="line 2 has a text of 200000 bytes"):
        find_documents(tmp_path / "a.csv", max_bytes=199_999)


@pytest.mark.parametrize("delimiter", ",\t;|")
def test_the_separator_is_the_one_that_finds_the_columns(tmp_path, delimiter):
    rows = [["text", "label", "a,b"], ["x, y", "1", "0"], ["z; w", "2", "0"]]
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    documents = find_documents(tmp_path / "a.csv")
    assert (texts_of(documents), documents.labels) == (["x, y", "z; w"], ("1", "2"))


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("body,label\nx,a\n", r"line 1 has no column 'text'. It has 'body', 'label'\."),
        ("text;class\nx;a\n", "line 1 has no column 'label'. It has 'text', 'class'"),
        ("text,label,text\n", "column 'text' more than once"),
        ("", "line 1 does not name the columns"),
        ("\n\n", "line 1 does not name the columns"),
        ("text,label\n", "has no documents: 0 rows"),
        ("text,label\nx,a\n,b\n", None),
        ("text,label\nx,a\ny\n", "line 3 has 1 fields, and the first line has 2"),
        ("text,label\nx,a\ny, z,b\n", "line 3 has 3 fields"),
        ('text,label\nx,a\n"y,b\nz,b\n', "line 3 cannot be read: .*end.* at line 4"),
        ('text,label\nx,a\n"y" z,b\n', "line 3 cannot be read: .* expected after"),
        ("text,label\nx,a\ny,\n", "line 3 has no label"),
        ("text,label\nx,a\nold\rMac,b\n", "line 3 cannot be read: new-line"),
    ],
)
def test_a_bad_row_is_named(tmp_path, content, match):
    (tmp_path / "a.csv").write_bytes(content.encode())
    if match is None:
        with (
            pytest.warns(UserWarning, match="1 rows"),
            pytest.raises(ValueError, match="one label, 'a'"),
        ):
            find_documents(tmp_path / "a.csv")
        return
    with pytest.raises(ValueError, match=match) as raised:
        find_documents(tmp_path / "a.csv")
    assert str(tmp_path / "a.csv") in str(raised.value)
