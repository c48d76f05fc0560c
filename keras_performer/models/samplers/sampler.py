"""`Sampler`: a loop that asks a model for logits and writes one token after another."""

import keras
from keras import ops


class Sampler:
    """What chooses tokens, one position after the other.

    A base class: a subclass says in `choose` which token the logits lead to. It is
    called as those of `keras_hub.samplers` are.

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
    def variables(self):
        """The states of the seeds, as `keras.random.SeedGenerator` has them."""
        return []

    def choose(self, logits):
        """The next token of each row: logits (B, V), float32, to integers (B,)."""
        raise NotImplementedError

    def __call__(
        self,
        next,
        prompt,
        cache=None,
        index=0,
        mask=None,
        stop_token_ids=None,
        hidden_states=None,
        model=None,
    ):
        prompt, index, mask = as_tensors(prompt, index, mask)
        stopped = ops.zeros(ops.shape(prompt)[:1], dtype="bool")

        def body(prompt, cache, index, stopped, seeds):
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

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def as_tensors(prompt, index, mask):
    """What a sampler was called with, as tensors; nothing is given without a mask."""
    prompt = ops.convert_to_tensor(prompt)
    if mask is None:
        mask = ops.zeros_like(prompt, dtype="bool")
    return prompt, ops.cast(index, "int32"), ops.cast(mask, "bool")


def is_any(token, token_ids):
    """Whether a token (B,) is one of a list, `None` for an empty one."""
    token_ids = ops.convert_to_tensor(list(token_ids or ()), dtype=token.dtype)
    return ops.any(token[:, None] == token_ids, axis=1)


def write(prompt, index, token):
    """A prompt (B, T) with a token (B,) at an index, an int32 scalar."""
    start = (ops.zeros_like(index), index)  # of one type, which JAX asks for
    return ops.slice_update(prompt, start, token[:, None])
