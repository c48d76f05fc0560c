"""FASTA files, good and bad."""

import gzip

import pytest

from keras_performer.text import FastaRecord, read_fasta


def write(folder, content, name="proteins.fasta"):
    path = folder / name
    path.write_bytes(content)
    return path


def test_a_record_is_a_header_and_its_wrapped_lines(tmp_path):
    path = write(tmp_path, b">sp|P1|A_B Some protein OX=1\nMKV\nLA\n>two\nWY\n")
    assert list(read_fasta(path)) == [
        FastaRecord("sp|P1|A_B Some protein OX=1", "MKVLA"),
        FastaRecord("two", "WY"),
    ]
    assert [record.name for record in read_fasta(path)] == ["sp|P1|A_B", "two"]


@pytest.mark.parametrize(
    "content",
    [
        b">a b\r\nMKV\r\nLA\r\n>c\r\nWY\r\n",
        b">a b\rMKV\rLA\r>c\rWY\r",
        b"\xef\xbb\xbf>a b\nMKVLA\n>c\nWY",
        b"\n\n> a b \n\nMKV\n \t\n LA \n\n>c\n\nWY\n\n",
        b">a b\nmkV\nla\n>c\nwy\n",
        b">a b\nMKV\nLA*\n>c\nWY\n*\n\n",
        b"; by hand\n>a b\n;inside\nMKV\nLA\n;\n>c\nWY\n;end",
        b">a b\nMK VLA\n>c\nW Y\n",
    ],
    ids=[
        "Windows",
        "old Macintosh",
        "byte-order mark, no last line end",
        "blank lines",
        "lower case",
        "stops",
        "comments",
        "spaces",
    ],
)
def test_ways_of_writing_are_read_alike(tmp_path, content):
    records = list(read_fasta(write(tmp_path, content)))
    assert records == [FastaRecord("a b", "MKVLA"), FastaRecord("c", "WY")]


def test_all_letters_stand_for_something(tmp_path):
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    [record] = read_fasta(write(tmp_path, f">all\n{letters}\n".encode()))
    assert record.sequence == letters


def test_reads_gzip_of_several_members(tmp_path):
    content = gzip.compress(b">a\nMK\n") + gzip.compress(b"VL\n>b\nW\n")
    path = write(tmp_path, content, "proteins.FASTA.GZ")
    assert list(read_fasta(str(path))) == [("a", "MKVL"), ("b", "W")]


def test_records_come_one_by_one(tmp_path):
    records = read_fasta(write(tmp_path, b">a\nMK\n>b\nM1\n"))
    assert next(records).sequence == "MK"
    with pytest.raises(ValueError, match="line 4"):
        next(records)


def test_a_header_that_is_not_utf8_is_no_obstacle(tmp_path):
    [record] = read_fasta(write(tmp_path, b">a d\xe9j\xe0\nMK\n"))
    assert record == ("a d\ufffdj\ufffd", "MK")
    [record] = read_fasta(write(tmp_path, ">a été\nMK\n".encode()))
    assert record.header == "a été"


@pytest.mark.parametrize(
    ("letters", "shown"),
    [
        (b"MK1", "'1'"),
        (b"M-K", "'-'"),
        (b"M.K", "'.'"),
        (b"M*K", r"'\*'"),
        (b"MK*\nL", r"'\*'"),
        (b"MK**", r"'\*'"),
        (b"MK?", r"'\?'"),
        (b"M\x00K", r"'\\x00'"),
        (b"M\xff", "'\ufffd'"),
        ("Mé".encode(), "'é'"),
        ("M\u0391".encode(), "'\u0391'"),  # the Greek capital
        ("M\u00a0K".encode(), r"'\\xa0'"),
        (b" >b", "'>'"),
    ],
)
def test_odd_letters_are_refused_with_their_place(tmp_path, letters, shown):
    path = write(tmp_path, b">fine\nMK\n\n>sp|P1|A odd\nMM\n" + letters + b"\n")
    message = rf"proteins.fasta, line 6: the sequence of 'sp\|P1\|A' has {shown}\. "
    with pytest.raises(ValueError, match=message + "Expected the letters A to Z.*X"):
        list(read_fasta(path))


@pytest.mark.parametrize("ending", [b"", b"\n;\n", b"\n*\n", b"\n>c\nMK\n"])
def test_a_record_without_a_sequence_is_refused(tmp_path, ending):
    path = write(tmp_path, b">a\nMK\n>b empty" + ending)
    with pytest.raises(ValueError, match="line 3: the record 'b' has no sequence"):
        list(read_fasta(path))


def test_a_sequence_before_the_first_record_is_refused(tmp_path):
    path = write(tmp_path, b"\nMKVL\n>a\nMK\n")
    with pytest.raises(ValueError, match="line 2: 'MKVL' stands before the first"):
        list(read_fasta(path))


@pytest.mark.parametrize("content", [b"", b"\n\n", b"; a comment\n"])
def test_a_file_without_records_is_refused(tmp_path, content):
    with pytest.raises(ValueError, match=r"proteins.fasta has no records"):
        list(read_fasta(write(tmp_path, content)))


def test_what_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(ValueError, match="cannot be read: Is a directory"):
        list(read_fasta(tmp_path))
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        list(read_fasta(tmp_path / "missing.fasta.gz"))
    plain = write(tmp_path, b">a\nMK\n", "plain.fasta.gz")
    with pytest.raises(ValueError, match=r"not compressed with gzip.*remove that"):
        list(read_fasta(plain))


def test_a_damaged_gzip_file_is_refused(tmp_path):
    content = gzip.compress(b">a\n" + b"MKVLAW" * 1000, mtime=0)
    with pytest.raises(ValueError, match="damaged or was cut off"):
        list(read_fasta(write(tmp_path, content[:-12], "cut.fasta.gz")))
    broken = content[:12] + b"\xff" * 8 + content[20:]
    with pytest.raises(ValueError, match="damaged"):
        list(read_fasta(write(tmp_path, broken, "broken.fasta.gz")))
    changed = content[:-8] + b"\0\0\0\0" + content[-4:]
    with pytest.raises(ValueError, match="or is damaged: CRC"):
        list(read_fasta(write(tmp_path, changed, "changed.fasta.gz")))
