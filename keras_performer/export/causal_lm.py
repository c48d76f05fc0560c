"""Export of a causal language model as a SavedModel whose state its client carries."""

import hashlib
import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_performer.export.saved_model import Signature, write_saved_model
from keras_performer.export.stream_reader import Reading, StreamReader
from keras_performer.export.version_folder import check_name, write_version
from keras_performer.export.warm_up import Request, warm_up_text, write_warm_up
from keras_performer.models import PerformerCausalLM
from keras_performer.text import ByteTokenizer

WARM_UP_LENGTHS = (0, 1, 100, 10_000)  # bytes of the texts of warm-up requests

Outputs = dict[str, Any]


def export_causal_lm(
    model: PerformerCausalLM,
    tokenizer: ByteTokenizer | None,
    directory: str | os.PathLike[str],
    name: str,
) -> pathlib.Path:
    """Exports a causal language model for TensorFlow Serving.

    What the model has read of a document is a state of constant size, which a client
    gets and gives back with the next piece: the server keeps nothing between requests.
    Writes `directory/name/<version>/` under the next free version, as
    `export_classifier` does. The signatures:

    | signature | inputs | outputs |
    |---|---|---|
    | `serving_default` | `text`: string (B,) | the score of a text |
    | `begin` | `text`: string (B,) | the score, `state_bytes` |
    | `step` | `text`, `state_bytes`: string (B,) | the score so far, `state_bytes` |
    | `generate` | `state_bytes`; `temperature`, `top_p`, `seed` (B,) | the next token |

    The score of a text is that of all of it that was read since `begin`: `num_tokens`,
    int32 (B,); `log_likelihood`, float32 (B,), the sum of `ln p(token | those before)`
    over all tokens but the first, which follows nothing; and `bits_per_token`, float32
    (B,), the mean of `-log₂ p`. A text is bytes, split anywhere, also within a
    character. `generate` gives `token_id`, int32 (B,); `text_bytes`, string (B,), its
    byte; and `state_bytes`, with which to ask for the token after it. It takes float32
    `temperature`, 0 for the likeliest token, float32 `top_p`, see
    `models.samplers.TopPSampler`, and int32 `seed`: equal ones give equal tokens.

    Args:
        model: A `keras_performer.models.PerformerCausalLM` of rotary positions.
        tokenizer: The `keras_performer.text.ByteTokenizer` of the model's training, or
            `None`: then the signatures take `token_ids`, int32 (B, T) with 0 for
            padding, in place of `text`, and `generate` gives no `text_bytes`.
        directory: Folder of all models.
        name: Name of the model, a plain folder name.

    Returns:
        `pathlib.Path` of the new version.

    Raises:
        ValueError: If the positions end or cannot be continued, the tokenizer is
            another or cuts texts off, or the name is no folder name.
    """
    _check(model, tokenizer)
    check_name(name)

    def write(path: pathlib.Path) -> None:
        signatures = _Signatures(model, tokenizer)
        write_saved_model(path, signatures.list_functions())
        write_warm_up(path, name, signatures.list_warm_up_requests())

    return write_version(directory, name, write)


def _check(model: PerformerCausalLM, tokenizer: ByteTokenizer | None) -> None:
    if model.backbone.positions != "rotary":
        raise ValueError(
            "A document that comes in pieces has no longest length: the backbone must "
            "have `positions='rotary'`. Received: "
            f"positions={model.backbone.positions!r}"
        )
    if tokenizer is None:
        return
    if not isinstance(tokenizer, ByteTokenizer) or tokenizer.sequence_length:
        raise ValueError(
            "`tokenizer` must be a `ByteTokenizer()`, which cuts nothing off: pieces "
            "of a text have the tokens of the whole for bytes alone. For other tokens "
            "pass `None`, and send ids. Received: "
            f"{type(tokenizer).__name__}(sequence_length={tokenizer.sequence_length})"
        )
    if tokenizer.vocabulary_size != model.backbone.vocabulary_size:
        raise ValueError(
            f"A model of bytes has {tokenizer.vocabulary_size} ids. Received: a model "
            f"of {model.backbone.vocabulary_size}"
        )


class _Signatures:
    """The functions that are exported."""

    def __init__(
        self, model: PerformerCausalLM, tokenizer: ByteTokenizer | None
    ) -> None:
        self._reader = StreamReader(model.backbone, _digest(model))
        self._tokenizer = tokenizer

    def list_functions(self) -> Mapping[str, Signature]:
        """The functions, and the specifications of what they take."""
        tokens = tf.TensorSpec([None, None], tf.int32, name="token_ids")
        if self._tokenizer is not None:
            tokens = tf.TensorSpec([None], tf.string, name="text")
        state = tf.TensorSpec([None], tf.string, name="state_bytes")
        choice = [
            tf.TensorSpec([None], tf.float32, name="temperature"),
            tf.TensorSpec([None], tf.float32, name="top_p"),
            tf.TensorSpec([None], tf.int32, name="seed"),
        ]
        return {
            "serving_default": (self._score, [tokens]),
            "begin": (self._begin, [tokens]),
            "step": (self._step, [tokens, state]),
            "generate": (self._generate, [state, *choice]),
        }

    def list_warm_up_requests(self) -> list[Request]:
        """Requests for all of them."""
        state = self._reader.pack(self._reader.start(1)).numpy()
        requests: list[Request] = []
        for length in WARM_UP_LENGTHS:
            tokens: dict[str, Any] = {"token_ids": np.ones((1, length), "int32")}
            if self._tokenizer is not None:
                tokens = {"text": warm_up_text(length)}
            requests += [("serving_default", tokens), ("begin", tokens)]
            requests += [("step", {**tokens, "state_bytes": state})]
        choice = {
            "state_bytes": state,
            "temperature": np.ones(1, "float32"),
            "top_p": np.ones(1, "float32"),
            "seed": np.zeros(1, "int32"),
        }
        return [*requests, ("generate", choice)]

    def _score(self, tokens: Any) -> Outputs:
        return _describe(self._read(tokens))

    def _begin(self, tokens: Any) -> Outputs:
        return self._answer(self._read(tokens))

    def _step(self, tokens: Any, state_bytes: Any) -> Outputs:
        reading = self._reader.unpack(state_bytes)
        return self._answer(self._read(tokens, reading))

    def _generate(
        self, state_bytes: Any, temperature: Any, top_p: Any, seed: Any
    ) -> Outputs:
        reading = self._reader.unpack(state_bytes)
        token_id = _choose(reading, temperature, top_p, seed)
        after = self._reader.read(token_id[:, None], reading)
        outputs = {
            "token_id": token_id,
            "state_bytes": self._reader.pack(after),
        }
        if self._tokenizer is not None:
            letters = tf.constant([b"", *(bytes([byte]) for byte in range(256))])
            outputs["text_bytes"] = tf.gather(letters, token_id)
        return outputs

    def _read(self, tokens: Any, reading: Reading | None = None) -> Reading:
        if reading is None:
            reading = self._reader.start(tf.shape(tokens)[0])
        if self._tokenizer is not None:
            tokens = self._tokenizer(tokens)
        return self._reader.read(tokens, reading)

    def _answer(self, reading: Reading) -> Outputs:
        state_bytes = self._reader.pack(reading)
        return {**_describe(reading), "state_bytes": state_bytes}


def _digest(model: PerformerCausalLM) -> bytes:
    """Some bytes that tell the weights of a model from others."""
    digest = hashlib.sha256()
    for weight in model.weights:
        digest.update(keras.ops.convert_to_numpy(weight.value).tobytes())
    return digest.digest()[:8]


def _describe(reading: Reading) -> Outputs:
    num_scores = tf.cast(tf.maximum(reading.num_tokens - 1, 0), tf.float64)
    nats = 0 - tf.math.divide_no_nan(reading.log_likelihood, num_scores)
    return {
        "num_tokens": reading.num_tokens,
        "log_likelihood": tf.cast(reading.log_likelihood, tf.float32),
        "bits_per_token": tf.cast(nats / math.log(2), tf.float32),
    }


def _choose(reading: Reading, temperature: Any, top_p: Any, seed: Any) -> Any:
    """The next token of each row, int32 (B,), which depends on that row alone."""
    logits = reading.logits
    is_padding = tf.range(logits.shape[1]) == 0
    logits = tf.where(is_padding, -math.inf, logits)
    logits /= tf.where(temperature > 0, temperature, 1.0)[:, None]
    logits, token_ids = tf.math.top_k(logits, logits.shape[1])
    probabilities = tf.nn.softmax(logits)
    before = tf.cumsum(probabilities, axis=1, exclusive=True)
    is_sampled = tf.logical_and(before < top_p[:, None], temperature[:, None] > 0)
    noise = tf.map_fn(
        lambda pair: tf.random.stateless_uniform(logits.shape[1:], pair, 1e-30, 1.0),
        tf.stack([seed, reading.num_tokens], axis=1),
        fn_output_signature=tf.TensorSpec(logits.shape[1:], tf.float32),
    )
    # The largest sum with a Gumbel variable is a draw (the Gumbel-max trick).
    drawn = tf.where(is_sampled, logits - tf.math.log(-tf.math.log(noise)), -math.inf)
    # Where nothing is sampled, the first is the likeliest.
    index = tf.argmax(drawn, axis=1, output_type=tf.int32)
    return tf.gather(token_ids, index, batch_dims=1)
