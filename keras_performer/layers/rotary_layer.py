"""`RotaryLayer`: heads of a sequence with its masks, segments and rotary positions."""

from keras import ops

from keras_performer.layers import attention_arguments as arguments
from keras_performer.layers import attention_masks as masks
from keras_performer.layers.multi_head_layer import MultiHeadLayer
from keras_performer.layers.sequence_arguments import check_sequences, positions_of
from keras_performer.ops import rotary


class RotaryLayer(MultiHeadLayer):
    """What every attention over a sequence does before it attends.

    A base class: `FastAttention` has the arguments' meanings.

    Args:
        rotary_base: As for `FastAttention`.
        **kwargs: Arguments of `MultiHeadLayer`.
    """

    def __init__(self, *, rotary_base=None, **kwargs):
        super().__init__(**kwargs)
        arguments.check_rotary_base(rotary_base, self.key_dim)
        self._rotary_base = rotary_base

    @property
    def rotary_base(self):
        return self._rotary_base

    def compute_output_spec(
        self, query, value, *args, segment_ids=None, positions=None, **kwargs
    ):
        self.check_positions(query, value, segment_ids, positions)
        return super().compute_output_spec(query, value, *args, **kwargs)

    def check_positions(self, query, value, segment_ids, positions):
        """Raises a `ValueError` where a call's segments or positions do not fit."""
        check_sequences(query, value, segment_ids, positions)
        if positions is not None and self._rotary_base is None:
            raise ValueError(
                "`positions` are for rotary positions, which this layer has not: give "
                "it a `rotary_base`, or leave them out. Received: positions.shape="
                f"{tuple(positions.shape)}"
            )

    def get_config(self):
        return {**super().get_config(), "rotary_base": self._rotary_base}

    def _sequence(
        self, query, value, key, given_masks, use_causal_mask, segment_ids, positions
    ):
        """What a call attends with, checked, folded and rotated.

        Args:
            query: As for `FastAttention`, as what follows.
            value: Tensor of shape (B, *axes, Fv).
            key: Tensor of shape (B, *axes, Fk), or `None`.
            given_masks: `query_mask`, `value_mask`, `key_mask` and `attention_mask`.
            use_causal_mask: Whether a query sees only what is at or before it.
            segment_ids: Integer tensor of shape (B, *axes), or `None`.
            positions: Integer tensor, or `None`.

        Returns:
            Queries (B', T, H, D), keys (B', S, Hk, D) and values (B', S, Hk, Dv); the
            gate, or `None`; masks of the queries (B', T) and of the keys (B', S), and
            segments (B', T), or `None` each.
        """
        key = value if key is None else key
        self.check_call(query, value, key, given_masks, use_causal_mask)
        self.check_positions(query, value, segment_ids, positions)
        key_mask = masks.merge_key_masks(self._axes, key, *given_masks[1:])
        counted = masks.fold_mask(self._axes, query, given_masks[0])
        if segment_ids is not None:
            segment_ids = self._axes.fold(ops.convert_to_tensor(segment_ids))
        (queries, keys, values), gate = self._heads(query, key, value)
        if self._rotary_base is not None:
            of_queries, of_keys = positions_of(
                self._axes,
                (queries, keys),
                positions,
                (counted, key_mask),
                segment_ids,
                is_causal=use_causal_mask or segment_ids is not None,
            )
            queries = self._rotated(queries, of_queries)
            keys = self._rotated(keys, of_keys)
        return (queries, keys, values), gate, counted, key_mask, segment_ids

    def _finished(self, output, gate, query, query_mask, training):
        """The layer's output of the heads' (B', T, H, Dv), with its Keras mask."""
        if self._dropout:  # under `keras.remat`, JAX cannot branch on `training`
            output = self._dropout_layer(output, training=training)
        output = self._joined(output, gate, query)
        masks.set_keras_mask(output, query_mask)
        return output

    def _rotated(self, x, positions):
        """Heads (B', T, H, D) at their positions, which broadcast to (B', T)."""
        return rotary(x, positions, self._rotary_base)
