"""`MultiHeadLayer`: what every multi-head attention has around its attention."""

import keras
from keras import constraints, dtype_policies, initializers, ops, regularizers

from keras_performer.layers import attention_arguments as arguments
from keras_performer.layers import attention_masks
from keras_performer.layers.attention_axes import AttentionAxes
from keras_performer.layers.reseeded import reseeded
from keras_performer.layers.saved_policy import policy_at, saved_policy


class MultiHeadLayer(keras.layers.Layer):
    """The projections of multi-head attention, as in `keras.layers.MultiHeadAttention`.

    A base class: a subclass calls `build_projections` in its `build`, and attends
    between `query_dense`, `key_dense`, `value_dense` and `output_dense` in its `call`.
    Names, shapes and paths of the weights are Keras's, so that weights move from one
    layer to the other.

    Args:
        num_heads: As for `FastAttention`, and so on.
    """

    def __init__(
        self,
        num_heads,
        key_dim,
        value_dim=None,
        dropout=0.0,
        use_bias=True,
        output_shape=None,
        attention_axes=None,
        sliding_window=None,
        flash_attention=None,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        use_gate=False,
        seed=None,
        num_key_value_heads=None,
        **kwargs,
    ):
        arguments.check_sizes(num_heads, key_dim, value_dim)
        arguments.check_key_value_heads(num_heads, num_key_value_heads)
        arguments.check_dropout(dropout)
        arguments.check_seed(seed)
        arguments.refuse_quadratic(sliding_window, flash_attention)
        super().__init__(**kwargs)
        self.supports_masking = True
        self._num_heads = num_heads
        self._num_key_value_heads = num_key_value_heads or num_heads
        self._key_dim = key_dim
        self._value_dim = value_dim or key_dim
        self._dropout = dropout
        self._use_bias = use_bias
        self._use_gate = use_gate
        self._output_shape = arguments.shape_tuple(output_shape)
        self._attention_axes = arguments.axes_tuple(attention_axes)
        self._kernel_initializer = initializers.get(kernel_initializer)
        self._bias_initializer = initializers.get(bias_initializer)
        self._kernel_regularizer = regularizers.get(kernel_regularizer)
        self._bias_regularizer = regularizers.get(bias_regularizer)
        self._activity_regularizer = regularizers.get(activity_regularizer)
        self._kernel_constraint = constraints.get(kernel_constraint)
        self._bias_constraint = constraints.get(bias_constraint)
        self.seed = seed

    @property
    def num_heads(self):
        return self._num_heads

    @property
    def num_key_value_heads(self):
        return self._num_key_value_heads

    @property
    def key_dim(self):
        return self._key_dim

    @property
    def value_dim(self):
        return self._value_dim

    @property
    def dropout(self):
        return self._dropout

    @property
    def use_bias(self):
        return self._use_bias

    @property
    def attention_axes(self):
        """The axes of attention, as given; as non-negative ints once it is built."""
        return self._axes.attended if self.built else self._attention_axes

    @property
    def query_dense(self):
        return self._query_dense

    @property
    def key_dense(self):
        return self._key_dense

    @property
    def value_dense(self):
        return self._value_dense

    @property
    def output_dense(self):
        return self._output_dense

    def build_projections(self, query_shape, value_shape, key_shape=None):
        """Makes the sublayers.

        Args:
            query_shape: Shape of the queries, (B, *axes, F).
            value_shape: Shape of the values, (B, *axes, Fv).
            key_shape: Shape of the keys, (B, *axes, Fk); `None` for the values'.
        """
        key_shape = value_shape if key_shape is None else key_shape
        self._axes = AttentionAxes(len(query_shape), self._attention_axes)
        self._axes.check_shapes(query_shape, value_shape, key_shape)
        query_heads = (self._num_heads, self._key_dim)
        key_heads = (self._num_key_value_heads, self._key_dim)
        value_heads = (self._num_key_value_heads, self._value_dim)
        output_heads = (self._num_heads, self._value_dim)
        # Equations of the inputs' rank: the activity regularizer, as Keras's, then
        # divides by the batch alone. The weights do not depend on the rank.
        bt = "b" + "tuvwijklmnopq"[: self._axes.rank - 2]
        heads = f"{bt}f,fhd->{bt}hd"
        self._query_dense = self._dense("query", heads, "hd", query_heads)
        self._query_dense.build(query_shape)
        self._key_dense = self._dense("key", heads, "hd", key_heads)
        self._key_dense.build(key_shape)
        if self._use_gate:
            self._gate_dense = self._dense(
                "gate", heads, "hd", output_heads, activation="sigmoid"
            )
            self._gate_dense.build(query_shape)
        self._value_dense = self._dense("value", heads, "hd", value_heads)
        self._value_dense.build(value_shape)
        output_shape = self._output_shape or (query_shape[-1],)
        out = "xyz"[: len(output_shape)]
        self._output_dense = self._dense(
            "attention_output", f"{bt}hd,hd{out}->{bt}{out}", out, output_shape
        )
        self._output_dense.build((*query_shape[:-1], *output_heads))
        self._dropout_layer = keras.layers.Dropout(
            rate=self._dropout,
            dtype=policy_at(self.dtype_policy, self.path),
            seed=self.seed,
        )

    def compute_output_shape(self, query_shape, value_shape, key_shape=None):
        key_shape = value_shape if key_shape is None else key_shape
        axes = self._axes_of(query_shape)
        axes.check_shapes(query_shape, value_shape, key_shape)
        return (*query_shape[:-1], *(self._output_shape or query_shape[-1:]))

    def compute_output_spec(
        self,
        query,
        value,
        key=None,
        query_mask=None,
        value_mask=None,
        key_mask=None,
        attention_mask=None,
        return_attention_scores=False,
        training=None,
        use_causal_mask=False,
    ):
        key = value if key is None else key
        masks = (query_mask, value_mask, key_mask, attention_mask)
        self.check_call(query, value, key, masks, use_causal_mask)
        shape = self.compute_output_shape(query.shape, value.shape, key.shape)
        output = keras.KerasTensor(shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return output
        axes = self._axes_of(query.shape)
        scores = axes.scores_shape(self._num_heads, query.shape, value.shape)
        return output, keras.KerasTensor(scores, dtype=self.compute_dtype)

    def check_call(self, query, value, key, masks, use_causal_mask):
        """Raises a `ValueError` where the inputs of a call do not fit.

        Args:
            query: Tensor of shape (B, *axes, F).
            value: Tensor of shape (B, *axes, Fv).
            key: Tensor of shape (B, *axes, Fk).
            masks: `query_mask`, `value_mask`, `key_mask` and `attention_mask`, each
                as for `FastAttention` or `None`.
            use_causal_mask: Whether a query sees only what is at or before it.
        """
        axes = self._axes_of(query.shape)
        axes.check_shapes(query.shape, value.shape, key.shape)
        attention_masks.check_masks(axes, query, value, *masks)
        if use_causal_mask and len(axes.attended) > 1:
            raise ValueError(
                "`use_causal_mask=True` needs one axis of attention: several have no "
                "order of before and after. Flatten them in the order you mean, as by "
                "`keras.layers.Reshape`, or choose one by `attention_axes`. Received: "
                f"query.shape={tuple(query.shape)}, attention over axes {axes.attended}"
            )

    def get_config(self):
        return {
            **super().get_config(),
            "dtype": dtype_policies.serialize(saved_policy(self)),
            "num_heads": self._num_heads,
            "num_key_value_heads": self._num_key_value_heads,
            "key_dim": self._key_dim,
            "value_dim": self._value_dim,
            "dropout": self._dropout,
            "use_bias": self._use_bias,
            "output_shape": self._output_shape,
            "attention_axes": self._attention_axes,
            "kernel_initializer": initializers.serialize(self._kernel_initializer),
            "bias_initializer": initializers.serialize(self._bias_initializer),
            "kernel_regularizer": regularizers.serialize(self._kernel_regularizer),
            "bias_regularizer": regularizers.serialize(self._bias_regularizer),
            "activity_regularizer": regularizers.serialize(self._activity_regularizer),
            "kernel_constraint": constraints.serialize(self._kernel_constraint),
            "bias_constraint": constraints.serialize(self._bias_constraint),
            "use_gate": self._use_gate,
            "seed": self.seed,
        }

    def _heads(self, query, key, value):
        """Queries (B', T, H, D), keys (B', S, Hk, D), values (B', S, Hk, Dv); the gate.

        The axes of attention are folded into one; the gate, (B, *axes, H, Dv), is not.
        """
        queries, gate = self._query_heads(query)
        return (queries, *self._key_heads(key, value)), gate

    def _query_heads(self, query):
        with attention_masks.detached(query):
            gate = self._gate_dense(query) if self._use_gate else None
            return self._axes.fold(self._query_dense(query)), gate

    def _key_heads(self, key, value):
        with attention_masks.detached(key, value):
            heads = self._key_dense(key), self._value_dense(value)
        return [self._axes.fold(x) for x in heads]

    def _joined(self, output, gate, query):
        """The output of the heads, (B', T, H, Dv), unfolded, gated and projected."""
        output = self._axes.unfold(output, query)
        if gate is not None:
            output = ops.multiply(output, gate)
        return self._output_dense(output)

    def _axes_of(self, query_shape):
        if self.built and len(query_shape) != self._axes.rank:
            raise ValueError(
                f"`query` must have rank {self._axes.rank}, for which the layer "
                f"{self.name!r} was built. Make another layer for another rank. "
                f"Received: query.shape={tuple(query_shape)}"
            )
        return AttentionAxes(len(query_shape), self._attention_axes)

    def _dense(self, name, equation, bias_axes, units, activation=None):
        length = (None,) * (len(equation.split("->")[1]) - 1 - len(units))
        return keras.layers.EinsumDense(
            equation,
            output_shape=(*length, *units),
            bias_axes=bias_axes if self._use_bias else None,
            activation=activation,
            kernel_initializer=reseeded(self._kernel_initializer, name),
            bias_initializer=reseeded(self._bias_initializer, name),
            kernel_regularizer=self._kernel_regularizer,
            bias_regularizer=self._bias_regularizer,
            activity_regularizer=self._activity_regularizer,
            kernel_constraint=self._kernel_constraint,
            bias_constraint=self._bias_constraint,
            dtype=policy_at(self.dtype_policy, f"{self.path}/{name}"),
            name=name,
        )
