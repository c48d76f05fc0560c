"""`LanguageModel`: the base of models that generate tokens."""

import keras

from keras_performer.models import generation_arguments as arguments
from keras_performer.models import samplers
from keras_performer.models.backbone_task import BackboneTask, token_logits
from keras_performer.models.structure import Structure
from keras_performer.models.token_generator import TokenGenerator


class LanguageModel(BackboneTask):
    """Logits by the token embedding of a backbone, and generation of new tokens.

    A base class, of which `PerformerCausalLM` and `PerformerSeq2SeqLM` are made: a
    subclass passes the hidden states that it predicts from, and in `generate` and
    `stream` the state before the first token.

    Args:
        backbone: A model with `vocabulary_size`, `max_sequence_length`,
            `token_embedding` and `stream`.
        hidden_states: Symbolic tensor of shape (B, T, F), an output of the backbone.
        **kwargs: Arguments of `keras.Model`, such as `name`.
    """

    def __init__(self, backbone, hidden_states, **kwargs):
        logits = token_logits(backbone)
        outputs = logits(hidden_states)
        super().__init__(inputs=backbone.input, outputs=outputs, **kwargs)
        self._set_arguments(backbone)
        self._logits = logits
        self._token_generator = None

    def quantize(self, *args, **kwargs):
        super().quantize(*args, **kwargs)
        self._token_generator = None  # which keeps the weights from before

    def _generate(
        self, start, prompt_ids, max_new_tokens, sampler, stop_token_ids, seed
    ):
        """Generates from the state that `start(B)` returns."""
        sampler = self._seeded(sampler, seed)
        prompts, stops = self._checked(prompt_ids, max_new_tokens, stop_token_ids)
        return self._generator().generate(
            prompts, start(len(prompts)), max_new_tokens, sampler, stops
        )

    def _stream(self, start, prompt_ids, max_new_tokens, sampler, stop_token_ids, seed):
        """`_generate` as a Python generator, one token of each row at a time."""
        sampler = self._seeded(sampler, seed)
        if hasattr(sampler, "num_beams"):
            raise ValueError(
                "The tokens of a beam are known only when all are chosen: use "
                "`generate`, or another sampler. Received: sampler="
                f"{type(sampler).__name__}"
            )
        prompts, stops = self._checked(prompt_ids, max_new_tokens, stop_token_ids)
        state = start(len(prompts))

        def tokens():  # the model is looked at when the first token is asked for
            yield from self._generator().stream(
                prompts, state, max_new_tokens, sampler, stops
            )

        return tokens()

    def _generator(self):
        generator = self._token_generator
        if generator is None or generator.structure != Structure(self):
            generator = TokenGenerator(self.backbone, self._logits, self)
            self._token_generator = generator
        return generator

    def _seeded(self, identifier, seed):
        """The sampler, whose seeds are set if there is a seed.

        A name gives the same object each time, so that what was compiled is used again.
        """
        is_name = isinstance(identifier, str)
        get = self._generator().named_sampler if is_name else samplers.get
        sampler = get(identifier)
        if seed is not None:
            state = keras.random.SeedGenerator(seed).state
            for variable in sampler.variables:
                variable.assign(state)
        return sampler

    def _checked(self, prompt_ids, max_new_tokens, stop_token_ids):
        """Prompts as an array, padded on the left, and stop tokens as a tuple."""
        backbone = self.backbone
        prompts = arguments.left_padded(
            arguments.token_rows(prompt_ids, backbone.vocabulary_size, "prompt_ids")
        )
        arguments.check_length(
            prompts.shape[1], max_new_tokens, backbone.max_sequence_length
        )
        stops = arguments.stop_tokens(stop_token_ids, backbone.vocabulary_size)
        return prompts, stops
