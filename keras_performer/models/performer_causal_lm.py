"""`PerformerCausalLM`: the next token of a sequence of any length."""

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from keras_performer.models.language_model import LanguageModel
from keras_performer.models.performer_backbone import PerformerBackbone


@keras.saving.register_keras_serializable(package="keras_performer")
class PerformerCausalLM(LanguageModel):
    """Predicts the next token: a causal backbone, and its token embedding in reverse.

    Train it by `fit(token_ids[:, :-1], token_ids[:, 1:], sample_weight)` with the loss
    `keras.losses.SparseCategoricalCrossentropy(from_logits=True)`; a sample weight of
    0 at targets that are padding leaves them out. Generation takes constant memory and
    constant time for each token, however long the sequence becomes.

    Args:
        backbone: A `PerformerBackbone` with `causal=True`.
        **kwargs: Arguments of `keras.Model`, such as `name`.

    Call arguments:
        token_ids: Integer tensor of shape (B, T), 0 where there is padding.

    Returns:
        Logits of the tokens that follow, float32 tensor of shape (B, T, V).

    Raises:
        ValueError: If the backbone is not causal.

    Example:

    >>> import numpy as np
    >>> from keras_performer.models import PerformerBackbone
    >>> backbone = PerformerBackbone(
    ...     vocabulary_size=257, num_layers=1, num_heads=2, hidden_dim=16,
    ...     intermediate_dim=32, causal=True, seed=0,
    ... )
    >>> model = PerformerCausalLM(backbone)
    >>> model(np.ones((1, 100), "int32")).shape
    TensorShape([1, 100, 257])
    >>> model.generate([[5, 3, 2], [7]], max_new_tokens=4).shape
    (2, 4)
    """

    def __init__(self, backbone: PerformerBackbone, **kwargs: Any) -> None:
        if not backbone.causal:
            raise ValueError(
                "The backbone must be made with `causal=True`: in another one a "
                "position sees the token that it shall predict. Received: "
                f"causal={backbone.causal}"
            )
        super().__init__(backbone, backbone(backbone.input), **kwargs)

    def generate(
        self,
        prompt_ids: Any,
        max_new_tokens: int,
        sampler: Any = "greedy",
        stop_token_ids: Sequence[int] | None = None,
        seed: int | None = None,
    ) -> np.ndarray:
        """Generates tokens that continue prompts.

        The prompt is read and the loop runs in compiled functions, which are compiled
        once for a batch size, `max_new_tokens` and sampler. Give the same sampler
        again, rather than a new one, to use what was compiled for it.

        Args:
            prompt_ids: Rows of token ids, of any lengths: a list of lists or arrays,
                or an integer array of shape (B, T). Zeros are padding and left out.
            max_new_tokens: How many tokens are generated for each row.
            sampler: `"greedy"`, `"random"`, `"top_k"`, `"top_p"`, `"beam"`, an object
                of `samplers`, or one of `keras_hub.samplers`.
            stop_token_ids: Tokens after which a row ends; `None` for none.
            seed: Integer that seeds the sampler anew; `None` to continue its random
                numbers.

        Returns:
            The new tokens, int32 array of shape (B, max_new_tokens), 0 after the first
            stop token of a row.

        Raises:
            ValueError: If a prompt has no token, a token is not of the vocabulary,
                `max_new_tokens` is not positive, the sampler is unknown, or the
                backbone cannot stream or cannot go so far.
        """
        start = self.backbone.initial_state
        return self._generate(
            start, prompt_ids, max_new_tokens, sampler, stop_token_ids, seed
        )

    def stream(
        self,
        prompt_ids: Any,
        max_new_tokens: int,
        sampler: Any = "greedy",
        stop_token_ids: Sequence[int] | None = None,
        seed: int | None = None,
    ) -> Iterator[np.ndarray]:
        """Generates the tokens of `generate` and yields them as they come.

        Args:
            prompt_ids: Rows of token ids, of any lengths: a list of lists or arrays,
                or an integer array of shape (B, T). Zeros are padding and left out.
            max_new_tokens: How many tokens are generated for each row.
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
        start = self.backbone.initial_state
        return self._stream(
            start, prompt_ids, max_new_tokens, sampler, stop_token_ids, seed
        )
