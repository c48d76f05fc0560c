"""Bearer tokens that requests must bring, where the operator asks for them."""

import hmac
import os
import re
from collections.abc import Iterable
from pathlib import Path

from keras_performer.server.serving_error import ServingError

_MIN_LENGTH = 16

_TOKEN = re.compile(r"[\w.~+/-]+=*", re.ASCII)

_BEARER = re.compile(r"(?i:bearer) +(\S+) *", re.ASCII)


class ApiTokens:
    """The tokens of which a request must bring one.

    Args:
        tokens: the tokens; none lets all requests in.

    >>> tokens = ApiTokens(["0123456789abcdef"])
    >>> tokens.check("Bearer 0123456789abcdef")
    >>> tokens.check("")
    Traceback (most recent call last):
    ...
    keras_performer.server.serving_error.ServingError: UNAUTHENTICATED: ...
    """

    def __init__(self, tokens: Iterable[str] = ()) -> None:
        self._tokens = [token.encode() for token in tokens]

    @property
    def are_required(self) -> bool:
        """Whether requests must bring one."""
        return bool(self._tokens)

    def check(self, authorization: str) -> None:
        """Refuse a request without a token.

        Args:
            authorization: the request's header of this name, or `""`.

        Raises:
            ServingError: `UNAUTHENTICATED`.
        """
        if not self.are_required:
            return
        given = _BEARER.fullmatch(authorization)
        sent = given[1].encode("utf-8", "replace") if given else b""
        # All are compared, so that the time tells nothing of any.
        matches = [hmac.compare_digest(sent, token) for token in self._tokens]
        if not any(matches):
            raise ServingError(
                "UNAUTHENTICATED",
                "The server wants a token, and knows none that came. Send the header "
                "Authorization: Bearer TOKEN.",
            )


def read_api_tokens(path: str | os.PathLike[str]) -> ApiTokens:
    """Read a file with a token a line.

    Args:
        path: the file. Two lines let an old token and a new one in.

    Returns:
        An `ApiTokens`.

    Raises:
        ValueError: the file is missing, has no token, or one that is short or has
            other characters than tokens have.
    """
    try:
        tokens = Path(path).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"Cannot read api_token_file={str(path)!r}: {error}"
        ) from error
    tokens = [token.strip() for token in tokens if token.strip()]
    if not tokens:
        raise ValueError(
            f"api_token_file={str(path)!r} is empty; write a token into it, such as "
            "openssl rand -hex 32 makes."
        )
    for number, token in enumerate(tokens, 1):
        if len(token) < _MIN_LENGTH or not _TOKEN.fullmatch(token):
            raise ValueError(
                f"api_token_file={str(path)!r}: token {number} is to have at least "
                f"{_MIN_LENGTH} letters, digits or -._~+/ and none else."
            )
    return ApiTokens(tokens)
