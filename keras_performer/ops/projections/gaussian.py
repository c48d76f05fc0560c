"""Independent normal rows: the baseline of every estimator."""

from keras_performer.ops.projections.draws import check_shape, streams


def gaussian(seed, num_features, head_dim):
    """Rows drawn independently from the standard normal distribution.

    The baseline of every estimator: unbiased, with the largest variance.

    Args:
        seed: Non-negative integer, or a sequence of them such as `(seed, step)`.
        num_features: M, the number of rows.
        head_dim: D, the length of a row.

    Returns:
        float32 array of shape (M, D).

    Raises:
        ValueError: If a size is no positive integer, or the seed is negative.

    Example:

    >>> gaussian(seed=0, num_features=6, head_dim=4).shape
    (6, 4)
    """
    directions, _ = streams(seed)
    check_shape(num_features, head_dim)
    return directions.standard_normal((num_features, head_dim)).astype("float32")
