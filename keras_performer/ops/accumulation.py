"""How sums are accumulated: never in half precision, and with Kahan's compensation."""

from keras import backend, ops


def accumulation_dtype(x):
    """The dtype of features and sums: float32, or float64 where the inputs are."""
    return "float64" if backend.standardize_dtype(x.dtype) == "float64" else "float32"


def to_accumulation_dtype(x):
    """Casts half precision to float32; features and sums are never narrower."""
    return ops.cast(x, accumulation_dtype(x))


def kahan_add(sums, compensation, added):
    """Sums and a further term, by Kahan's summation.

    A stream adds a million small terms to one large sum, each of which would lose its
    last digits: these are kept, and taken from the next term.

    Args:
        sums: Tensor.
        compensation: Kahan compensation term, of the sums' shape: what they are too
            large by.
        added: The new term, of their shape.

    Returns:
        The new sums and the new compensation.
    """
    added = added - compensation
    total = sums + added
    return total, ops.stop_gradient((total - sums) - added)
