"""`BaseAttention`: all of a multi-head attention layer but the attention itself."""

import abc
import inspect

import keras
from keras import activations, constraints, initializers, ops, regularizers

from keras_performer.layers import attention_masks as masks
from keras_performer.layers import validation
from keras_performer.layers.attention_axes import AttentionAxes
from keras_performer.layers.attention_masks import AttentionInputs
from keras_performer.layers.forget_gate import memories
from keras_performer.layers.sublayer_state import CompositeLayer
from keras_performer.layers.sublayers import (
    clone_initializer,
    policy_at,
    projection,
)
from keras_performer.ops import rotary
from keras_performer.ops.accumulation import to_accumulation_dtype
from keras_performer.ops.backend.keras_internals import set_keras_mask


class BaseAttention(CompositeLayer, metaclass=abc.ABCMeta):
    """Multi-head attention around an attention that a subclass computes.

    Constructor, call, names, shapes and paths of the weights are those of
    `keras.layers.MultiHeadAttention`, so that weights move from one layer to the
    other. A subclass has `_attend` and `_scores`; the one call is here. A subclass that
    overrides another method of Keras's layer, such as `_compute_attention`, is refused
    when it is made, since nothing would call it.

    Args:
        num_heads: H, the number of heads.
        key_dim: D, the size of a head for queries and keys.
        value_dim: Dv, the size of a head for values. Defaults to `key_dim`.
        dropout: Dropout rate, applied to the heads' outputs before the output
            projection.
        use_bias: Whether the projections of queries, keys, values and outputs have
            biases.
        output_shape: Size of the output's features, an int or a tuple. Defaults to
            the query's.
        attention_axes: The axes that attention runs over, an int or a tuple, of
            inputs that have more than one axis of length. Defaults to all between
            batch and features.
        sliding_window: Must be `None`.
        flash_attention: Must be `None` or `False`.
        kernel_initializer: Initializer of the kernels.
        bias_initializer: Initializer of the biases.
        kernel_regularizer: Regularizer of the kernels.
        bias_regularizer: Regularizer of the biases.
        activity_regularizer: Regularizer of the projections' outputs.
        kernel_constraint: Constraint of the kernels.
        bias_constraint: Constraint of the biases.
        use_gate: Whether the heads' outputs are multiplied by a sigmoid gate of the
            query.
        seed: Integer that seeds the layer, or `None`.
        num_key_value_heads: Hk, the number of heads of keys and values. Defaults to
            `num_heads`.
        rotary_base: Base of rotary positions, or `None` for no positions.
        gate_activation: Activation of the gate.
        normalize_heads: Whether each head's output is divided by its root mean square,
            before the gate.
        forget_gate: Whether a head forgets what was before a position, by a gate of
            the query there.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Call arguments:
        query: Tensor of shape (B, *axes, F).
        value: Tensor of shape (B, *axes, Fv).
        key: Tensor of shape (B, *axes, Fk). Defaults to `value`.
        query_mask: Boolean tensor of shape (B, *axes), or `None`.
        value_mask: Boolean tensor of shape (B, *axes), or `None`.
        key_mask: Boolean tensor of shape (B, *axes), or `None`.
        attention_mask: A key mask, of the shape of the scores with 1 for the queries,
            or `None`.
        return_attention_scores: Whether to return the attention matrix too.
        training: Whether dropout is active.
        use_causal_mask: Whether a query sees only the keys at and before its position.
        segment_ids: Integer tensor of shape (B, *axes), or `None`.
        positions: Integer tensor of shape (B, *axes) or (T,), or `None`.

    Returns:
        Tensor of shape (B, *axes, F), or (B, *axes, *output_shape); with
        `return_attention_scores`, a pair of it and the scores.

    Raises:
        ValueError: If an argument is out of its range.
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
        *,
        num_key_value_heads=None,
        rotary_base=None,
        gate_activation="sigmoid",
        normalize_heads=False,
        forget_gate=False,
        **kwargs,
    ):
        validation.check_size("num_heads", num_heads)
        validation.check_size("key_dim", key_dim)
        validation.check_optional_size("value_dim", value_dim)
        validation.check_key_value_heads(num_heads, num_key_value_heads)
        validation.check_dropout(dropout)
        validation.check_seed(seed)
        validation.check_rotary_base(rotary_base, key_dim)
        validation.refuse_quadratic(sliding_window, flash_attention)
        validation.check_gate_activation(use_gate, gate_activation)
        super().__init__(**kwargs)
        self.supports_masking = True
        self.num_heads = num_heads
        self.num_key_value_heads = num_key_value_heads or num_heads
        self.key_dim = key_dim
        self.value_dim = value_dim or key_dim
        self.dropout = dropout
        self.use_bias = use_bias
        self._use_gate = use_gate
        self.rotary_base = rotary_base
        self.gate_activation = activations.get(gate_activation)
        self.normalize_heads = normalize_heads
        self.forget_gate = forget_gate
        self._output_shape = validation.shape_tuple(output_shape)
        self._attention_axes = validation.axes_tuple(attention_axes)
        self._kernel_initializer = initializers.get(kernel_initializer)
        self._bias_initializer = initializers.get(bias_initializer)
        self._kernel_regularizer = regularizers.get(kernel_regularizer)
        self._bias_regularizer = regularizers.get(bias_regularizer)
        self._activity_regularizer = regularizers.get(activity_regularizer)
        self._kernel_constraint = constraints.get(kernel_constraint)
        self._bias_constraint = constraints.get(bias_constraint)
        self.seed = seed

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        validation.refuse_ignored_methods(cls, BaseAttention)

    @abc.abstractmethod
    def _attend(self, inputs, training):
        """The attention.

        Args:
            inputs: `AttentionInputs`.
            training: Whether the call is one of training, or `None`.

        Returns:
            Tensor of shape (B', T, H, Dv).
        """

    @abc.abstractmethod
    def _scores(self, inputs):
        """The matrix that `_attend` weighs the values with, in O(T·S).

        Args:
            inputs: `AttentionInputs`.

        Returns:
            Tensor of shape (B', H, T, S).
        """

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

    def build(self, query_shape, value_shape=None, key_shape=None):
        validation.refuse_one_input(query_shape, value_shape)
        key_shape = value_shape if key_shape is None else key_shape
        self._axes = AttentionAxes(len(query_shape), self._attention_axes)
        self._axes.check_shapes(query_shape, value_shape, key_shape)
        if self.forget_gate:
            self._axes.check_ordered("forget_gate=True", query_shape)
        heads, key_value_heads = self.num_heads, self.num_key_value_heads
        output_heads = (heads, self.value_dim)
        output_shape = self._output_shape or (query_shape[-1],)
        self._query_dense = self._dense(
            "query", query_shape, "f->hd", (heads, self.key_dim)
        )
        self._key_dense = self._dense(
            "key", key_shape, "f->hd", (key_value_heads, self.key_dim)
        )
        if self._use_gate:
            self._gate_dense = self._dense(
                "gate", query_shape, "f->hd", output_heads, self.gate_activation
            )
        self._value_dense = self._dense(
            "value", value_shape, "f->hd", (key_value_heads, self.value_dim)
        )
        self._output_dense = self._dense(
            "attention_output",
            (*query_shape[:-1], *output_heads),
            "hd->" + "xyz"[: len(output_shape)],
            output_shape,
        )
        if self.forget_gate:
            self._forget_gate_dense = self._dense(
                "forget_gate",
                query_shape,
                "f->h",
                (key_value_heads,),
                bias_initializer=memories(key_value_heads),
            )
        if self.normalize_heads:
            self._head_norm = keras.layers.RMSNormalization(
                epsilon=1e-5,
                dtype=policy_at(self.dtype_policy, f"{self.path}/head_norm"),
                name="head_norm",
            )
            self._head_norm.build((*query_shape[:-1], *output_heads))
        self._dropout_layer = keras.layers.Dropout(
            rate=self.dropout,
            dtype=policy_at(self.dtype_policy, self.path),
            seed=self.seed,
        )

    def call(
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
        *,
        segment_ids=None,
        positions=None,
    ):
        key = value if key is None else key
        given_masks = query_mask, value_mask, key_mask, attention_mask
        self._check_call(
            query, value, key, given_masks, use_causal_mask, segment_ids, positions
        )
        queries, gate = self._query_heads(query)
        keys, values = self._key_value_heads(key, value)
        if segment_ids is not None:
            segment_ids = self._axes.fold(ops.convert_to_tensor(segment_ids))
        inputs = AttentionInputs(
            queries,
            keys,
            values,
            masks.fold_mask(self._axes, query, query_mask),
            masks.merge_key_masks(self._axes, key, *given_masks[1:]),
            segment_ids,
            use_causal_mask,
            self._log_decay(query),
        )
        if self.rotary_base is not None:
            of_queries, of_keys = masks.rotary_positions(self._axes, inputs, positions)
            inputs = inputs._replace(
                queries=rotary(queries, of_queries, self.rotary_base),
                keys=rotary(keys, of_keys, self.rotary_base),
            )
        scores = None
        if return_attention_scores:  # before `_attend`, which may adapt to its inputs
            scores = self._axes.unfold_scores(self._scores(inputs), query, key)
            scores = ops.cast(scores, self.compute_dtype)
        output = self._attend(inputs, training)
        if self.dropout:  # under `keras.remat`, JAX cannot branch on `training`
            output = self._dropout_layer(output, training=training)
        output = self._join_heads(output, gate, query)
        if query_mask is not None:
            set_keras_mask(output, query_mask)
        return (output, scores) if return_attention_scores else output

    def compute_output_shape(self, query_shape, value_shape, key_shape=None):
        key_shape = value_shape if key_shape is None else key_shape
        self._axes_of(query_shape).check_shapes(query_shape, value_shape, key_shape)
        return (*query_shape[:-1], *(self._output_shape or query_shape[-1:]))

    def compute_output_spec(self, *args, **kwargs):
        # A subclass may pass on what it does not name.
        signature = inspect.signature(BaseAttention.call)
        given = signature.bind(self, *args, **kwargs)
        given.apply_defaults()
        call = given.arguments
        query, value = call["query"], call["value"]
        key = value if call["key"] is None else call["key"]
        given_masks = [
            call[f"{of}_mask"] for of in ("query", "value", "key", "attention")
        ]
        sequences = call["use_causal_mask"], call["segment_ids"], call["positions"]
        self._check_call(query, value, key, given_masks, *sequences)
        shape = self.compute_output_shape(query.shape, value.shape, key.shape)
        output = keras.KerasTensor(shape, dtype=self.compute_dtype)
        if not call["return_attention_scores"]:
            return output
        axes = self._axes_of(query.shape)
        scores = axes.scores_shape(self.num_heads, query.shape, value.shape)
        return output, keras.KerasTensor(scores, dtype=self.compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "num_key_value_heads": self.num_key_value_heads,
            "key_dim": self.key_dim,
            "value_dim": self.value_dim,
            "dropout": self.dropout,
            "use_bias": self.use_bias,
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
            "rotary_base": self.rotary_base,
            "gate_activation": activations.serialize(self.gate_activation),
            "normalize_heads": self.normalize_heads,
            "forget_gate": self.forget_gate,
        }

    def _query_heads(self, query):
        """Queries (B', T, H, D) of (B, *axes, F), and the gate (B, *axes, H, Dv)."""
        with masks.detached(query):
            gate = self._gate_dense(query) if self._use_gate else None
            return self._axes.fold(self._query_dense(query)), gate

    def _key_value_heads(self, key, value):
        """Keys (B', S, Hk, D) and values (B', S, Hk, Dv) of (B, *axes, Fk and Fv)."""
        with masks.detached(key, value):
            heads = self._key_dense(key), self._value_dense(value)
        return [self._axes.fold(x) for x in heads]

    def _log_decay(self, query):
        """Log decays (B', T, Hk) of (B, *axes, F), or `None` without a forget gate."""
        if not self.forget_gate:
            return None
        with masks.detached(query):
            gate = self._axes.fold(self._forget_gate_dense(query))
        return ops.log_sigmoid(to_accumulation_dtype(gate))

    def _join_heads(self, output, gate, query):
        """The output of the heads, (B', T, H, Dv), unfolded, gated and projected."""
        output = self._axes.unfold(output, query)
        if self.normalize_heads:
            output = self._head_norm(output)
        if gate is not None:
            output = ops.multiply(output, gate)
        return self._output_dense(output)

    def _check_call(
        self, query, value, key, given_masks, use_causal_mask, segment_ids, positions
    ):
        """Raises a `ValueError` where the arguments of a call do not fit."""
        axes = self._axes_of(query.shape)
        axes.check_shapes(query.shape, value.shape, key.shape)
        masks.check_masks(axes, query, value, *given_masks)
        masks.check_sequences(
            axes, query, value, segment_ids, positions, self.rotary_base
        )
        if use_causal_mask:
            axes.check_ordered("use_causal_mask=True", query.shape)
        if self.forget_gate:
            axes.check_self_attention(query.shape, value.shape)

    def _axes_of(self, query_shape):
        if self.built and len(query_shape) != self._axes.rank:
            raise ValueError(
                f"`query` must have rank {self._axes.rank}, for which the layer "
                f"{self.name!r} was built. Make another layer for another rank. "
                f"Received: query.shape={tuple(query_shape)}"
            )
        return AttentionAxes(len(query_shape), self._attention_axes)

    def _dense(
        self,
        name,
        input_shape,
        features,
        units,
        activation=None,
        bias_initializer=None,
    ):
        """A projection of the features of each position, such as `"f->hd"`, built."""
        dense = projection(
            features,
            units,
            self._axes.rank,
            use_bias=self.use_bias or bias_initializer is not None,
            activation=activation,
            kernel_initializer=clone_initializer(self._kernel_initializer, name),
            bias_initializer=bias_initializer
            or clone_initializer(self._bias_initializer, name),
            kernel_regularizer=self._kernel_regularizer,
            bias_regularizer=self._bias_regularizer,
            activity_regularizer=self._activity_regularizer,
            kernel_constraint=self._kernel_constraint,
            bias_constraint=self._bias_constraint,
            dtype=policy_at(self.dtype_policy, f"{self.path}/{name}"),
            name=name,
        )
        dense.build(input_shape)
        return dense
