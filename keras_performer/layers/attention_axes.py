"""`AttentionAxes`: the axes that attention runs over, folded into one length."""

import math

from keras import ops


class AttentionAxes:
    """Which axes of an input attention runs over, and how they become one length.

    Attention over several axes is attention over their product, in row-major order;
    the axes that it does not run over only make the batch larger. So inputs of any
    rank are folded to (B', T, ...), where linear attention has its sums.

    Args:
        rank: Rank of query, value and key, (B, *axes, F).
        axes: Tuple of the axes that attention runs over, negative ones counted from
            the end; `None` for all between batch and features. Their order is that of
            the attention scores.

    Raises:
        ValueError: If an axis is none of those between batch and features, or is
            given twice.

    Example:

    >>> import numpy as np
    >>> axes = AttentionAxes(rank=4, axes=(-2,))
    >>> axes.attended, axes.batch
    ((2,), (0, 1))
    >>> folded = axes.fold(np.zeros((2, 3, 5, 7)))
    >>> tuple(folded.shape)
    (6, 5, 7)
    """

    def __init__(self, rank, axes=None):
        if rank < 3:
            raise ValueError(
                "`query` must have rank 3 or more: (batch, length, features), with "
                f"more axes of length if need be. Received: a query of rank {rank}"
            )
        between = tuple(range(1, rank - 1))
        given = between if axes is None else tuple(axes)
        attended = tuple(axis + rank if axis < 0 else axis for axis in given)
        if not set(attended) <= set(between) or len(set(attended)) < len(attended):
            raise ValueError(
                "`attention_axes` must name, once each, axes between the batch, axis "
                f"0, and the features, axis {rank - 1} or -1: some of {between} for "
                f"inputs of rank {rank}. Received: attention_axes={given}"
            )
        self.rank = rank
        self.attended = attended
        self.batch = tuple(axis for axis in range(rank - 1) if axis not in attended)

    def check_shapes(self, query_shape, value_shape, key_shape):
        """Raises a `ValueError` where the shapes of the inputs do not fit.

        Args:
            query_shape: Shape of the queries, (B, *axes, F).
            value_shape: Shape of the values.
            key_shape: Shape of the keys.
        """
        shapes = {"query": query_shape, "value": value_shape, "key": key_shape}
        for name, shape in shapes.items():
            if len(shape) != self.rank:
                raise ValueError(
                    f"`{name}` must have rank {self.rank}, as all inputs: (batch, "
                    "length, features), with the same number of axes of length. "
                    f"Received: {name}.shape={tuple(shape)}"
                )
        if not compatible(value_shape[:-1], key_shape[:-1]):
            raise ValueError(
                "`value` and `key` must have the same lengths: all sizes but the "
                "features must be equal. Received: value.shape="
                f"{tuple(value_shape)}, key.shape={tuple(key_shape)}"
            )
        if not compatible(*([s[i] for i in self.batch] for s in shapes.values())):
            raise ValueError(
                "`query`, `value` and `key` must be equal in the batch and in every "
                f"axis that attention does not run over, that is in axes {self.batch}. "
                f"Received: query.shape={tuple(query_shape)}, value.shape="
                f"{tuple(value_shape)}, key.shape={tuple(key_shape)}"
            )

    def check_ordered(self, argument, query_shape):
        """Raises a `ValueError` where before and after have no meaning.

        Args:
            argument: What needs an order, such as `"use_causal_mask=True"`.
            query_shape: Shape of the queries, (B, *axes, F).
        """
        if len(self.attended) > 1:
            raise ValueError(
                f"`{argument}` needs one axis of attention: several have no "
                "order of before and after. Flatten them in the order you mean, as by "
                "`keras.layers.Reshape`, or choose one by `attention_axes`. Received: "
                f"query.shape={tuple(query_shape)}, attention over axes {self.attended}"
            )

    def check_self_attention(self, query_shape, value_shape):
        """Raises a `ValueError` where a forget gate has not a key for each query.

        Args:
            query_shape: Shape of the queries, (B, *axes, F).
            value_shape: Shape of the values.
        """
        if not compatible(query_shape[:-1], value_shape[:-1]):
            raise ValueError(
                "`forget_gate=True` is for self-attention, with a key for each query: "
                "for cross-attention make a layer without. Received: query.shape="
                f"{tuple(query_shape)}, value.shape={tuple(value_shape)}"
            )

    def fold(self, x):
        """(B, *axes, ...) as (B', T, ...)."""
        if self.rank == 3:
            return x
        sizes = ops.shape(x)
        order = (*self.batch, *self.attended, *range(self.rank - 1, len(x.shape)))
        batch, length = (
            math.prod(sizes[axis] for axis in axes)
            for axes in (self.batch, self.attended)
        )
        return ops.reshape(
            ops.transpose(x, order), (batch, length, *sizes[self.rank - 1 :])
        )

    def unfold(self, x, query):
        """(B', T, ...) as (B, *axes, ...), with the sizes that the query has."""
        if self.rank == 3:
            return x
        sizes = ops.shape(query)
        order = (*self.batch, *self.attended)
        x = ops.reshape(x, (*(sizes[axis] for axis in order), *ops.shape(x)[2:]))
        return self.in_order(x)

    def in_order(self, x):
        """(*batch axes, *attended axes, ...) as (B, *axes, ...)."""
        if self.rank == 3:
            return x
        order = (*self.batch, *self.attended)
        axes = [order.index(axis) for axis in range(self.rank - 1)]
        return ops.transpose(x, (*axes, *range(self.rank - 1, len(x.shape))))

    def unfold_scores(self, scores, query, key):
        """(B', H, T, S) as Keras has scores: (*batch, H, *T axes, *S axes)."""
        if self.rank == 3:
            return scores
        shape = self.scores_shape(scores.shape[1], ops.shape(query), ops.shape(key))
        return ops.reshape(scores, shape)

    def scores_shape(self, num_heads, query_shape, key_shape):
        """The shape of the attention scores, (*batch, H, *T axes, *S axes)."""
        return (
            *(query_shape[axis] for axis in self.batch),
            num_heads,
            *(query_shape[axis] for axis in self.attended),
            *(key_shape[axis] for axis in self.attended),
        )


def compatible(*shapes):
    """Whether shapes of one rank are equal where they are known.

    Example:

    >>> compatible((2, None), (2, 3)), compatible((2, 3), (2, 4))
    (True, False)
    """
    return all(len(set(sizes) - {None}) <= 1 for sizes in zip(*shapes, strict=True))
