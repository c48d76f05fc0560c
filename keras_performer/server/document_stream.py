"""A document that a causal model reads piece by piece.

What the model has read is a state of constant size, which its signatures take and give:
`begin` and `step` read, and `generate` writes. Between two pieces it is kept here.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from keras_performer.server.computation import Arrays, Computation
from keras_performer.server.deadline import Deadline
from keras_performer.server.request_cost import STATE
from keras_performer.server.servable import Servable
from keras_performer.server.serving_error import ServingError

BEGIN, STEP, GENERATE = "begin", "step", "generate"

TEXT = "text"

SCORES = ("num_tokens", "log_likelihood", "bits_per_token")


class DocumentStream:
    """One document; each `Computation` is to be run before the next is made.

    Args:
        model_name: name of the model, for errors.
        servable: the `Servable`, which is not unloaded before `done` is called.
        done: function that is called once, when this is closed and nothing of it is
            computed any more.
        measure: function that is called with the microseconds of each run.

    Raises:
        ServingError: `INVALID_ARGUMENT`, when the model cannot read in pieces. `done`
            is still to be called.
    """

    def __init__(
        self,
        model_name: str,
        servable: Servable,
        done: Callable[[], None],
        measure: Callable[[float], None],
    ) -> None:
        self._servable = servable
        self._signatures = _find_signatures(model_name, servable.signatures)
        self._done = done
        self._measure = measure
        self._outputs: Arrays = {}
        self._users = 1
        self._lock = threading.Lock()

    def read(self, text: bytes, deadline: Deadline) -> Computation:
        """Read further bytes of the document, split anywhere.

        Args:
            text: the bytes.
            deadline: the `Deadline` of the request.
        """
        inputs = {TEXT: np.array([text], object)}
        if not self._outputs:
            return self._compute(BEGIN, inputs, deadline)
        return self._compute(STEP, {**inputs, STATE: self._outputs[STATE]}, deadline)

    def generate(
        self, temperature: float, top_p: float, seed: int, deadline: Deadline
    ) -> Computation:
        """Write the next token, and read it.

        Args:
            temperature: 0 for the likeliest token.
            top_p: probability that the tokens have together that are drawn from.
            seed: equal ones draw equally.
            deadline: the `Deadline` of the request.
        """
        inputs = {
            STATE: self._outputs[STATE],
            "temperature": np.array([temperature], np.float32),
            "top_p": np.array([top_p], np.float32),
            "seed": np.array([seed], np.int32),
        }
        return self._compute(GENERATE, inputs, deadline)

    @property
    def scores(self) -> dict[str, float]:
        """What the last `read` says of all that was read."""
        return {name: self._outputs[name].item() for name in SCORES}

    @property
    def token(self) -> tuple[int, bytes]:
        """The token of the last `generate`: its id, and its bytes."""
        [token_id], [token] = self._outputs["token_id"], self._outputs["text_bytes"]
        return int(token_id), bytes(token)

    def close(self) -> None:
        """Give the version of the model back, when nothing computes any more."""
        self._leave()

    def _compute(self, name: str, inputs: Arrays, deadline: Deadline) -> Computation:
        with self._lock:
            self._users += 1
        return Computation(
            self._servable,
            self._signatures[name],
            inputs,
            deadline,
            write=self._keep,
            done=self._leave,
            measure=self._measure,
        )

    def _keep(self, outputs: Arrays) -> bytes:
        self._outputs = outputs
        return b""

    def _leave(self) -> None:
        with self._lock:
            self._users -= 1
            is_last = not self._users
        if is_last:
            self._done()


def _find_signatures(
    model_name: str, signatures: Mapping[str, Any]
) -> Mapping[str, Any]:
    wanted = {BEGIN: {TEXT}, STEP: {TEXT, STATE}, GENERATE: {STATE}}
    for name, inputs in wanted.items():
        if name not in signatures or not inputs <= set(signatures[name].inputs):
            raise ServingError(
                "INVALID_ARGUMENT",
                f"Model {model_name} does not read in pieces: it has no signature "
                f"{name!r} with the inputs {sorted(inputs)}. Causal models do, that "
                "were exported by keras_performer.export.export_causal_lm with a "
                "ByteTokenizer. Others read a document whole: send it to :predict, "
                "with at most --max_request_bytes.",
            )
    return signatures
