"""`TransformerBlock`: what an encoder and a decoder block have in common."""

import warnings

import keras

from keras_performer import feature_maps
from keras_performer.layers.attention_arguments import check_choice, check_size
from keras_performer.layers.exact_attention import ExactAttention
from keras_performer.layers.fast_attention import FastAttention
from keras_performer.layers.feed_forward_block import FeedForwardBlock
from keras_performer.layers.recomputed import recomputed
from keras_performer.layers.reseeded import reseeded
from keras_performer.ops import projections

ATTENTIONS = ("linear", "exact")


def current_attention(attention, stacklevel=3):
    """The name of a kind of attention, with a warning where an old one is given.

    Args:
        attention: A name, or a list with one for each block.
        stacklevel: As in `warnings.warn`.
    """
    renamed = renamed_attention(attention)
    if renamed != attention:
        warnings.warn(
            "`attention='favor'` is now called `attention='linear'`.",
            DeprecationWarning,
            stacklevel=stacklevel,
        )
    return renamed


def renamed_attention(attention):
    """`current_attention` without a warning, for configs of before."""
    return keras.tree.map_structure(
        lambda name: "linear" if name == "favor" else name, attention
    )


class TransformerBlock(FeedForwardBlock):
    """Attention sublayers and a feed-forward network, each on a residual branch.

    A base class, of which `PerformerEncoder` and `PerformerDecoder` are made.

    Args:
        intermediate_dim: As for `PerformerEncoder`, and so on.
        **kwargs: Arguments of `FeedForwardBlock`.
    """

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
        attention="linear",
        feature_map="softmax",
        num_features=None,
        projection="orthogonal",
        rotary_base=None,
        exact_window=None,
        num_key_value_heads=None,
        remat=False,
        **kwargs,
    ):
        check_size("num_heads", num_heads)
        attention = current_attention(attention)
        check_choice("attention", attention, ATTENTIONS)
        if attention == "exact" and exact_window is not None:
            raise ValueError(
                "`exact_window` is for `attention='linear'`: exact attention has all "
                f"positions in its window. Received: attention={attention!r}, "
                f"exact_window={exact_window}"
            )
        kwargs.setdefault("autocast", self._autocasts_arguments)
        super().__init__(
            intermediate_dim,
            dropout=dropout,
            activation=activation,
            layer_norm_epsilon=layer_norm_epsilon,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            normalize_first=normalize_first,
            **kwargs,
        )
        self.num_heads = num_heads
        self.attention = attention
        self.feature_map = feature_maps.get(feature_map)
        self.num_features = num_features
        self.projection = projections.get(projection)
        self.rotary_base = rotary_base
        self.exact_window = exact_window
        self.num_key_value_heads = num_key_value_heads
        self.remat = remat

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "attention": self.attention,
            "feature_map": feature_maps.serialize(self.feature_map),
            "num_features": self.num_features,
            "projection": projections.serialize(self.projection),
            "rotary_base": self.rotary_base,
            "exact_window": self.exact_window,
            "num_key_value_heads": self.num_key_value_heads,
            "remat": self.remat,
        }

    def _self_attention(self, name, shape, seed_index):
        """Attention of a sequence of a shape (B, T, F) to itself, built."""
        window = (
            {} if self.exact_window is None else {"exact_window": self.exact_window}
        )
        return self._attention(
            name,
            shape,
            shape,
            seed_index,
            kernel_initializer=self.kernel_initializer,
            bias_initializer=self.bias_initializer,
            num_key_value_heads=self.num_key_value_heads,
            rotary_base=self.rotary_base,
            **window,
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
        make = {"linear": self._linear, "exact": ExactAttention}[self.attention]
        layer = make(
            num_heads=self.num_heads,
            key_dim=hidden_dim // self.num_heads,
            dropout=self.dropout,
            seed=self._seed(seed_index),
            dtype=self.dtype_policy,  # a map as it is: for the sublayers
            name=name,
            **arguments,
        )
        layer.build(query_shape, value_shape)
        return layer

    def _linear(self, **arguments):
        return FastAttention(
            feature_map=self.feature_map,
            num_features=self.num_features,
            projection=self.projection,
            **arguments,
        )

    def _perhaps_recomputed(self, function, inputs, training):
        """`function(*inputs)`; where `remat`, nothing of it is kept for its gradient.

        Args:
            function: Function of tensors that returns a tensor.
            inputs: Tuple of floating-point tensors.
            training: Whether a gradient is to be expected.
        """
        if self.remat and training:
            return recomputed(self, function, inputs)
        return function(*inputs)
