"""`BeamSampler`: beam search, the most probable sequence of the K that are kept."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_performer.layers.validation import check_size
from keras_performer.models.samplers.sampler import (
    Next,
    Sampler,
    as_tensors,
    is_any,
    write,
)


@keras.saving.register_keras_serializable(package="keras_performer")
class BeamSampler(Sampler):
    """Keeps the K most probable sequences, and returns the most probable at the end.

    A sequence that has ended with a stop token keeps its probability and competes with
    the others. There is no length penalty. See `Sampler` for the call; `choose` is not
    used, as sequences are compared, not tokens.

    Args:
        num_beams: K, the number of sequences that are kept for each row.

    Raises:
        ValueError: If `num_beams` is not positive.

    Example:

    >>> import numpy as np
    >>> first = [-9.0, 0.6, 0.4]  # 1 is more probable, its successors less
    >>> after = np.array([first, [0.0, 0.0, 0.0], [-9.0, -9.0, 9.0]])
    >>> def next(prompt, cache, index):
    ...     return ops.take(after, prompt[:, index - 1], axis=0), None, cache
    >>> prompt = np.zeros((1, 3), "int32")
    >>> np.asarray(BeamSampler(num_beams=1)(next, prompt, index=1)).tolist()
    [[0, 1, 0]]
    >>> np.asarray(BeamSampler(num_beams=2)(next, prompt, index=1)).tolist()
    [[0, 2, 2]]
    """

    def __init__(self, num_beams: int = 5) -> None:
        check_size("num_beams", num_beams)
        self.num_beams = num_beams

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
        batch, beams = ops.shape(prompt)[0], self.num_beams

        def repeated(x: Any) -> Any:
            return ops.repeat(x, beams, axis=0)

        # Beams of a row start equal: the first alone counts, until they differ.
        log_probs = [[0.0] + [float("-inf")] * (beams - 1)]
        log_probs = ops.broadcast_to(ops.array(log_probs, "float32"), (batch, beams))
        cache = keras.tree.map_structure(repeated, () if cache is None else cache)
        prompt, mask = repeated(prompt), repeated(mask)  # (B·K, T)
        stopped = ops.zeros(ops.shape(prompt)[:1], dtype="bool")

        def body(
            prompt: Any, cache: Any, index: Any, stopped: Any, log_probs: Any
        ) -> tuple[Any, ...]:
            logits, _, cache = next(prompt, cache, index)
            token_log_probs = ops.log_softmax(ops.cast(logits, "float32"))
            vocabulary = ops.arange(logits.shape[-1], dtype=prompt.dtype)
            # Stopped sequences get 0 and given tokens stay, both with probability 1.
            given = ops.take(mask, index, axis=1)
            present = ops.where(given, ops.take(prompt, index, axis=1), 0)
            certain = ops.where(vocabulary == present[:, None], 0.0, float("-inf"))
            is_certain = ops.logical_or(given, stopped)[:, None]
            token_log_probs = ops.where(is_certain, certain, token_log_probs)

            total = ops.reshape(log_probs, (-1, 1)) + token_log_probs  # (B·K, V)
            total = ops.reshape(total, (batch, beams * logits.shape[-1]))
            best, places = ops.top_k(total, beams)
            log_probs = ops.reshape(best, ops.shape(log_probs))
            tokens = ops.cast(places % logits.shape[-1], prompt.dtype)
            parents = ops.cast(places // logits.shape[-1], "int32")
            parents = parents + ops.arange(batch, dtype="int32")[:, None] * beams
            parents = ops.reshape(parents, (batch * beams,))

            def reordered(x: Any) -> Any:
                return ops.take(x, parents, axis=0)

            prompt, stopped = reordered(prompt), reordered(stopped)
            cache = keras.tree.map_structure(reordered, cache)
            token = ops.reshape(tokens, (batch * beams,))
            stops = ops.logical_and(is_any(token, stop_token_ids), ~reordered(given))
            prompt = write(prompt, index, token)
            stopped = ops.logical_or(stopped, stops)
            return prompt, cache, index + 1, stopped, log_probs

        prompt, _, _, _, log_probs = ops.while_loop(
            lambda prompt, cache, index, stopped, log_probs: ~ops.all(stopped),
            body,
            (prompt, cache, index, stopped, log_probs),
            maximum_iterations=ops.shape(prompt)[1] - index,
        )
        best = ops.cast(ops.argmax(log_probs, axis=1), "int32")
        return ops.take(prompt, best + ops.arange(batch, dtype="int32") * beams, axis=0)

    def get_config(self) -> dict[str, Any]:
        return {"num_beams": self.num_beams}
