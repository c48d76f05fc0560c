"""Documents that are read while they arrive, and texts that are sent while they grow.

Both are extensions of this server beside TensorFlow Serving's interface, for models
with the signatures of `DocumentStream`.
"""

import asyncio
import codecs
import json
from collections.abc import AsyncGenerator
from typing import Any

from keras_performer.server.computation import Computation
from keras_performer.server.deadline import Deadline
from keras_performer.server.document_stream import DocumentStream
from keras_performer.server.generation_request import GenerationRequest
from keras_performer.server.json.values import invalid
from keras_performer.server.request_body import (
    BodyPieces,
    Event,
    Receive,
    wait_until_left,
)
from keras_performer.server.request_cost import LONG
from keras_performer.server.scheduler import Scheduler

PIECE_BYTES = LONG  # so that a document is computed among the long requests


class RestStreams:
    """Answers requests that read or write a document piece by piece.

    Each piece and each token waits for its turn as a request of its own does, so that
    a long document holds up others no more than a short one.

    Args:
        scheduler: the `Scheduler` that computes.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    async def score(
        self,
        document: DocumentStream,
        scope: Event,
        receive: Receive,
        pieces: BodyPieces,
        deadline: Deadline,
    ) -> bytes:
        """Read a document from the body of a request while it arrives.

        Args:
            document: a `DocumentStream` of nothing.
            scope: as of ASGI.
            receive: as of ASGI.
            pieces: the body, as `BodyPieces` of `PIECE_BYTES`.
            deadline: the `Deadline` of the request.

        Returns:
            The scores of the document as JSON.

        Raises:
            RefusedError: the body does not arrive.
            ServingError: the text is not UTF-8 though its type says so, or as
                `Scheduler.compute` does.
            ClientLeftError: the client closed its connection.
        """
        headers = dict(scope["headers"])
        if headers.get(b"content-encoding", b"identity") != b"identity":
            raise invalid(
                "A document that is read while it arrives is sent as it is, without "
                "Content-Encoding."
            )
        check = _Utf8Check(headers.get(b"content-type", b""))
        left = asyncio.get_running_loop().create_future()
        try:
            async for piece, is_last in pieces:
                check.add(piece, is_last)
                if is_last:
                    left = asyncio.ensure_future(wait_until_left(receive))
                await self._compute(document.read(piece, deadline), left, deadline)
        finally:
            left.cancel()
        scores = {name: _round(value) for name, value in document.scores.items()}
        return json.dumps(scores).encode() + b"\n"

    async def generate(
        self,
        document: DocumentStream,
        body: bytes,
        left: "asyncio.Future[None]",
        deadline: Deadline,
    ) -> AsyncGenerator[bytes, None]:
        """Read a prompt, and write its continuation.

        Args:
            document: a `DocumentStream` of nothing.
            body: the request, JSON with the fields of `GenerationRequest`.
            left: future that is done when the client left.
            deadline: the `Deadline` of the request.

        Yields:
            Server-sent events: one for each token, and a last one that says why it is
            the last.

        Raises:
            ServingError: the request is wrong, the model cannot write, or as
                `Scheduler.compute` does.
            ClientLeftError: the client closed its connection.
        """
        request = GenerationRequest.parse(body)
        for start in range(0, len(request.prompt), PIECE_BYTES):
            piece = request.prompt[start : start + PIECE_BYTES]
            await self._compute(document.read(piece, deadline), left, deadline)
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        num_tokens, reason = 0, "length"
        while num_tokens < request.max_new_tokens and reason == "length":
            computation = document.generate(
                request.temperature, request.top_p, request.seed, deadline
            )
            await self._compute(computation, left, deadline)
            token_id, token = document.token
            yield write_event({"text": decoder.decode(token), "token_id": token_id})
            num_tokens += 1
            if token_id in request.stop_token_ids:
                reason = "stop"
        rest = decoder.decode(b"", final=True)  # of a character that was not ended
        yield write_event(
            {"text": rest, "finish_reason": reason, "num_tokens": num_tokens}
        )

    async def _compute(
        self, computation: Computation, left: "asyncio.Future[None]", deadline: Deadline
    ) -> None:
        await self._scheduler.compute(computation, left, deadline)


class _Utf8Check:
    """Finds what is not UTF-8 in a text that says it is, across pieces."""

    def __init__(self, content_type: bytes) -> None:
        lower = content_type.lower().replace(b'"', b"").replace(b" ", b"")
        self._is_wanted = b"charset=utf-8" in lower
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._num_bytes = 0

    def add(self, piece: bytes, is_last: bool) -> None:
        if not self._is_wanted:
            return
        num_held = len(self._decoder.getstate()[0])
        try:
            self._decoder.decode(piece, is_last)
        except UnicodeDecodeError as error:
            position = self._num_bytes - num_held + error.start
            raise invalid(
                f"The document says that it is UTF-8, and is not at byte {position}. "
                "Mend it, or send it as application/octet-stream: a model of bytes "
                "reads any."
            ) from error
        self._num_bytes += len(piece)


def _round(value: float) -> float:
    """The shortest number that is the same float32."""
    return float(f"{value:.9g}") if isinstance(value, float) else value


def write_event(document: bytes | dict[str, Any]) -> bytes:
    """One server-sent event.

    Args:
        document: its data, JSON.

    >>> write_event({"text": "a"})
    b'data: {"text": "a"}\\n\\n'
    """
    if isinstance(document, dict):
        document = json.dumps(document).encode()
    # A line of its own would be a field of its own; in JSON it is as good as a space.
    return b"data: " + b" ".join(document.split(b"\n")) + b"\n\n"
