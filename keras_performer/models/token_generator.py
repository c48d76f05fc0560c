"""`TokenGenerator`: compiled loops that generate tokens from prompts."""

import functools

import numpy as np
from keras import ops

from keras_performer.models import samplers
from keras_performer.models.structure import Structure, keys, settings
from keras_performer.ops.backend import compile_function

MAX_CHUNK_LENGTH = 512
IMPOSSIBLE = -1e9  # a logit whose probability is zero, and still a number


class TokenGenerator:
    """Generates tokens with a model whose state does not grow.

    Prompts are read in chunks of tokens whose lengths are powers of two: there are few
    shapes to compile, and memory does not depend on the length of the prompt. Compiled
    functions are kept.

    Args:
        backbone: A backbone whose `stream(token_ids, state)` returns hidden states and
            the new state, and whose `initial_state` returns the first state.
        logits: Function from hidden states (B, T, F) to logits (B, T, V).
        model: The `keras.Model` with the weights of both.

    Attributes:
        named_sampler: `samplers.get`, but one object for each name.
        structure: The `Structure` of the model when this was made. What is compiled
            here is for this structure alone.
    """

    def __init__(self, backbone, logits, model):
        self._backbone = backbone
        self._logits = logits
        self._model = model
        self.structure = Structure(model)
        self._read_chunk = compile_function(self._chunk_state, model)
        self._read_source = compile_function(backbone.initial_state, model)
        self.named_sampler = functools.cache(samplers.get)
        # Bounded, as a sampler may be made for each call.
        self._loop = functools.lru_cache(maxsize=16)(self._make_loop)
        self._step = functools.lru_cache(maxsize=16)(self._make_step)

    def read_source(self, source):
        """The state before the first token, where the backbone has an encoder.

        Args:
            source: int32 array of shape (B, S), 0 where there is padding.
        """
        return self._read_source(_tensor(source))

    def generate(self, prompts, state, max_new_tokens, sampler, stop_token_ids):
        """New tokens, as an int32 array of shape (B, max_new_tokens).

        Args:
            prompts: int32 array of shape (B, T), padded with 0 on the left.
            state: The backbone's state before them.
            max_new_tokens: How many tokens are generated.
            sampler: A sampler.
            stop_token_ids: Tuple of tokens, after which a row has only 0.
        """
        tokens = np.pad(prompts[:, -1:], [(0, 0), (0, max_new_tokens)])
        mask = np.pad(
            np.ones_like(prompts[:, -1:], "bool"), [(0, 0), (0, max_new_tokens)]
        )
        loop = self._loop(sampler, keys(settings(sampler)), stop_token_ids)
        state = self._read(prompts[:, :-1], state)
        tokens = loop(_tensor(tokens), state, _tensor(mask))
        tokens = ops.convert_to_numpy(tokens)[:, 1:]
        stops = np.cumsum(np.isin(tokens, stop_token_ids), axis=1)
        after = np.pad(stops, [(0, 0), (1, 0)])[:, :-1] > 0
        return np.where(after, 0, tokens)

    def stream(self, prompts, state, max_new_tokens, sampler, stop_token_ids):
        """Yields the new tokens of each position, int32 arrays of shape (B,).

        It takes the arguments of `generate`, and ends when all rows have stopped.
        """
        step = self._step(sampler, keys(settings(sampler)))
        state = self._read(prompts[:, :-1], state)
        tokens, stopped = prompts[:, -1], np.zeros(len(prompts), dtype="bool")
        for _ in range(max_new_tokens):
            chosen, state = step(_tensor(tokens[:, None]), state)
            tokens = np.where(stopped, 0, ops.convert_to_numpy(chosen))
            yield tokens
            stopped |= np.isin(tokens, stop_token_ids)
            if stopped.all():
                return

    def next(self, prompt, cache, index):
        """The logits of the token at an index: what samplers call.

        Args:
            prompt: Integer tensor of shape (B, T).
            cache: State after all tokens before the last one before the index.
            index: int32 scalar.

        Returns:
            Logits of shape (B, V), hidden states of shape (B, F), and the new state.
        """
        token = ops.take(prompt, index - 1, axis=1)[:, None]
        hidden_states, cache = self._backbone.stream(token, cache)
        logits = self._logits(hidden_states)[:, 0]
        # Padding is no token: it would neither be seen nor counted later.
        is_padding = ops.arange(logits.shape[-1]) == 0
        return ops.where(is_padding, IMPOSSIBLE, logits), hidden_states[:, 0], cache

    def _read(self, prompts, state):
        """The state after prompts of shape (B, T)."""
        length = prompts.shape[1]
        size = min(MAX_CHUNK_LENGTH, 1 << (length - 1).bit_length()) if length else 1
        padded = np.pad(prompts, [(0, 0), (-length % size, 0)])
        for start in range(0, padded.shape[1], size):
            state = self._read_chunk(_tensor(padded[:, start : start + size]), state)
        return state

    def _chunk_state(self, token_ids, state):
        return self._backbone.stream(token_ids, state)[1]

    def _make_loop(self, sampler, sampler_settings, stop_token_ids):
        def loop(tokens, state, mask):
            generated = sampler(
                self.next,
                tokens,
                cache=state,
                index=1,
                mask=mask,
                stop_token_ids=stop_token_ids or None,
                model=self._model,
            )
            if not ops.is_tensor(generated) or generated.shape != tokens.shape:
                raise ValueError(
                    "A sampler must return one sequence for each row: a tensor of the "
                    f"shape {tuple(tokens.shape)} of its prompt. Received: "
                    f"{type(sampler).__name__} returned {generated!r}"
                )
            return generated

        return compile_function(loop, self._model, sampler)

    def _make_step(self, sampler, sampler_settings):
        def step(token, state):
            logits, hidden_states, state = self.next(token, state, 1)

            def known(prompt, cache, index):
                return logits, hidden_states, cache

            # A sampler does not return the cache: the step is made before its call.
            tokens = ops.pad(token, [(0, 0), (0, 1)])
            mask = ops.pad(ops.ones_like(token), [(0, 0), (0, 1)])
            tokens = sampler(
                known, tokens, index=1, mask=ops.cast(mask, "bool"), model=self._model
            )
            return tokens[:, 1], state

        return compile_function(step, self._model, sampler)


def _tensor(array):
    return ops.convert_to_tensor(array)
