"""`PerformerCausalLM`: the next token of a sequence of any length."""

import keras

from keras_performer.models.language_model import LanguageModel


@keras.saving.register_keras_serializable(package="keras_performer")
class PerformerCausalLM(LanguageModel):
    """Predicts the next token: a causal backbone, and its token embedding in reverse.

    Train it by `fit(token_ids[:, :-1], token_ids[:, 1:], sample_weight)` with the loss
    `keras.losses.SparseCategoricalCrossentropy(from_logits=True)`; a sample weight of
    0 at targets that are padding leaves them out. Generation takes constant memory and
    a constant time for each token, however far it goes.

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

    def __init__(self, backbone, **kwargs):
        if not backbone.causal:
            raise ValueError(
                "The backbone must be made with `causal=True`: in another one a "
                "position sees the token that it shall predict. Received: "
                f"causal={backbone.causal}"
            )
        super().__init__(backbone, backbone(backbone.input), **kwargs)

    def generate(
        self,
        prompt_ids,
        max_new_tokens,
        sampler="greedy",
        stop_token_ids=None,
        seed=None,
    ):
        """Generates tokens that go on from prompts.

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
            seed: Integer from which a sampler that draws starts anew; `None` to go on
                with its random numbers.

        Returns:
            The new tokens, int32 array of shape (B, max_new_tokens), 0 after the first
            stop token of a row.

        Raises:
            ValueError: If a prompt has no token, a token is not of the vocabulary,
                `max_new_tokens` is not positive, the sampler is unknown, or the
                backbone cannot stream or cannot go so far.
        """
        return self._generate(
            self.backbone.initial_state,
            prompt_ids,
            max_new_tokens,
            sampler,
            stop_token_ids,
            seed,
        )

    def stream(
        self,
        prompt_ids,
        max_new_tokens,
        sampler="greedy",
        stop_token_ids=None,
        seed=None,
    ):
        """Generates the tokens of `generate` and yields them as they come.

        Args:
            prompt_ids: As for `generate`.
            max_new_tokens: As for `generate`.
            sampler: As for `generate`; not one with beams, which are known only at the
                end.
            stop_token_ids: As for `generate`.
            seed: As for `generate`.

        Returns:
            A Python generator of int32 arrays of shape (B,), which ends where all rows
            have stopped.

        Raises:
            ValueError: As `generate`, or if the sampler has beams.
        """
        return self._stream(
            self.backbone.initial_state,
            prompt_ids,
            max_new_tokens,
            sampler,
            stop_token_ids,
            seed,
        )
