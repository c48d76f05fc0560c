"""What a client asks of a model that writes."""

import json
import secrets
from dataclasses import dataclass, fields
from typing import Any

from keras_performer.server import tensorflow_core as tf
from keras_performer.server.json.values import get_converter, invalid

_LARGEST = 2**31 - 1

# From the name of a number to its type, the smallest and the largest.
_NUMBERS: dict[str, tuple[type, float, float]] = {
    "max_new_tokens": (int, 1, _LARGEST),
    "temperature": (float, 0, 1e6),
    "top_p": (float, 1e-6, 1),
    "seed": (int, 0, _LARGEST),
}


@dataclass(frozen=True)
class GenerationRequest:
    """What is asked of a model that writes.

    Args:
        prompt: what is to be continued; in JSON a string, or bytes as `{"b64": ...}`.
        max_new_tokens: number of tokens, unless one of the stop tokens comes before.
        temperature: below 1 probable tokens become more probable; 0 takes the
            likeliest.
        top_p: probability that the tokens have together that are drawn from.
        seed: equal ones draw equally; by default each request has another.
        stop_token_ids: tokens after which the text ends.
    """

    prompt: bytes
    max_new_tokens: int = 100
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0
    stop_token_ids: tuple[int, ...] = ()

    @classmethod
    def parse(cls, body: bytes) -> "GenerationRequest":
        """Read a request.

        Args:
            body: JSON.

        Raises:
            ServingError: `INVALID_ARGUMENT`.

        >>> GenerationRequest.parse(b'{"prompt": "It was", "seed": 7}').prompt
        b'It was'
        """
        try:
            found = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise invalid(f"JSON Parse error: {error}") from error
        names = [field.name for field in fields(cls)]
        if not isinstance(found, dict) or not set(found) <= set(names):
            raise invalid(f"Expected a JSON object with some of the keys {names}.")
        values: dict[str, Any] = {"seed": secrets.randbelow(2**31), **found}
        values["prompt"] = _read_prompt(values.get("prompt"))
        for name in _NUMBERS.keys() & values.keys():
            _check_number(name, values[name])
        stops = values.get("stop_token_ids", [])
        if not isinstance(stops, list) or not all(type(stop) is int for stop in stops):
            raise invalid(
                f"`stop_token_ids` must be a list of integers. Received: {stops!r}"
            )
        values["stop_token_ids"] = tuple(stops)
        return cls(**values)


def _read_prompt(value: Any) -> bytes:
    prompt = b"" if value is None else get_converter(tf.string)(value)
    if not prompt:
        raise invalid(
            "`prompt` is missing or empty. Send the text that is to be continued, as a "
            'string or as {"b64": ...}; where there is none, begin with a newline.'
        )
    return prompt


def _check_number(name: str, value: Any) -> None:
    kind, least, most = _NUMBERS[name]
    is_number = isinstance(value, (int, kind)) and not isinstance(value, bool)
    if not is_number or not least <= value <= most:
        raise invalid(
            f"`{name}` must be {'an integer' if kind is int else 'a number'} from "
            f"{least} to {most}. Received: {value!r}"
        )
