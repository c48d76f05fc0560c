"""Proteins from FASTA files, read one after another and checked letter by letter."""

import gzip
import os
import re
import zlib
from collections.abc import Iterator
from typing import NamedTuple

_BLANK = re.compile(r"\s+", re.ASCII)
_ODD_LETTER = re.compile("[^A-Za-z]")


class FastaRecord(NamedTuple):
    """One protein of a FASTA file.

    Attributes:
        header: The line that describes it, without the `>`.
        sequence: One letter an amino acid, upper case.
    """

    header: str
    sequence: str

    @property
    def name(self) -> str:
        """The header's first word, such as `"sp|P68871|HBB_HUMAN"`."""
        return _name(self.header)


def read_fasta(path: str | os.PathLike[str]) -> Iterator[FastaRecord]:
    """Reads the proteins of a FASTA file, one in memory at a time.

    A record is a line that starts with `>` and the lines of its sequence. Line ends
    may be those of any system; blank lines, spaces, lines that start with `;` and a
    `*` at the end of a sequence are left out, and lower case is read as upper case.
    All 26 letters stand for something: 20 amino acids, the rare `O` and `U`, and `B`,
    `J`, `X`, `Z` for what is not known exactly. What is not UTF-8 in a header is read
    as U+FFFD, the replacement character.

    Args:
        path: File, compressed with gzip if its name ends in `.gz`.

    Yields:
        `FastaRecord`. What is wrong with a file is found when its turn comes:
        `list(read_fasta(path))` reads and checks it as a whole.

    Raises:
        ValueError: If the file cannot be read, has no record, has a sequence before
            the first `>` or a record without one, or if a sequence has something else
            than letters; the error names the line.

    Example:

    >>> import pathlib
    >>> from keras_performer.text import read_fasta
    >>> path = pathlib.Path("insulin.fasta")
    >>> _ = path.write_text(">chain_a Insulin\\nGIVEQCCTSI\\nCSLYQLENYCN*\\n")
    >>> [record] = read_fasta(path)
    >>> record.name, record.sequence
    ('chain_a', 'GIVEQCCTSICSLYQLENYCN')
    """
    path = os.fsdecode(path)
    header: str | None = None
    lines: list[str] = []
    header_number, end_number = 0, None
    for number, line in _lines(path):
        if line.startswith(">"):
            if header is not None:
                yield _record(path, header_number, header, lines)
            header = line[1:].strip()
            lines, header_number, end_number = [], number, None
            continue
        letters = _BLANK.sub("", line)
        if not letters or letters.startswith(";"):
            continue
        if header is None:
            raise ValueError(
                f"{path}, line {number}: {letters[:20]!r} stands before the first "
                "record. Expected a line that starts with '>' and names the record: "
                "add one, or pass a FASTA file."
            )
        if end_number is not None:
            raise _odd_letter(path, end_number, header, "*")
        if letters.endswith("*"):
            letters, end_number = letters[:-1], number
        odd = _ODD_LETTER.search(letters)
        if odd:
            raise _odd_letter(path, number, header, odd[0])
        lines.append(letters)
    if header is None:
        raise ValueError(
            f"{path} has no records. Expected a FASTA file: for each protein a line "
            "that starts with '>', and its sequence in the lines that follow."
        )
    yield _record(path, header_number, header, lines)


def _lines(path: str) -> Iterator[tuple[int, str]]:
    """The lines of a file, numbered from 1."""
    open_file = gzip.open if path.lower().endswith(".gz") else open
    try:
        with open_file(path, "rt", encoding="utf-8-sig", errors="replace") as file:
            yield from enumerate(file, 1)
    except gzip.BadGzipFile as error:
        raise ValueError(
            f"{path} is not compressed with gzip, or is damaged: {error}. Expected so "
            "of a name that ends in .gz: remove that ending, or get the file anew."
        ) from error
    except (EOFError, zlib.error) as error:
        raise ValueError(
            f"{path} is damaged or was cut off: {error}. Get the file anew."
        ) from error
    except OSError as error:
        raise ValueError(
            f"{path} cannot be read: {error.strerror}. Expected a FASTA file."
        ) from error


def _record(path: str, number: int, header: str, lines: list[str]) -> FastaRecord:
    sequence = "".join(lines).upper()
    if not sequence:
        raise ValueError(
            f"{path}, line {number}: the record {_name(header)!r} has no sequence. Add "
            "it, or remove the record."
        )
    return FastaRecord(header, sequence)


def _name(header: str) -> str:
    return header.split(maxsplit=1)[0] if header else ""


def _odd_letter(path: str, number: int, header: str, letter: str) -> ValueError:
    return ValueError(
        f"{path}, line {number}: the sequence of {_name(header)!r} has {letter!r}. "
        "Expected the letters A to Z, with '*' at the end alone. Write X for an amino "
        "acid that is not known, and remove the gaps of an alignment and the numbers "
        "of lines."
    )
