"""The contract of a feature map."""

from abc import ABC, abstractmethod

from keras import ops


class FeatureMap(ABC):
    """Turns queries and keys into features whose dot product is the attention kernel.

    `kernel(q, k) = φ(q) · φ(k)`, and attention is `D⁻¹ φ(Q) (φ(K)ᵀ V)`. A map is a
    strategy: it has a configuration and no state. Its tensors (a random projection,
    say) are kept by the layer and come back as `parameters`.

    A feature vector is returned as a pair `(features, log_weight)` that stands for
    `features * exp(log_weight)`, with one weight a position. So the range of the
    features is bounded, whatever the length of the key, without a look at any other
    position: nothing leaks from the future, from a neighbour in the batch or from
    padding.

    Attributes:
        draws_projection: Whether `draw` uses the projection and the number of features
            that the user asked for.
        trainable: Whether gradients flow to the parameters. Where they do not, the
            backward pass of attention is spared their products.
        adapts: Whether the map has parameters that depend on the data, by way of
            `adapted_parameters`.
    """

    draws_projection = False
    trainable = False
    adapts = False

    def draw(self, projection, seed, num_features, head_dim):
        """Returns the random parameters: what another seed resamples.

        Args:
            projection: Function `(seed, num_features, head_dim) -> (M, D) array`.
            seed: Non-negative integer, or a sequence of them.
            num_features: M.
            head_dim: D.

        Returns:
            Dictionary of arrays.
        """
        if not self.draws_projection:
            return {}
        return {"projection": projection(seed, num_features, head_dim)}

    def initial_parameters(self, num_heads, head_dim, drawn):
        """Returns all parameters that the map starts with, as a dictionary of arrays.

        Args:
            num_heads: Hk, the number of heads of keys.
            head_dim: D.
            drawn: What `draw` returned.
        """
        return drawn

    def adapted_parameters(self, moments):
        """Returns the parameters that suit queries and keys of these moments.

        They change the features and their variance, not the kernel. Taken from data
        that was seen before, they tell nothing of the positions and documents that
        they are used on.

        Args:
            moments: `keras_performer.feature_maps.Moments`.

        Returns:
            Dictionary of tensors, some of those of `initial_parameters`.
        """
        return {}

    @abstractmethod
    def size(self, head_dim, parameters):
        """Returns M, the number of features of a vector of `head_dim` components."""

    @abstractmethod
    def queries(self, x, parameters):
        """Features of queries.

        Args:
            x: Queries of shape (B, Hk, ..., T, D), float32 or float64, not scaled.
            parameters: Dictionary of tensors.

        Returns:
            Features of shape (B, Hk, ..., T, M) and log weights (B, Hk, ..., T).
        """

    @abstractmethod
    def keys(self, x, parameters):
        """Features of keys; arguments and result as for `queries`."""

    def get_config(self):
        """Returns the constructor's arguments."""
        return {}

    @classmethod
    def from_config(cls, config):
        """Makes a map from what `get_config` returned."""
        return cls(**config)

    def __eq__(self, other):
        return type(self) is type(other) and self.get_config() == other.get_config()

    def __hash__(self):
        return hash((type(self), repr(sorted(self.get_config().items()))))

    def __repr__(self):
        arguments = ", ".join(f"{k}={v!r}" for k, v in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


def project(x, rows):
    """Products of positions and rows, in the dtype of the positions.

    `@` rather than `keras.ops.matmul`, which narrows float64 to float32 on PyTorch.

    Args:
        x: Tensor of shape (..., T, D).
        rows: Tensor of shape (..., M, D).

    Returns:
        Tensor of shape (..., T, M).
    """
    x = ops.convert_to_tensor(x)
    columns = ops.swapaxes(ops.cast(rows, x.dtype), -1, -2)
    if len(columns.shape) > 2:
        return x @ columns
    # Rows that all share make one product, which is faster than one for each head.
    flat = ops.reshape(x, (-1, x.shape[-1])) @ columns
    return ops.reshape(flat, (*ops.shape(x)[:-1], columns.shape[-1]))
