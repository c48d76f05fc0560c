"""`FeedForwardBlock`: residual branches, normalizations, the feed-forward network."""

import keras
from keras import activations, dtype_policies, initializers, ops

from keras_performer.layers.attention_arguments import (
    check_choice,
    check_optional_size,
    check_size,
)
from keras_performer.layers.normalizations import NORMALIZATIONS, normalization_layer
from keras_performer.layers.reseeded import reseeded
from keras_performer.layers.saved_policy import policy_at, saved_policy
from keras_performer.ops import chunking
from keras_performer.ops.scan import chunked_scan

FEEDFORWARDS = ("dense", "gated")


class FeedForwardBlock(keras.layers.Layer):
    """A feed-forward network on a residual branch, and what other branches need.

    A base class: a subclass makes its sublayers in `build` by the methods here, with
    the names that KerasHub's block gives them, and joins them in `call`.

    Args:
        intermediate_dim: As for `PerformerEncoder`, and so on.
    """

    _num_seeds = 1  # of sublayers, in a subclass

    def __init__(
        self,
        intermediate_dim,
        dropout=0.0,
        activation="relu",
        layer_norm_epsilon=1e-05,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        normalize_first=False,
        *,
        normalization="layer_norm",
        feedforward="dense",
        feedforward_chunk=None,
        seed=None,
        **kwargs,
    ):
        check_size("intermediate_dim", intermediate_dim)
        check_choice("normalization", normalization, NORMALIZATIONS)
        check_choice("feedforward", feedforward, FEEDFORWARDS)
        check_optional_size("feedforward_chunk", feedforward_chunk)
        super().__init__(**kwargs)
        self.supports_masking = True
        self.intermediate_dim = intermediate_dim
        self.dropout = dropout
        self.activation = activations.get(activation)
        self.layer_norm_epsilon = layer_norm_epsilon
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.normalize_first = normalize_first
        self.normalization = normalization
        self.feedforward = feedforward
        self.feedforward_chunk = feedforward_chunk
        self.seed = seed

    def get_config(self):
        return {
            **super().get_config(),
            "dtype": dtype_policies.serialize(saved_policy(self)),
            "intermediate_dim": self.intermediate_dim,
            "dropout": self.dropout,
            "activation": activations.serialize(self.activation),
            "layer_norm_epsilon": self.layer_norm_epsilon,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "normalize_first": self.normalize_first,
            "normalization": self.normalization,
            "feedforward": self.feedforward,
            "feedforward_chunk": self.feedforward_chunk,
            "seed": self.seed,
        }

    def _norm(self, name, shape):
        norm = normalization_layer(
            self.normalization,
            epsilon=self.layer_norm_epsilon,
            dtype=self._policy(name),
            name=name,
        )
        norm.build(shape)
        return norm

    def _drop(self, name, seed_index):
        return keras.layers.Dropout(
            self.dropout,
            seed=self._seed(seed_index),
            dtype=self._policy(name),
            name=name,
        )

    def _build_feedforward(self, shape, seed_index):
        is_gated = self.feedforward == "gated"
        self._feedforward_gate_dense = None
        if is_gated:
            self._feedforward_gate_dense = self._dense(
                "feedforward_gate_dense", shape, self.intermediate_dim, self.activation
            )
        self._feedforward_intermediate_dense = self._dense(
            "feedforward_intermediate_dense",
            shape,
            self.intermediate_dim,
            None if is_gated else self.activation,
        )
        self._feedforward_output_dense = self._dense(
            "feedforward_output_dense",
            (*shape[:-1], self.intermediate_dim),
            shape[-1],
        )
        self._feedforward_dropout = self._drop("feedforward_dropout", seed_index)

    def _feedforward(self, x, training):
        def branch(x):
            is_whole = self.feedforward_chunk is None or (
                x.shape[1] is not None and x.shape[1] <= self.feedforward_chunk
            )
            return (self._feed(x) if is_whole else self._feed_in_chunks(x)), None

        norm, dropout = self._feedforward_layer_norm, self._feedforward_dropout
        return self._residual(x, branch, norm, dropout, training)[0]

    def _feed(self, x):
        hidden = self._feedforward_intermediate_dense(x)
        if self._feedforward_gate_dense is not None:
            hidden = self._feedforward_gate_dense(x) * hidden
        return self._feedforward_output_dense(hidden)

    def _feed_in_chunks(self, x):
        """`_feed`, some positions at a time, none of whose hidden features is kept."""
        length = ops.shape(x)[1]
        lengths = chunking.chunk_length(length, self.feedforward_chunk)
        dense = (
            self._feedforward_gate_dense,
            self._feedforward_intermediate_dense,
            self._feedforward_output_dense,
        )
        variables = [v for layer in dense if layer is not None for v in layer.variables]

        def step(carry, chunk, shared):
            with keras.StatelessScope(zip(variables, shared, strict=True)):
                return carry, (self._feed(*chunk),)

        values = tuple(variable.value for variable in variables)
        chunks = (chunking.split(x, lengths),)
        _, (outputs,) = chunked_scan(step, (), chunks, values)  # (N, B, C, F)
        batch = ops.shape(x)[0]
        number, size = lengths
        outputs = ops.swapaxes(outputs, 0, 1)
        outputs = ops.reshape(outputs, (batch, number * size, x.shape[-1]))
        return outputs[:, :length]

    def _residual(self, x, branch, norm, dropout, training):
        """The sum of `x` and a branch of it, normalized before or after.

        Args:
            x: Tensor of shape (B, T, F).
            branch: Callable `(x) -> (output, other)`.
            norm: The normalization.
            dropout: The dropout of the branch's output.
            training: Whether dropout is active.

        Returns:
            Tensor of shape (B, T, F), and `other`.
        """
        output, other = branch(norm(x) if self.normalize_first else x)
        x = dropout(output, training=training) + x
        return (x if self.normalize_first else norm(x)), other

    def _dense(self, name, shape, units, activation=None):
        dense = keras.layers.Dense(
            units,
            activation=activation,
            kernel_initializer=reseeded(self.kernel_initializer, name),
            bias_initializer=reseeded(self.bias_initializer, name),
            dtype=self._policy(name),
            name=name,
        )
        dense.build(shape)
        return dense

    def _policy(self, name):
        return policy_at(self.dtype_policy, f"{self.path}/{name}")

    def _seed(self, index):
        # Seeds of their own: with one seed all would drop the same features.
        return None if self.seed is None else self._num_seeds * self.seed + index
