"""`PerformerSeq2SeqLM`: a sequence from another one, of any length both."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from keras_performer.models import generation_arguments as arguments
from keras_performer.models.language_model import LanguageModel
from keras_performer.models.performer_seq2seq_backbone import PerformerSeq2SeqBackbone


@keras.saving.register_keras_serializable(package="keras_performer")
class PerformerSeq2SeqLM(LanguageModel):
    """Predicts the next token of a target, from what came before and from a source.

    Train it by `fit({"encoder_token_ids": source, "decoder_token_ids": target[:, :-1]},
    target[:, 1:], sample_weight)` with the loss
    `keras.losses.SparseCategoricalCrossentropy(from_logits=True)`, where each target
    starts with a token that marks the start; a sample weight of 0 at targets that are
    padding leaves them out. Generation reads the source once, and then takes constant
    memory and a constant time for each token, whatever the lengths of both.

    Args:
        backbone: A `PerformerSeq2SeqBackbone`.
        **kwargs: Arguments of `keras.Model`, such as `name`.

    Call arguments:
        inputs: Dictionary of `encoder_token_ids`, an integer tensor of shape (B, S),
            and `decoder_token_ids`, one of shape (B, T), 0 where there is padding.

    Returns:
        Logits of the target's tokens that follow, float32 tensor of shape (B, T, V).

    Raises:
        ValueError: If the backbone is another one.

    Example:

    >>> import numpy as np
    >>> backbone = PerformerSeq2SeqBackbone(
    ...     vocabulary_size=257, num_layers=1, num_heads=2, hidden_dim=16,
    ...     intermediate_dim=32, seed=0,
    ... )
    >>> model = PerformerSeq2SeqLM(backbone)
    >>> model({
    ...     "encoder_token_ids": np.ones((1, 100), "int32"),
    ...     "decoder_token_ids": np.ones((1, 7), "int32"),
    ... }).shape
    TensorShape([1, 7, 257])
    >>> sources = [[5, 3, 2], [7]]
    >>> model.generate(sources, max_new_tokens=4, prompt_ids=[[1], [1]]).shape
    (2, 4)
    """

    def __init__(self, backbone: PerformerSeq2SeqBackbone, **kwargs: Any) -> None:
        if not isinstance(backbone, PerformerSeq2SeqBackbone):
            raise ValueError(
                "The backbone must be a `PerformerSeq2SeqBackbone`, which has an "
                "encoder and a decoder; for one stack there is `PerformerCausalLM`. "
                f"Received: backbone={backbone!r}"
            )
        hidden_states = backbone(backbone.input)["decoder_sequence_output"]
        super().__init__(backbone, hidden_states, **kwargs)

    def generate(
        self,
        encoder_token_ids: Any,
        max_new_tokens: int,
        prompt_ids: Any,
        sampler: Any = "greedy",
        stop_token_ids: Sequence[int] | None = None,
        seed: int | None = None,
    ) -> np.ndarray:
        """Generates the targets of sources, from what they start with.

        See `PerformerCausalLM.generate` for what is compiled and when. The source is
        read at once, padded to a power of two.

        Args:
            encoder_token_ids: The sources: rows of token ids, of any lengths: a list of
                lists or arrays, or an integer array of shape (B, S). Zeros are padding
                and left out.
            max_new_tokens: How many tokens are generated for each row.
            prompt_ids: The start of each target: rows of token ids, at least the token
                that marks the start, such as `[[1]] * B`.
            sampler: `"greedy"`, `"random"`, `"top_k"`, `"top_p"`, `"beam"`, an object
                of `samplers`, or one of `keras_hub.samplers`.
            stop_token_ids: Tokens after which a row ends; `None` for none.
            seed: Integer that seeds the sampler anew; `None` to continue its random
                numbers.

        Returns:
            The new tokens, int32 array of shape (B, max_new_tokens), 0 after the first
            stop token of a row.

        Raises:
            ValueError: If a source or a prompt has no token, there are not as many
                of them, a token is not of the vocabulary, `max_new_tokens` is not
                positive, the sampler is unknown, or the backbone cannot stream or
                cannot go so far.
        """
        start = functools.partial(self._read_source, encoder_token_ids)
        return self._generate(
            start, prompt_ids, max_new_tokens, sampler, stop_token_ids, seed
        )

    def stream(
        self,
        encoder_token_ids: Any,
        max_new_tokens: int,
        prompt_ids: Any,
        sampler: Any = "greedy",
        stop_token_ids: Sequence[int] | None = None,
        seed: int | None = None,
    ) -> Iterator[np.ndarray]:
        """Generates the tokens of `generate` and yields them as they come.

        Args:
            encoder_token_ids: The sources: rows of token ids, of any lengths: a list of
                lists or arrays, or an integer array of shape (B, S).
            max_new_tokens: How many tokens are generated for each row.
            prompt_ids: The start of each target: rows of token ids.
            sampler: A name, an object of `samplers` or one of `keras_hub.samplers`, but
                none with beams: their tokens are known only at the end.
            stop_token_ids: Tokens after which a row ends; `None` for none.
            seed: Integer that seeds the sampler anew; `None` to continue its random
                numbers.

        Returns:
            A Python generator of int32 arrays of shape (B,), which ends when all rows
            have stopped.

        Raises:
            ValueError: If `generate` would raise one, or the sampler has beams.
        """
        start = functools.partial(self._read_source, encoder_token_ids)
        return self._stream(
            start, prompt_ids, max_new_tokens, sampler, stop_token_ids, seed
        )

    def _read_source(self, encoder_token_ids, num_prompts):
        """The state before the first token of each target."""
        backbone = self.backbone
        rows = arguments.token_rows(
            encoder_token_ids, backbone.vocabulary_size, "encoder_token_ids"
        )
        if len(rows) != num_prompts:
            raise ValueError(
                "There must be one prompt for each source. Received: "
                f"{len(rows)} rows of `encoder_token_ids`, {num_prompts} rows of "
                "`prompt_ids`"
            )
        source = arguments.right_padded(rows, backbone.max_sequence_length)
        return self._generator().read_source(source)
