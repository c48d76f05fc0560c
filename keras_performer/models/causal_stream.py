"""`CausalStream`: a causal backbone, span by span, in memory that does not grow."""

import keras


class CausalStream(keras.Model):
    """What a causal backbone can do with a state: go on from it.

    A base class, of which `PerformerBackbone` is made. The state is a value that is
    passed and returned; the model keeps none.
    """

    def initial_state(self, batch_size):
        """The state of a causal stream before its first token.

        Its size does not depend on how long the stream becomes.

        Args:
            batch_size: B, the number of streams side by side.

        Returns:
            A tuple with the `StreamState` of each block.

        Raises:
            ValueError: If the backbone cannot stream.

        Example:

        >>> import numpy as np
        >>> from keras_performer.models import PerformerBackbone
        >>> backbone = PerformerBackbone(
        ...     vocabulary_size=257, num_layers=1, num_heads=2, hidden_dim=16,
        ...     intermediate_dim=32, causal=True, seed=0,
        ... )
        >>> token_ids = np.arange(1, 10)[None]
        >>> state = backbone.initial_state(batch_size=1)
        >>> start, state = backbone.stream(token_ids[:, :8], state)
        >>> last, state = backbone.stream(token_ids[:, 8:], state)
        >>> bool(np.allclose(backbone(token_ids)[:, 8:], last, atol=1e-5))
        True
        """
        self._check_streams()
        return tuple(block.initial_state(batch_size) for block in self.blocks)

    def stream(self, token_ids, state):
        """The vectors of a span of tokens, from the state before it.

        Padding leaves the state as it is: rows of unequal length are padded on the
        left.

        Args:
            token_ids: Integer tensor of shape (B, T), 0 where there is padding.
            state: What `initial_state` or the call before returned.

        Returns:
            Tensor of shape (B, T, F), and the new state.

        Raises:
            ValueError: If the backbone cannot stream, or the state is of another one.
        """
        self._check_streams()
        mask = keras.ops.not_equal(token_ids, 0)
        x = self.token_embedding(token_ids)
        if self._add_positions is not None:
            x = self._add_positions(x, mask=mask, start_index=state[0].position)
        if not self.normalize_first:
            x = self._norm(x)
        states = []
        for block, before in zip(self.blocks, state, strict=True):
            x, after = block(
                x,
                decoder_padding_mask=mask,
                self_attention_cache=before,
                training=False,
            )
            states.append(after)
        return (self._norm(x) if self.normalize_first else x), tuple(states)

    def _check_streams(self):
        if not self.causal or self.positions == "sinusoidal":
            raise ValueError(
                "A stream needs a backbone with `causal=True`, whose positions are "
                "'rotary' or 'learned', which go on from a state. Received: "
                f"causal={self.causal}, positions={self.positions!r}"
            )
