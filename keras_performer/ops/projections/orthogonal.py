"""Orthogonal rows with normal norms: the projection of FAVOR+."""

from keras_performer.ops.projections.draws import haar_blocks, with_normal_norms


def orthogonal(seed, num_features, head_dim):
    """Rows orthogonal in blocks of D, with the norms of independent normal rows.

    Each block is uniform on the orthogonal group, so every row alone is distributed
    as a normal row and the estimators stay unbiased, while the orthogonality lowers
    their variance: section 3 of arXiv 2009.14794. Norms are drawn from the chi
    distribution with D degrees of freedom. The last block keeps its first rows where
    M is not a multiple of D.

    Args:
        seed: Non-negative integer, or a sequence of them such as `(seed, step)`.
        num_features: M, the number of rows.
        head_dim: D, the length of a row.

    Returns:
        float32 array of shape (M, D).

    Raises:
        ValueError: If a size is no positive integer, or the seed is negative.

    Example:

    >>> import numpy as np
    >>> rows = orthogonal(seed=0, num_features=4, head_dim=4)
    >>> gram = rows @ rows.T
    >>> bool(abs(gram - np.diag(np.diag(gram))).max() < 1e-5)
    True
    """
    return with_normal_norms(seed, num_features, head_dim, haar_blocks)
