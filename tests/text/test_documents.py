"""Folders of documents, good and bad."""

import os
import pathlib

import pytest

from keras_performer import text as text_package
from keras_performer.text import (
    Documents,
    find_documents,
    find_train_test,
    train_test_split,
)


def write_tree(root, tree):
    for name, content in tree.items():
        path = root / name
        if isinstance(content, dict):
            path.mkdir(parents=True, exist_ok=True)
            write_tree(path, content)
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content, encoding="utf-8")
    return root


def numbered(count, text="some text"):
    return {f"{index}.txt": text for index in range(count)}


def names(documents, root):
    return [pathlib.Path(path).relative_to(root).as_posix() for path in documents.paths]


def test_the_layout_is_that_of_text_dataset_from_directory(tmp_path):
    write_tree(
        tmp_path,
        {
            "verse": {"b.md": "b", "a": "a", "deep": {"er": {"c.txt": "c"}}},
            "prose": {"z.py": "z", ".hidden": b"\xff", ".git": {"x": b"\xff"}},
            ".cache": {"x.txt": "x"},
            "README": "beside the classes",
        },
    )
    documents = find_documents(tmp_path)
    assert documents.labels == ("prose", "verse")
    assert names(documents, tmp_path) == [
        "prose/z.py",
        "verse/a",
        "verse/b.md",
        "verse/deep/er/c.txt",
    ]
    assert documents.label_ids == (0, 1, 1, 1)
    assert len(documents) == 4


def test_class_folders_and_files_may_be_links(tmp_path):
    write_tree(tmp_path, {"data": {"a": {}, "b": {"1": "x"}}, "else": {"f": "y"}})
    (tmp_path / "data" / "c").symlink_to(tmp_path / "else")
    (tmp_path / "data" / "a" / "g").symlink_to(tmp_path / "else" / "f")
    documents = find_documents(tmp_path / "data")
    assert names(documents, tmp_path / "data") == ["a/g", "b/1", "c/f"]


def test_the_dataset_streams_texts_and_labels_in_order(tmp_path):
    write_tree(tmp_path, {"a": {"1": "é\n", "2": "two"}, "b": {"3": "three"}})
    pairs = list(find_documents(tmp_path).dataset().as_numpy_iterator())
    expected = [("é\n".encode(), 0), (b"two", 0), (b"three", 1)]
    assert [(text, int(label)) for text, label in pairs] == expected
    assert all(label.dtype == "int32" for _, label in pairs)


def test_names_that_are_not_utf8_can_be_read(tmp_path):
    write_tree(tmp_path, {"a": numbered(1), "b": {}})
    with open(os.path.join(os.fsencode(tmp_path), b"b", b"\xff.txt"), "wb") as file:
        file.write(b"text")
    pairs = list(find_documents(tmp_path).dataset().as_numpy_iterator())
    assert pairs[1][0] == b"text"


def test_documents_cannot_change():
    documents = Documents(("p",), (0,), ("a",))
    with pytest.raises(AttributeError):
        documents.paths = ()


def test_given_labels_set_the_ids(tmp_path):
    write_tree(tmp_path, {"b": numbered(1)})
    documents = find_documents(tmp_path, labels=("a", "b", "c"))
    assert documents.labels == ("a", "b", "c")
    assert documents.label_ids == (1,)


def test_a_class_that_is_not_in_the_labels(tmp_path):
    write_tree(tmp_path, {"a": numbered(1), "b": numbered(1)})
    with pytest.raises(ValueError, match=r"\['b'\].* known labels \['a', 'c'\]"):
        find_documents(tmp_path, labels=["a", "c"])


def test_a_missing_folder(tmp_path):
    with pytest.raises(ValueError, match="missing cannot be read") as raised:
        find_documents(tmp_path / "missing")
    assert isinstance(raised.value.__cause__, FileNotFoundError)


def test_a_file_for_a_folder(tmp_path):
    write_tree(tmp_path, {"file": "text"})
    with pytest.raises(ValueError, match="one subfolder a class"):
        find_documents(tmp_path / "file")


@pytest.mark.parametrize("tree", [{}, {"a.txt": "no class"}, {".hidden": {"1": "x"}}])
def test_a_folder_without_classes(tmp_path, tree):
    with pytest.raises(ValueError, match="no class folders"):
        find_documents(write_tree(tmp_path, tree))


def test_one_class(tmp_path):
    write_tree(tmp_path, {"only": numbered(3)})
    with pytest.raises(ValueError, match=r"one class folder, 'only'.* at least two"):
        find_documents(tmp_path)


@pytest.mark.parametrize("content", [{}, {".x": "hidden"}, {"1": " \n", "2": ""}])
def test_a_class_without_documents(tmp_path, content):
    write_tree(tmp_path, {"a": numbered(1), "b": content})
    with pytest.raises(ValueError, match="b has no documents"):
        find_documents(tmp_path)


def test_files_without_text_are_left_out_with_one_warning(tmp_path):
    empty = {"e1": "", "e2": " \n\t", "e3": "\u2003", "e4": "\n"}
    write_tree(tmp_path, {"a": {"1": "x", **empty}, "b": {"2": "y", "e5": ""}})
    with pytest.warns(UserWarning) as warned:
        documents = find_documents(tmp_path)
    assert names(documents, tmp_path) == ["a/1", "b/2"]
    [warning] = warned
    assert "5 files" in str(warning.message)
    assert str(tmp_path / "a" / "e1") in str(warning.message)
    assert "e4" not in str(warning.message)
    assert warning.filename == __file__


def test_text_far_behind_whitespace_is_text(tmp_path):
    spaces = " " * (2**20 - 1)
    write_tree(tmp_path, {"a": {"1": spaces + "\u2003" * 9 + "x"}, "b": numbered(1)})
    assert len(find_documents(tmp_path)) == 2


def test_whitespace_cut_between_two_reads_is_whitespace(tmp_path):
    spaces = " " * (2**20 - 1) + "\u2003"
    write_tree(tmp_path, {"a": {"0": spaces, "1": "x"}, "b": numbered(1)})
    with pytest.warns(UserWarning, match="1 files"):
        assert len(find_documents(tmp_path)) == 2


@pytest.mark.parametrize(
    ("content", "offset"),
    [
        (b"\xff", 0),
        (b"abc\xe9def", 3),
        (b"a" * (2**20) + b"\xff", 2**20),
        (b"a" * (2**20 - 1) + b"\xc3(", 2**20 - 1),
        (b"a" * (2**20 - 2) + "\u20ac".encode() + b"b\xff", 2**20 + 2),
        (b"abc\xe2\x82", 3),
        (b"a" * (2**20 - 1) + b"\xe2", 2**20 - 1),
    ],
)
def test_an_undecodable_file_is_named_with_the_offset(tmp_path, content, offset):
    write_tree(tmp_path, {"a": {"bad.txt": content}, "b": numbered(1)})
    with pytest.raises(ValueError, match=f"at byte {offset}\\. Convert it") as raised:
        find_documents(tmp_path)
    assert type(raised.value) is ValueError
    assert str(tmp_path / "a" / "bad.txt") in str(raised.value)


@pytest.mark.parametrize("text", ["naïve café", "plain words", "при вет"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-16-le", "utf-16-be"])
def test_wide_encodings_are_named(tmp_path, encoding, text):
    write_tree(tmp_path, {"a": {"bad.txt": text.encode(encoding)}, "b": numbered(1)})
    found = encoding.upper().replace("-LE", "LE").replace("-BE", "BE")
    with pytest.raises(ValueError, match=rf"bad.txt is not .* -f {found} -t UTF-8"):
        find_documents(tmp_path)


def test_a_byte_order_mark_is_no_text(tmp_path):
    marked = {"1": "é".encode("utf-8-sig"), "2": "x"}
    write_tree(tmp_path, {"a": marked, "b": {"1": "é", "2": "".encode("utf-8-sig")}})
    with pytest.warns(UserWarning, match="1 files .* no text"):
        documents = find_documents(tmp_path)
    texts = [text.decode() for text, _ in documents.dataset().as_numpy_iterator()]
    assert texts == ["é", "x", "é"]


def test_one_zero_byte_in_a_text_is_kept(tmp_path):
    write_tree(tmp_path, {"a": {"1": "x" * 200 + "\0"}, "b": numbered(1)})
    assert len(find_documents(tmp_path)) == 2


def test_a_file_larger_than_the_limit(tmp_path):
    write_tree(tmp_path, {"a": {"big": "x" * 11}, "b": {"fits": "x" * 10}})
    with pytest.raises(ValueError, match=r"big has 11 bytes.* max_bytes=10"):
        find_documents(tmp_path, max_bytes=10)
    assert len(find_documents(tmp_path, max_bytes=11)) == 2


def test_a_limit_that_is_none(tmp_path):
    with pytest.raises(ValueError, match="max_bytes=0"):
        find_documents(tmp_path, max_bytes=0)


def test_an_unreadable_file(tmp_path):
    write_tree(tmp_path, {"a": numbered(1), "b": {}})
    (tmp_path / "b" / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="dangling cannot be read") as raised:
        find_documents(tmp_path)
    assert isinstance(raised.value.__cause__, OSError)


def test_a_pipe_is_not_waited_for(tmp_path):
    write_tree(tmp_path, {"a": numbered(1), "b": {}})
    os.mkfifo(tmp_path / "b" / "pipe")
    with pytest.raises(ValueError, match="pipe is no regular file"):
        find_documents(tmp_path)


def test_an_unreadable_folder(tmp_path, monkeypatch):
    write_tree(tmp_path, {"a": numbered(1), "b": {"locked": numbered(1)}})
    scandir = os.scandir

    def guarded(path):
        if os.fspath(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    with pytest.raises(ValueError, match="locked cannot be read: Permission denied"):
        find_documents(tmp_path)


def test_a_label_that_is_not_utf8(tmp_path):
    os.mkdir(os.path.join(os.fsencode(tmp_path), b"\xff"))
    with pytest.raises(ValueError, match="cannot be a label"):
        find_documents(tmp_path)


def fixed(*counts, root="/data"):
    paths = [
        f"{root}/{label}/{i}.txt"
        for label, n in zip("abc", counts, strict=False)
        for i in range(n)
    ]
    label_ids = [label_id for label_id, n in enumerate(counts) for _ in range(n)]
    return Documents(tuple(paths), tuple(label_ids), tuple("abc"[: len(counts)]))


def test_train_test_split_takes_the_same_share_of_each_class():
    documents = fixed(10, 20, 2)
    kept, held = train_test_split(documents, 0.3, seed=0)
    assert [held.label_ids.count(label_id) for label_id in range(3)] == [3, 6, 1]
    assert sorted(kept.paths + held.paths) == sorted(documents.paths)
    assert kept.labels == held.labels == documents.labels
    for part in (kept, held):
        for path, label_id in zip(part.paths, part.label_ids, strict=True):
            assert path.split("/")[-2] == part.labels[label_id]


def test_train_test_split_keeps_and_holds_at_least_one():
    for fraction in (0.01, 0.99):
        kept, held = train_test_split(fixed(2, 3), fraction)
        assert set(kept.label_ids) == set(held.label_ids) == {0, 1}


def test_train_test_split_depends_on_the_seed_and_not_on_place_or_order():
    documents = fixed(30, 30)
    kept, held = train_test_split(documents, 0.2, seed=1)
    assert (kept, held) == train_test_split(documents, 0.2, seed=1)
    assert held != train_test_split(documents, 0.2, seed=2)[1]
    _, moved = train_test_split(fixed(30, 30, root="/else/where"), 0.2, seed=1)
    assert [p[-8:] for p in moved.paths] == [p[-8:] for p in held.paths]
    backwards = Documents(
        documents.paths[::-1], documents.label_ids[::-1], documents.labels
    )
    assert train_test_split(backwards, 0.2, seed=1)[1].paths == held.paths[::-1]


def test_train_test_split_hardly_changes_when_a_file_is_added():
    _, before = train_test_split(fixed(40, 40), 0.25)
    _, after = train_test_split(fixed(41, 40), 0.25)
    assert len(set(before.paths) ^ set(after.paths)) <= 2


def test_train_test_split_needs_two_documents_of_a_class():
    with pytest.raises(ValueError, match=r"'b' has one document, /data/b/0.txt"):
        train_test_split(fixed(3, 1), 0.5)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5])
def test_train_test_split_needs_a_fraction(fraction):
    with pytest.raises(ValueError, match="fraction="):
        train_test_split(fixed(3, 3), fraction)


def test_train_and_test_folders_are_used(tmp_path):
    write_tree(
        tmp_path,
        {
            "train": {"a": numbered(2), "b": numbered(2)},
            "test": {"b": numbered(1)},
            "notes": {"x": "not read"},
        },
    )
    train, test = find_train_test(tmp_path)
    assert len(train) == 4
    assert names(test, tmp_path) == ["test/b/0.txt"]
    assert test.label_ids == (1,)
    assert train.labels == test.labels == ("a", "b")


def test_a_test_class_that_training_lacks(tmp_path):
    write_tree(
        tmp_path,
        {
            "train": {"a": numbered(2), "b": numbered(2)},
            "test": {"c": numbered(1)},
        },
    )
    with pytest.raises(ValueError, match=r"\['c'\]"):
        find_train_test(tmp_path)


def test_without_train_and_test_a_part_is_held_out(tmp_path):
    write_tree(tmp_path, {"a": numbered(8), "b": numbered(4)})
    train, test = find_train_test(tmp_path, fraction=0.25, seed=3)
    assert (train, test) == train_test_split(find_documents(tmp_path), 0.25, seed=3)
    assert (len(train), len(test)) == (9, 3)


def test_one_of_train_and_test_is_not_guessed_about(tmp_path):
    write_tree(tmp_path, {"train": {"a": numbered(2)}, "valid": {"a": numbered(2)}})
    with pytest.raises(ValueError, match="without its counterpart"):
        find_train_test(tmp_path)


def test_the_limit_holds_for_train_and_test(tmp_path):
    write_tree(tmp_path, {"train": {"a": numbered(1), "b": numbered(1)}})
    write_tree(tmp_path, {"test": {"a": {"big": "x" * 100}}})
    with pytest.raises(ValueError, match="big has 100 bytes"):
        find_train_test(tmp_path, max_bytes=50)


def test_the_old_name_of_train_test_split_warns():
    with pytest.warns(DeprecationWarning, match="hold_out. is now called .*_split"):
        assert text_package.hold_out is train_test_split
