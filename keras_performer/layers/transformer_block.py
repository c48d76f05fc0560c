"""`TransformerBlock`: what an encoder and a decoder block have in common."""

import keras
from keras import activations, initializers, ops

from keras_performer import feature_maps
from keras_performer.layers.attention_kinds import (
    ATTENTIONS,
    current_attention,
    renamed_attention,
)
from keras_performer.layers.exact_attention import ExactAttention
from keras_performer.layers.fast_attention import FastAttention
from keras_performer.layers.quantizable import Dense
from keras_performer.layers.remat import remat
from keras_performer.layers.short_convolution import ShortConvolution, starting_kernel
from keras_performer.layers.sublayer_state import CompositeLayer
from keras_performer.layers.sublayers import (
    NORMALIZATIONS,
    clone_initializer,
    normalization_layer,
    policy_at,
)
from keras_performer.layers.validation import (
    check_choice,
    check_optional_size,
    check_size,
)
from keras_performer.ops import chunking, projections
from keras_performer.ops.backend import chunked_scan

FEEDFORWARDS = ("dense", "gated")


class TransformerBlock(CompositeLayer):
    """Attention sublayers and a feed-forward network, each on a residual branch.

    The base class of `PerformerEncoder` and `PerformerDecoder`: a subclass makes its
    sublayers in `build` by the methods here, with the names that KerasHub's block
    gives them, and joins them in `call`.

    Args:
        intermediate_dim: Hidden size of the feed-forward network.
        num_heads: H, the number of attention heads, of `F // H` features each.
        dropout: Dropout rate of attention and of the residual branches.
        activation: Activation of the feed-forward network.
        layer_norm_epsilon: Epsilon of the normalizations.
        kernel_initializer: Initializer of the kernels.
        bias_initializer: Initializer of the biases.
        normalize_first: Whether a branch's input is normalized, rather than the sum
            after it.
        normalization: `"layer_norm"` or `"rms_norm"`.
        feedforward: `"dense"` or `"gated"`.
        feedforward_chunk: How many positions at a time go through the feed-forward
            network, or `None` for all at once.
        attention: `"linear"` or `"exact"`.
        feature_map: Name of a feature map, or a `FeatureMap`, of linear attention.
        num_features: M, the number of random features, or `None`.
        projection: Name of a projection, or a callable.
        rotary_base: Base of rotary positions in self-attention, or `None`.
        exact_window: Number of nearest positions to which self-attention is exact, or
            `None`.
        num_key_value_heads: Hk, the number of heads of keys and values in
            self-attention. Defaults to `num_heads`.
        short_convolution: Width of a convolution before self-attention, or `None`.
        forget_gate: Whether self-attention forgets.
        normalize_heads: Whether self-attention's heads are normalized.
        output_gate: Activation of self-attention's output gate, or `None` for no gate.
        remat: Whether the backward pass computes the block again instead of keeping
            what it computed.
        seed: Integer that seeds the projections and dropout, or `None`.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name` and `dtype`.
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
        normalization="layer_norm",
        feedforward="dense",
        feedforward_chunk=None,
        attention="linear",
        feature_map="softmax",
        num_features=None,
        projection="orthogonal",
        rotary_base=None,
        exact_window=None,
        num_key_value_heads=None,
        short_convolution=None,
        forget_gate=False,
        normalize_heads=False,
        output_gate=None,
        remat=False,
        seed=None,
        **kwargs,
    ):
        attention = current_attention(attention)
        check_size("intermediate_dim", intermediate_dim)
        check_size("num_heads", num_heads)
        check_choice("normalization", normalization, NORMALIZATIONS)
        check_choice("feedforward", feedforward, FEEDFORWARDS)
        check_optional_size("feedforward_chunk", feedforward_chunk)
        check_optional_size("short_convolution", short_convolution)
        check_choice("attention", attention, ATTENTIONS)
        if attention == "exact" and exact_window is not None:
            raise ValueError(
                "`exact_window` is for `attention='linear'`: exact attention has all "
                f"positions in its window. Received: attention={attention!r}, "
                f"exact_window={exact_window}"
            )
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
        self.normalization = normalization
        self.feedforward = feedforward
        self.feedforward_chunk = feedforward_chunk
        self.attention = attention
        self.feature_map = feature_maps.get(feature_map)
        self.num_features = num_features
        self.projection = projections.get(projection)
        self.rotary_base = rotary_base
        self.exact_window = exact_window
        self.num_key_value_heads = num_key_value_heads
        self.short_convolution = short_convolution
        self.forget_gate = forget_gate
        self.normalize_heads = normalize_heads
        self.output_gate = activations.get(output_gate) if output_gate else None
        self.remat = remat
        self.seed = seed

    def get_config(self):
        return {
            **super().get_config(),
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
            "num_heads": self.num_heads,
            "attention": self.attention,
            "feature_map": feature_maps.serialize(self.feature_map),
            "num_features": self.num_features,
            "projection": projections.serialize(self.projection),
            "rotary_base": self.rotary_base,
            "exact_window": self.exact_window,
            "num_key_value_heads": self.num_key_value_heads,
            "short_convolution": self.short_convolution,
            "forget_gate": self.forget_gate,
            "normalize_heads": self.normalize_heads,
            "output_gate": self.output_gate and activations.serialize(self.output_gate),
            "remat": self.remat,
        }

    @classmethod
    def from_config(cls, config):
        if "attention" in config:  # a config of KerasHub's block has none
            attention = renamed_attention(config["attention"])
            config = {**config, "attention": attention}
        return super().from_config(config)

    def _self_attention(self, name, shape, seed_index):
        """Attention of a sequence of a shape (B, T, F) to itself, built."""
        return self._attention(
            name,
            shape,
            shape,
            seed_index,
            exact_window=self.exact_window,
            kernel_initializer=self.kernel_initializer,
            bias_initializer=self.bias_initializer,
            num_key_value_heads=self.num_key_value_heads,
            rotary_base=self.rotary_base,
            use_gate=self.output_gate is not None,
            gate_activation=self.output_gate or "sigmoid",
            normalize_heads=self.normalize_heads,
            forget_gate=self.forget_gate,
        )

    def _short_convolution(self, shape, causal):
        """The convolution before self-attention, built, or `None`."""
        if self.short_convolution is None:
            return None
        name = "short_convolution"
        layer = ShortConvolution(
            self.short_convolution,
            causal,
            starting_kernel(self.short_convolution, self._seed(0)),
            dtype=self._policy(name),
            name=name,
        )
        layer.build(shape)
        return layer

    def _convolve(self, x, mask, segment_ids):
        """A tensor (B, T, F), and its convolution added to it."""
        if self._convolution is None:
            return x
        return x + self._convolution(x, mask=mask, segment_ids=segment_ids)

    def _cross_attention(self, name, shape, source_shape, seed_index):
        """Attention of a sequence (B, T, F) to another, (B, S, Fs), built."""
        return self._attention(
            name,
            shape,
            source_shape,
            seed_index,
            kernel_initializer=clone_initializer(self.kernel_initializer, name),
            bias_initializer=clone_initializer(self.bias_initializer, name),
        )

    def _attention(
        self, name, query_shape, value_shape, seed_index, exact_window=None, **arguments
    ):
        hidden_dim = query_shape[-1]
        if hidden_dim < self.num_heads:
            raise ValueError(
                "The features of a position must be at least as many as `num_heads`, "
                "so that each head has one. Received: an input of shape "
                f"{tuple(query_shape)}, num_heads={self.num_heads}"
            )
        arguments.update(
            num_heads=self.num_heads,
            key_dim=hidden_dim // self.num_heads,
            dropout=self.dropout,
            seed=self._seed(seed_index),
            dtype=self.dtype_policy,  # a map as it is: for the sublayers
            trainable=self.trainable,  # of a block that is frozen before it is built
            name=name,
        )
        if self.attention == "exact":
            layer = ExactAttention(**arguments)
        else:
            layer = FastAttention(
                feature_map=self.feature_map,
                num_features=self.num_features,
                projection=self.projection,
                exact_window=exact_window,
                **arguments,
            )
        layer.build(query_shape, value_shape)
        return layer

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

    def _dense(self, name, shape, units, activation=None):
        dense = Dense(
            units,
            activation=activation,
            kernel_initializer=clone_initializer(self.kernel_initializer, name),
            bias_initializer=clone_initializer(self.bias_initializer, name),
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

    def _build_feedforward(self, shape, seed_index):
        is_gated = self.feedforward == "gated"
        self._feedforward_gate_dense = None
        if is_gated:
            self._feedforward_gate_dense = self._dense(
                "feedforward_gate_dense", shape, self.intermediate_dim, self.activation
            )
        activation = None if is_gated else self.activation
        self._feedforward_intermediate_dense = self._dense(
            "feedforward_intermediate_dense", shape, self.intermediate_dim, activation
        )
        hidden = (*shape[:-1], self.intermediate_dim)
        self._feedforward_output_dense = self._dense(
            "feedforward_output_dense", hidden, shape[-1]
        )
        self._feedforward_dropout = self._drop("feedforward_dropout", seed_index)

    def _residual(self, name, x, branch, training):
        """The sum of `x` and a branch of it, normalized before or after.

        Args:
            name: The branch's name, before `_layer_norm` and `_dropout` in the names
                of its sublayers.
            x: Tensor of shape (B, T, F).
            branch: Callable `(x) -> (output, other)`.
            training: Whether dropout is active.

        Returns:
            Tensor of shape (B, T, F), and `other`.
        """
        norm = getattr(self, f"_{name}_layer_norm")
        dropout = getattr(self, f"_{name}_dropout")
        output, other = branch(norm(x) if self.normalize_first else x)
        x = dropout(output, training=training) + x
        return (x if self.normalize_first else norm(x)), other

    def _feedforward(self, x, training):
        """The feed-forward network's residual branch of a tensor (B, T, F)."""

        def branch(x):
            is_whole = self.feedforward_chunk is None or (
                x.shape[1] is not None and x.shape[1] <= self.feedforward_chunk
            )
            return (self._feed(x) if is_whole else self._feed_in_chunks(x)), None

        return self._residual("feedforward", x, branch, training)[0]

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

    def _call_with_remat(self, function, inputs, training):
        """`function(*inputs)`; where `remat`, nothing of it is kept for its gradient.

        Args:
            function: Function of tensors that returns a tensor.
            inputs: Tuple of floating-point tensors.
            training: Whether a gradient is to be expected.
        """
        if self.remat and training:
            return remat(self, function, inputs)
        return function(*inputs)
