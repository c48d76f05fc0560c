"""`Sampler`: a loop that asks a model for logits and chooses one token each time."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

Next = Callable[[Any, Any, Any], tuple[Any, Any, Any]]


class Sampler:
    """Chooses tokens from logits, one position after the other.

    A base class: a subclass chooses the next token in `choose`. The call is that of
    `keras_hub.samplers.Sampler`.

    Call arguments:
        next: Function `(prompt, cache, index) -> logits, hidden_states, cache` that
            gives the logits (B, V) of the token at an index.
        prompt: Integer tensor of shape (B, T): tokens, and room for those to come.
        cache: Pytree of tensors with leading B, which `next` takes and returns.
        index: The first position to be written.
        mask: Boolean tensor of shape (B, T), True at tokens that are given and stay.
        stop_token_ids: Tokens after which a row writes only 0, or `None`.
        hidden_states: Not used here; others of KerasHub's compare tokens by them.
        model: Not used here; KerasHub's name its weights for JAX.

    Returns:
        Integer tensor of shape (B, T), the prompt with the tokens that were chosen.

    Example:

    >>> import numpy as np
    >>> from keras_performer.models.samplers import GreedySampler
    >>> def count(prompt, cache, index):  # after a token comes the next larger one
    ...     return ops.one_hot(prompt[:, index - 1] + 1, 9), None, cache
    >>> prompt = np.array([[3, 0, 0, 0, 0]])
    >>> np.asarray(GreedySampler()(count, prompt, index=1)).tolist()
    [[3, 4, 5, 6, 7]]
    >>> tokens = GreedySampler()(count, prompt, index=1, stop_token_ids=[5])
    >>> np.asarray(tokens).tolist()
    [[3, 4, 5, 0, 0]]
    """

    @property
    def variables(self) -> list[Any]:
        """List of the variables of a `keras.random.SeedGenerator`, if there is one."""
        return []

    def choose(self, logits: Any) -> Any:
        """The next token of each row.

        Args:
            logits: float32 tensor of shape (B, V).

        Returns:
            Integer tensor of shape (B,).
        """
        raise NotImplementedError

    def __call__(
        self,
        next: Next,
        prompt: Any,
        cache: Any = None,
        index: Any = 0,
        mask: Any = None,
        stop_token_ids: Sequence[int] | None = None,
        hidden_states: Any = None,
        model: Any = None,
    ) -> Any:
        prompt, index, mask = as_tensors(prompt, index, mask)
        stopped = ops.zeros(ops.shape(prompt)[:1], dtype="bool")

        def body(
            prompt: Any, cache: Any, index: Any, stopped: Any, seeds: Any
        ) -> tuple[Any, ...]:
            logits, _, cache = next(prompt, cache, index)
            logits = ops.cast(logits, "float32")
            # Only here, so that the model's weights are those of the scope around.
            states = list(zip(self.variables, seeds, strict=True))
            with keras.StatelessScope(state_mapping=states) as scope:
                token = self.choose(logits)
            seeds = [scope.get_current_value(v) for v in self.variables]
            token = ops.where(stopped, 0, ops.cast(token, prompt.dtype))
            given = ops.take(mask, index, axis=1)
            token = ops.where(given, ops.take(prompt, index, axis=1), token)
            stops = ops.logical_and(is_any(token, stop_token_ids), ~given)
            prompt = write(prompt, index, token)
            return prompt, cache, index + 1, ops.logical_or(stopped, stops), seeds

        seeds = [ops.convert_to_tensor(v) for v in self.variables]
        prompt, _, _, _, seeds = ops.while_loop(
            lambda prompt, cache, index, stopped, seeds: ~ops.all(stopped),
            body,
            (prompt, () if cache is None else cache, index, stopped, seeds),
            maximum_iterations=ops.shape(prompt)[1] - index,
        )
        for variable, value in zip(self.variables, seeds, strict=True):
            variable.assign(value)
        return prompt

    def get_config(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Sampler":
        return cls(**config)


def as_tensors(prompt: Any, index: Any, mask: Any) -> tuple[Any, Any, Any]:
    """Arguments of a sampler as tensors; without a mask no token is given."""
    prompt = ops.convert_to_tensor(prompt)
    if mask is None:
        mask = ops.zeros_like(prompt, dtype="bool")
    return prompt, ops.cast(index, "int32"), ops.cast(mask, "bool")


def is_any(token: Any, token_ids: Sequence[int] | None) -> Any:
    """Whether a token (B,) is one of a list, or of none."""
    token_ids = ops.convert_to_tensor(list(token_ids or ()), dtype=token.dtype)
    return ops.any(token[:, None] == token_ids, axis=1)


def write(prompt: Any, index: Any, token: Any) -> Any:
    """A prompt (B, T) with a token (B,) at an index, an int32 scalar."""
    start = (ops.zeros_like(index), index)  # of one type, which JAX asks for
    return ops.slice_update(prompt, start, token[:, None])
