"""What bytes look like that are no text in UTF-8."""

import codecs

# Longer ones first: the mark of UTF-32 begins as that of UTF-16 does.
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
_SIGNATURES = {
    b"\x1f\x8b": "a gzip file",
    b"\xfd7zXZ\0": "an xz file",
    b"BZh": "a bzip2 file",
    b"PK\x03\x04": "a ZIP archive, as .docx, .xlsx and .epub are",
    b"%PDF-": "a PDF file",
    b"PAR1": "a Parquet file",
    b"\x28\xb5\x2f\xfd": "a Zstandard file",
    b"\xd0\xcf\x11\xe0": "an old Microsoft Office file",
}
# Share of zero bytes: text in UTF-8 has none, in UTF-16 at least one in each space.
_MAX_ZEROS = 0.01
_AROUND = 12  # bytes on both sides that an error shows


def wide_encoding(data: bytes) -> str | None:
    """UTF-16 or UTF-32, where a file begins like that; UTF-8 text has no zero bytes.

    Args:
        data: The beginning of a file.

    Returns:
        Name of the encoding, or `None`.

    Example:

    >>> from keras_performer.text.readers.encodings import wide_encoding
    >>> wide_encoding("text".encode("utf-16-le")), wide_encoding(b"text")
    ('UTF-16LE', None)
    """
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            return encoding
    if data.count(0) > _MAX_ZEROS * len(data):
        return "UTF-16BE" if data[::2].count(0) > data[1::2].count(0) else "UTF-16LE"
    return None


def file_kind(data: bytes) -> str | None:
    """Names the kind of a file that is no plain text, by how it begins.

    Args:
        data: The beginning of a file.

    Returns:
        The kind with its article, or `None`.
    """
    kinds = (kind for mark, kind in _SIGNATURES.items() if data.startswith(mark))
    return next(kinds, None)


def wide_error(where: str, encoding: str) -> ValueError:
    """The error about a file in UTF-16 or UTF-32."""
    return ValueError(
        f"{where} is not UTF-8: it looks like {encoding}. Convert it, for "
        f"example with `iconv -f {encoding} -t UTF-8`, or remove it."
    )


def undecodable_error(
    where: str, error: UnicodeDecodeError, place: int, kind: str | None = None
) -> ValueError:
    """The error about bytes that are not UTF-8.

    Args:
        where: The file, or the file and the line.
        error: What the decoder raised.
        place: Number of bytes before the one that does not decode, in the file or in
            the line.
        kind: What `file_kind` says of the file.

    Returns:
        `ValueError`, which shows how the place reads in Windows-1252: the commonest of
        the other encodings.
    """
    if kind:
        return ValueError(
            f"{where} is not UTF-8: it looks like {kind}. Save its text as UTF-8, or "
            "remove it."
        )
    around = error.object[max(error.start - _AROUND, 0) : error.start + _AROUND]
    return ValueError(
        f"{where} is not UTF-8: {error.reason} at byte {place}. Convert it, for "
        "example with `iconv -f WINDOWS-1252 -t UTF-8`, or remove it. In Windows-1252 "
        f"that place reads {around.decode('windows-1252', 'replace')!r}."
    )
