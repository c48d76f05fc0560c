"""A client for the REST interface, for this server and TensorFlow Serving alike.

Uses the standard library only.
"""

import base64
import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable
from typing import Any

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class ServerAnswerError(RuntimeError):
    """The server answered with an error.

    Attributes:
        status: the HTTP status.
        message: the server's error message.
    """

    def __init__(self, url: str, status: int, message: str) -> None:
        super().__init__(f"{url} answered {status}: {message}")
        self.status = status
        self.message = message


def predict(
    url: str,
    model_name: str,
    instances: Iterable[Any],
    signature_name: str | None = None,
    version: int | None = None,
    timeout: float = 35.0,
    api_token: str | None = None,
) -> list[Any]:
    """Ask a server for predictions.

    Args:
        url: address of the server, such as `"http://127.0.0.1:8501"`.
        model_name: name of the model on the server.
        instances: list with one entry a row: the value of a single input (a text, a
            number or a nested list), or a `dict` from input name to value. `bytes` are
            sent as base64; arrays are sent as nested lists.
        signature_name: signature to use; `None` takes `serving_default`.
        version: number of a version; `None` takes the latest.
        timeout: longest time in seconds to wait for the server; a little more than a
            server's own limit of 30 s, whose answer says how to raise it.
        api_token: the token that the server wants, or `None`.

    Returns:
        List with one entry a row: the value of a single output, or a `dict` from output
        name to value.

    Raises:
        ValueError: `instances` cannot be written as JSON, or `url` is no HTTP address.
        ServerAnswerError: the server refused the request.
        ConnectionError: no server answers at `url`.
        TimeoutError: the server did not answer in time.

    Example:

    ```python
    [row] = predict("http://127.0.0.1:8501", "documents", ["a long text"])
    row["label"], max(row["probabilities"])
    ```
    """
    request: dict[str, Any] = {"instances": list(instances)}
    if signature_name is not None:
        request["signature_name"] = signature_name
    try:
        body = json.dumps(request, ensure_ascii=False, default=_to_json).encode()
    except (TypeError, UnicodeEncodeError) as error:
        raise ValueError(
            f"instances cannot be sent as JSON: {error}. Pass text, bytes, numbers, "
            "arrays, lists of them, or dicts from input name to value."
        ) from error
    path = _get_path(model_name, version) + ":predict"
    return _exchange(url, path, body, timeout, api_token)["predictions"]


def get_status(
    url: str,
    model_name: str,
    version: int | None = None,
    timeout: float = 10.0,
    api_token: str | None = None,
) -> dict[int, str]:
    """Ask a server for the state of a model's versions.

    Args:
        url: address of the server.
        model_name: name of the model on the server.
        version: number of a version; `None` takes all.
        timeout: longest time in seconds to wait for the server.
        api_token: the token that the server wants, or `None`; this server tells its
            status without.

    Returns:
        `dict` from version number to state, such as `{2: "AVAILABLE", 1: "END"}`.

    Raises:
        ValueError: `url` is no HTTP address.
        ServerAnswerError: the server has no such model or version.
        ConnectionError: no server answers at `url`.
        TimeoutError: the server did not answer in time.
    """
    path = _get_path(model_name, version)
    answer = _exchange(url, path, None, timeout, api_token)
    return {
        int(entry["version"]): entry["state"]
        for entry in answer["model_version_status"]
    }


def _get_path(model_name: str, version: int | None) -> str:
    path = "/v1/models/" + urllib.parse.quote(model_name, safe="")
    return path if version is None else f"{path}/versions/{version}"


def _to_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    if hasattr(value, "tolist"):  # an array
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _exchange(
    url: str, path: str, body: bytes | None, timeout: float, api_token: str | None
) -> Any:
    """Send a request; a `body` makes it a POST. Returns the answer as Python values."""
    address = urllib.parse.urlsplit(url)
    if address.scheme not in ("http", "https") or not address.hostname:
        raise ValueError(
            f"url={url!r} is no HTTP address; expected http://host:port, "
            "such as http://127.0.0.1:8501."
        )
    target = url.rstrip("/") + path
    headers = {"Content-Type": "application/json"}
    if api_token is not None:
        headers["Authorization"] = f"Bearer {api_token}"
    request = urllib.request.Request(target, data=body, headers=headers)
    # A proxy cannot reach this machine's own loopback address.
    proxies: dict[str, str] | None = {} if address.hostname in _LOOPBACK else None
    opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxies))
    try:
        with opener.open(request, timeout=timeout) as response:
            # Text outputs are passed on as they are, and may not be text at all.
            return json.loads(response.read().decode("utf-8", "replace"))
    except urllib.error.HTTPError as error:
        with error:
            raise ServerAnswerError(target, error.code, _read_error(error)) from error
    except TimeoutError as error:
        raise _no_answer_in_time(target, timeout) from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError):
            raise _no_answer_in_time(target, timeout) from error
        raise ConnectionError(
            f"No server answers at {url} ({error.reason}). Start one with: "
            "keras-performer serve --model_name=NAME --model_base_path=FOLDER"
        ) from error
    except (http.client.HTTPException, ConnectionError) as error:
        raise ConnectionError(
            f"The server at {url} broke the connection off: {error!r}."
        ) from error


def _read_error(response: urllib.error.HTTPError) -> str:
    text = response.read().decode("utf-8", "replace")
    try:
        return json.loads(text)["error"]
    except (json.JSONDecodeError, KeyError, TypeError):
        return text.strip() or response.reason


def _no_answer_in_time(target: str, timeout: float) -> TimeoutError:
    return TimeoutError(
        f"{target} did not answer within {timeout:g} seconds. Pass a longer timeout "
        "for long documents or a busy server."
    )
