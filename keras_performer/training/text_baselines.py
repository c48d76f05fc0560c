"""What any language model is to be measured against: frequencies, and compressors."""

import bz2
import lzma

import numpy as np
import numpy.typing as npt

# A longer one costs memory: a compressor takes eleven times as much.
_LARGEST_DICTIONARY = 2**27
COMPRESSORS = ("xz", "bz2")


def unigram_bits(token_counts: npt.ArrayLike) -> np.ndarray:
    """Bits of each token by its frequency in a training text.

    Each count is raised by one, so that no token is impossible.

    Args:
        token_counts: Non-negative array of shape (V,):
            `np.bincount(train_ids, minlength=V)`.

    Returns:
        Array of shape (V,). Its mean over a test text, `bits[test_ids].mean()`, is the
        unigram line.

    Raises:
        ValueError: If the counts are not as described.

    Example:

    >>> unigram_bits([0, 2, 3]).round(3).tolist()
    [3.0, 1.415, 1.0]
    """
    counts = np.asarray(token_counts, "float64")
    if counts.ndim != 1 or not len(counts) or not (counts >= 0).all():
        raise ValueError(
            "`token_counts` must be non-negative numbers of shape (V,). Received: "
            f"shape {counts.shape}, smallest {counts.min(initial=0)}"
        )
    return np.log2((counts + 1).sum()) - np.log2(counts + 1)


def compressed_bits_per_byte(
    test: bytes, train: bytes = b"", compressor: str = "xz"
) -> float:
    """Bits per byte of a text, compressed by a general compressor.

    A model has read the training text. With `train` so has the compressor: what counts
    is by how much the test text lengthens the compressed training text. (`xz` looks
    back over 128 MiB, `bz2` over 900 kB.)

    Args:
        test: Bytes of the test text.
        train: Bytes of the training text; none by default.
        compressor: `"xz"` or `"bz2"`, each at its best level.

    Returns:
        A float.

    Raises:
        ValueError: If the test text is empty or the compressor unknown.

    Example:

    >>> text = b"Call me Ishmael. " * 100
    >>> compressed_bits_per_byte(text) > compressed_bits_per_byte(text, train=text)
    True
    """
    if not test:
        raise ValueError("The test text is empty. Expected a byte at least.")
    if compressor not in COMPRESSORS:
        raise ValueError(
            f"`compressor` must be one of {COMPRESSORS}. Received: "
            f"compressor={compressor!r}"
        )
    size = {"xz": _xz_size, "bz2": _bz2_size}[compressor]
    before = size(train) if train else 0
    return 8 * (size(train + test) - before) / len(test)


def _xz_size(text: bytes) -> int:
    dictionary = min(max(len(text), 2**16), _LARGEST_DICTIONARY)
    best = {
        "id": lzma.FILTER_LZMA2,
        "preset": 9 | lzma.PRESET_EXTREME,
        "dict_size": dictionary,
    }
    return len(lzma.compress(text, filters=[best]))


def _bz2_size(text: bytes) -> int:
    return len(bz2.compress(text, 9))
