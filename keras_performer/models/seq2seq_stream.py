"""`Seq2SeqStream`: a decoder span by span, beside a source that is read once."""

import keras
from keras import ops


class Seq2SeqStream(keras.Model):
    """What an encoder-decoder can do with a state: go on from it.

    A base class, of which `PerformerSeq2SeqBackbone` is made. The state is a value that
    is passed and returned; the model keeps none.
    """

    def initial_state(self, encoder_token_ids):
        """The state of the decoder's stream before its first token.

        The source is read here, once: the state has the sums that cross-attention needs
        of it. Its size depends neither on the source's length nor on how long the
        stream becomes.

        Args:
            encoder_token_ids: Integer tensor of shape (B, S), 0 where there is padding.

        Returns:
            A tuple with a pair for each block: its `StreamState`, and the
            `AttentionState` of the source.

        Raises:
            ValueError: If the decoder cannot stream.

        Example:

        >>> import numpy as np
        >>> from keras_performer.models import PerformerSeq2SeqBackbone
        >>> backbone = PerformerSeq2SeqBackbone(
        ...     vocabulary_size=257, num_layers=1, num_heads=2, hidden_dim=16,
        ...     intermediate_dim=32, seed=0,
        ... )
        >>> source, target = np.arange(1, 100)[None], np.arange(1, 10)[None]
        >>> whole = backbone(
        ...     {"encoder_token_ids": source, "decoder_token_ids": target}
        ... )["decoder_sequence_output"]
        >>> state = backbone.initial_state(source)
        >>> start, state = backbone.stream(target[:, :8], state)
        >>> last, state = backbone.stream(target[:, 8:], state)
        >>> bool(np.allclose(whole[:, 8:], last, atol=1e-5))
        True
        """
        if self.positions == "sinusoidal":
            raise ValueError(
                "A stream needs a decoder whose positions are 'rotary' or 'learned', "
                "which go on from a state. Received: positions='sinusoidal'"
            )
        batch = ops.shape(encoder_token_ids)[0]
        source = self.encoder(encoder_token_ids, training=False)
        mask = ops.not_equal(encoder_token_ids, 0)
        states = []
        for block in self.decoder_blocks:
            _, *state = block(
                source[:, :0],  # no token yet
                source,
                encoder_padding_mask=mask,
                self_attention_cache=block.initial_state(batch),
                cross_attention_cache=block.initial_cross_state(batch),
                cross_attention_cache_update_index=0,
                training=False,
            )
            states.append(tuple(state))
        return tuple(states)

    def stream(self, decoder_token_ids, state):
        """The decoder's vectors of a span of tokens, from the state before it.

        Padding leaves the state as it is: rows of unequal length are padded on the
        left.

        Args:
            decoder_token_ids: Integer tensor of shape (B, T), 0 where there is padding.
            state: What `initial_state` or the call before returned.

        Returns:
            Tensor of shape (B, T, F), and the new state.

        Raises:
            ValueError: If the state is of another backbone.
        """
        mask = ops.not_equal(decoder_token_ids, 0)
        x = self.token_embedding(decoder_token_ids)
        if self._add_positions is not None:
            x = self._add_positions(x, mask=mask, start_index=state[0][0].position)
        if not self.normalize_first:
            x = self._norm(x)
        states = []
        for block, (before, of_source) in zip(self.decoder_blocks, state, strict=True):
            x, *after = block(
                x,
                x[:, :0],  # the source is in its state
                decoder_padding_mask=mask,
                self_attention_cache=before,
                cross_attention_cache=of_source,
                training=False,
            )
            states.append(tuple(after))
        return (self._norm(x) if self.normalize_first else x), tuple(states)
