"""The contract that every peer fulfils."""

import abc

import numpy as np

HEADS = 8
HEAD_DIM = 64
FEATURES = 256
PASSES = ("forward", "forward and backward")


class Peer(abc.ABC):
    """An implementation of attention, with the float64 formula of what it computes.

    Arrays outside are of shape (1, T, H, D); a peer turns them into tensors of its own
    layout before anything is timed, so that no peer pays for a transpose that a model
    written for it would not have.

    Args:
        form: `"bidirectional"` or `"causal"`.
        features: M; exact attention has none.
        seed: Seed of the projection.
    """

    # Largest error of the answer and of its gradient, relative to the largest output
    # and to the gradient's norm.
    tolerance = 1e-4
    gradient_tolerance = 1e-3
    # Whether the gradient is also that of what `constants` returns.
    differentiates_constants = False
    # Whether it has a method `adapt` of queries and keys like those to come.
    adapts = False

    def __init__(self, form, features=FEATURES, seed=1):
        self.form = form
        self.features = features
        self.seed = seed

    @abc.abstractmethod
    def tensor(self, array):
        """Turns an array of shape (1, T, H, D) into the peer's tensor."""

    @abc.abstractmethod
    def array(self, tensor):
        """Turns a tensor back into an array of shape (1, T, H, D)."""

    @abc.abstractmethod
    def forward(self):
        """Returns a function (query, key, value) to the output, anew at each call."""

    @abc.abstractmethod
    def forward_backward(self):
        """Returns a function (query, key, value, output gradient) to all results.

        These are the output and the gradients of query, key and value.
        """

    @abc.abstractmethod
    def limits(self):
        """Measures what bounds any implementation in this framework.

        Returns:
            Dictionary of rates a second: operations of a large square product and of
            one batched as attention has it, and exponentials.
        """

    @abc.abstractmethod
    def version(self):
        """Returns name and version of the library."""

    def constants(self, query, key, rows, head):
        """What features of one head depend on beside their own position.

        Gradients take it for constants, unless the peer differentiates them.

        Args:
            query: float64 array of shape (T, H, D).
            key: float64 array of shape (T, H, D).
            rows: R positions of queries.
            head: Index of the head.
        """
        return

    def query_features(self, x, constants):
        """Features of one head's queries in float64, (R, D) to (R, M)."""
        raise NotImplementedError

    def key_features(self, x, constants):
        """Features of one head's keys in float64, (T, D) to (T, M)."""
        raise NotImplementedError

    def weights(self, query, key, constants):
        """Unnormalized attention of one head in float64: (R, D), (T, D) to (R, T)."""
        queries = self.query_features(query, constants)
        return queries @ self.key_features(key, constants).T

    def denominator_bias(self, query, constants):
        """What the published code adds to the denominators: (R, D) to (R,) or 0."""
        return 0.0


class ExactPeer(Peer):
    """A peer that computes softmax attention itself."""

    def weights(self, query, key, constants):
        return softmax_weights(query, key)


def softmax_weights(query, key):
    """Unnormalized softmax attention of one head: (R, D), (T, D) to (R, T)."""
    return np.exp(query @ key.T / np.sqrt(query.shape[-1]))


def positive_features(x, projection, curvature=0.0):
    """FAVOR+ and FAVOR++ without stabilization and a factor that cancels.

    `exp(Σ A_d ω_d² + √(1 − 4 A_d) ω_d x_d − ‖x‖²/2) / √M`, x scaled by D^(-1/4).

    Args:
        x: float64 array of shape (T, D), not yet scaled.
        projection: float64 array of shape (M, D).
        curvature: A, array of shape (D,), or 0 for FAVOR+.

    Returns:
        Array of shape (T, M).
    """
    x = x * x.shape[-1] ** -0.25
    exponent = x @ (projection * np.sqrt(1 - 4 * curvature)).T
    exponent += np.sum(curvature * np.square(projection), axis=-1)
    exponent -= 0.5 * np.square(x).sum(-1, keepdims=True)
    return np.exp(exponent) / np.sqrt(len(projection))
