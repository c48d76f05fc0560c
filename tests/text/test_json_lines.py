"""Tables of a JSON object a line, good and bad."""

import json
import os

import pytest

from keras_performer.text import find_documents


def write(path, *rows, end="\n"):
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_bytes("".join(line + end for line in lines).encode("utf-8"))
    return path


def doc(text, label="a", **other):
    return {"text": text, "label": label, **other}


TWO = (doc("one"), doc("two", "b"))

TEXTS = [
    "naïve\r\nünïcödé",
    'say "so", {twice}',
    "nul\0inside\0",
    "no" * 50_000 + "spaces",
    "\u4e2d\u6587\U0001f40b",
    "\ufeffmarked",
    " ends in space ",
    "trailing nul\0",
]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_any_text_is_read_again_as_it_was(tmp_path, end):
    rows = [doc(text, str(index % 2)) for index, text in enumerate(TEXTS)]
    # The last line may lack its end, and characters may be escaped or not.
    lines = [json.dumps(row, ensure_ascii=bool(i % 3)) for i, row in enumerate(rows)]
    path = tmp_path / "a.jsonl"
    path.write_bytes(end.join([*lines[:3], "", " ", *lines[3:]]).encode("utf-8"))
    documents = find_documents(path)
    expected = [text.encode("utf-8") for text in TEXTS]
    assert [documents.read(i) for i in range(len(documents))] == expected
    streamed = list(documents.dataset().as_numpy_iterator())
    assert [text for text, _ in streamed] == expected
    assert [label for _, label in streamed] == [0, 1] * 4
    assert [documents.size(i) for i in range(8)] == list(map(len, expected))
    assert documents.name(3) == f"{path}:6"  # behind two blank lines


def test_a_byte_order_mark_is_no_text(tmp_path):
    path = write(tmp_path / "a.jsonl", *TWO)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    documents = find_documents(path)
    assert [documents.read(0), documents.read(1)] == [b"one", b"two"]


def test_half_a_character_becomes_the_replacement_character(tmp_path):
    half = r'{"text": "a\ud83d", "label": "\ud83d"}'
    documents = find_documents(write(tmp_path / "a.jsonl", half, *TWO))
    assert documents.read(0) == "a\ufffd".encode()
    assert documents.labels == ("a", "b", "\ufffd")


@pytest.mark.parametrize(
    ("line", "match"),
    [
        (
            '{"text": "x" "label": 1}',
            r"line 3 is no JSON: Expecting ',' .* character 14",
        ),
        ('{"text": "x', "line 3 is no JSON: "),
        ('"text"', "line 3 is '\"text\"'. Expected an object"),
        ("3", "line 3 is '3'"),
        ("[1]", "line 3 begins a JSON array"),
        ("[" * 100_000, "line 3 is no JSON that can be read"),
        ('{"text": ' + "9" * 5000 + "}", "line 3 is no JSON that can be read"),
        (
            '{"body": "x", "label": "a"}',
            "line 3 has no column 'text'. It has 'body'",
        ),
        ('{"text": "x", "class": "a"}', "line 3 has no column 'label'.*--label-column"),
        ('{"text": "x", "label": null}', "line 3 has no label"),
        ('{"text": "x", "label": " "}', "line 3 has no label"),
        ('{"text": "x", "label": NaN}', "line 3 has no label"),
        ('{"text": "x", "label": {"a": 1}}', "line 3: 'label' is .* of type dict"),
        ('{"text": 3, "label": "a"}', "line 3: 'text' is '3', of type int"),
        ('{"text": ["x"], "label": "a"}', "line 3: 'text' is .* of type list"),
        ("\x01 junk", "line 3 is no JSON"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, match):
    with pytest.raises(ValueError, match=match) as raised:
        find_documents(write(tmp_path / "a.jsonl", *TWO, line))
    assert f"{tmp_path / 'a.jsonl'}, line 3" in str(raised.value)


def test_an_array_is_not_taken_for_lines(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(TWO, indent=1))
    with pytest.raises(ValueError, match=r"line 1 begins a JSON array.*`jq -c"):
        find_documents(tmp_path / "a.json")


def test_other_encodings_are_named_with_line_and_byte(tmp_path):
    path = write(tmp_path / "a.jsonl", *TWO)
    line = '{"text": "caf\xe9", "label": "a"}'.encode("windows-1252")
    path.write_bytes(path.read_bytes() + line)
    with pytest.raises(ValueError, match=r"line 3 is not UTF-8: .* at byte 13\..*café"):
        find_documents(path)
    path.write_bytes(path.read_bytes().decode("windows-1252").encode("utf-16"))
    with pytest.raises(ValueError, match="looks like UTF-16"):
        find_documents(path)


def test_other_columns(tmp_path):
    rows = [{"body": "x", "stars": 1}, {"body": "y", "stars": 2}]
    documents = find_documents(
        write(tmp_path / "a.ndjson", *rows), text_column="body", label_column="stars"
    )
    assert documents.labels == ("1", "2")


def test_a_line_without_end_is_not_held_in_memory(tmp_path):
    path = write(tmp_path / "a.jsonl", *TWO)
    with path.open("ab") as file:
        file.write(b" " * 70_000)  # what looks like another encoding is seen before
        file.truncate(2**30)  # a gibibyte of zeros that takes no room
    with pytest.raises(ValueError, match=r"line 3 has more than 1048636 bytes.*=10\."):
        find_documents(path, max_bytes=10)


def test_a_file_that_changes_is_noticed(tmp_path):
    path = write(tmp_path / "a.jsonl", *TWO)
    documents = find_documents(path)
    data = path.read_bytes()
    for changed in (data.replace(b"one", b"  1"), b"x" * len(data), b""):
        with path.open("r+b") as file:
            os.ftruncate(file.fileno(), 0)
            file.write(changed)
        if changed == data.replace(b"one", b"  1"):
            assert documents.read(0) == b"  1"
        else:
            with pytest.raises(ValueError, match="line 1 has changed since"):
                documents.read(0)
