"""`TransformerBlock`: what an encoder and a decoder block have in common."""

import keras
from keras import activations, dtype_policies, initializers

from keras_performer import feature_maps
from keras_performer.layers.attention_arguments import check_size
from keras_performer.layers.fast_attention import FastAttention
from keras_performer.layers.reseeded import reseeded
from keras_performer.layers.saved_policy import policy_at, saved_policy
from keras_performer.ops import projections


class TransformerBlock(keras.layers.Layer):
    """Attention sublayers and a feed-forward network, each on a residual branch.

    A base class: a subclass makes its sublayers in `build` by the methods here, with
    the names that KerasHub's block gives them, and joins them in `call`.

    Args:
        intermediate_dim: As for `PerformerEncoder`, and so on.
    """

    _num_seeds = 1  # of sublayers, in a subclass
    _autocasts_arguments = True

    def __init__(
        self,
        intermediate_dim,
        num_heads,
        dropout=0.0,
        activation="relu",
        layer_norm_epsilon=1e-05,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        normalize_first=False,
        *,
        feature_map="softmax",
        num_features=None,
        projection="orthogonal",
        rotary_base=None,
        exact_window=None,
        num_key_value_heads=None,
        seed=None,
        **kwargs,
    ):
        check_size("intermediate_dim", intermediate_dim)
        check_size("num_heads", num_heads)
        kwargs.setdefault("autocast", self._autocasts_arguments)
        super().__init__(**kwargs)
        self.supports_masking = True
        self.intermediate_dim = intermediate_dim
        self.num_heads = num_heads
        self.dropout = dropout
        self.activation = activations.get(activation)
        self.layer_norm_epsilon = layer_norm_epsilon
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.normalize_first = normalize_first
        self.feature_map = feature_maps.get(feature_map)
        self.num_features = num_features
        self.projection = projections.get(projection)
        self.rotary_base = rotary_base
        self.exact_window = exact_window
        self.num_key_value_heads = num_key_value_heads
        self.seed = seed

    def get_config(self):
        return {
            **super().get_config(),
            "dtype": dtype_policies.serialize(saved_policy(self)),
            "intermediate_dim": self.intermediate_dim,
            "num_heads": self.num_heads,
            "dropout": self.dropout,
            "activation": activations.serialize(self.activation),
            "layer_norm_epsilon": self.layer_norm_epsilon,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "normalize_first": self.normalize_first,
            "feature_map": feature_maps.serialize(self.feature_map),
            "num_features": self.num_features,
            "projection": projections.serialize(self.projection),
            "rotary_base": self.rotary_base,
            "exact_window": self.exact_window,
            "num_key_value_heads": self.num_key_value_heads,
            "seed": self.seed,
        }

    def _self_attention(self, name, shape, seed_index):
        """Attention of a sequence of a shape (B, T, F) to itself, built."""
        return self._attention(
            name,
            shape,
            shape,
            seed_index,
            kernel_initializer=self.kernel_initializer,
            bias_initializer=self.bias_initializer,
            num_key_value_heads=self.num_key_value_heads,
            rotary_base=self.rotary_base,
            exact_window=self.exact_window,
        )

    def _cross_attention(self, name, shape, source_shape, seed_index):
        """Attention of a sequence (B, T, F) to another, (B, S, Fs), built."""
        return self._attention(
            name,
            shape,
            source_shape,
            seed_index,
            kernel_initializer=reseeded(self.kernel_initializer, name),
            bias_initializer=reseeded(self.bias_initializer, name),
        )

    def _attention(self, name, query_shape, value_shape, seed_index, **arguments):
        hidden_dim = query_shape[-1]
        if hidden_dim < self.num_heads:
            raise ValueError(
                "The features of a position must be at least as many as `num_heads`, "
                "so that each head has one. Received: an input of shape "
                f"{tuple(query_shape)}, num_heads={self.num_heads}"
            )
        layer = FastAttention(
            num_heads=self.num_heads,
            key_dim=hidden_dim // self.num_heads,
            dropout=self.dropout,
            feature_map=self.feature_map,
            num_features=self.num_features,
            projection=self.projection,
            seed=self._seed(seed_index),
            dtype=self.dtype_policy,  # a map as it is: for the sublayers
            name=name,
            **arguments,
        )
        layer.build(query_shape, value_shape)
        return layer

    def _norm(self, name, shape):
        norm = keras.layers.LayerNormalization(
            epsilon=self.layer_norm_epsilon, dtype=self._policy(name), name=name
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
        self._feedforward_intermediate_dense = self._dense(
            "feedforward_intermediate_dense",
            shape,
            self.intermediate_dim,
            self.activation,
        )
        self._feedforward_output_dense = self._dense(
            "feedforward_output_dense",
            (*shape[:-1], self.intermediate_dim),
            shape[-1],
        )
        self._feedforward_dropout = self._drop("feedforward_dropout", seed_index)

    def _feedforward(self, x, training):
        def feed(x):
            x = self._feedforward_intermediate_dense(x)
            return self._feedforward_output_dense(x), None

        norm, dropout = self._feedforward_layer_norm, self._feedforward_dropout
        return self._residual(x, feed, norm, dropout, training)[0]

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
