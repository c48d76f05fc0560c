"""Tokens that requests must bring."""

import json

import pytest
from running_app import ask, running

from keras_performer.server.api_tokens import ApiTokens, read_api_tokens
from keras_performer.server.metrics import Metrics
from keras_performer.server.serving_error import ServingError

TOKEN, OTHER = "0123456789abcdef", "fedcba9876543210+/="


def test_a_request_without_a_token_is_refused_before_its_body():
    with running(
        api_tokens=ApiTokens([TOKEN]),
        metrics=Metrics(),
        metrics_path="/metrics",
        enable_cors=True,
        max_request_bytes=5,
    ) as (port, _):
        predict = "/v1/models/m:predict"
        for headers in ({}, {"Authorization": f"Bearer {OTHER}"}):
            status, answer, body = ask(port, predict, b"x" * 9, **headers)
            assert (status, answer["www-authenticate"]) == (401, "bearer")
            assert list(json.loads(body)) == ["error"]
        assert ask(port, "/metrics", method="GET")[0] == 401
        allowed = {"Authorization": f"Bearer {TOKEN}"}
        assert ask(port, predict, b"12", **allowed)[0] == 200
        assert b"UNAUTHENTICATED" in ask(port, "/metrics", method="GET", **allowed)[2]
        # It is alive; and a page of another origin asks first, without a token.
        assert ask(port, "/v1/models/m", method="GET")[0] == 200
        origin = "https://a.example"
        status, answer, _ = ask(port, predict, method="OPTIONS", Origin=origin)
        assert status == 200
        assert "authorization" in answer["access-control-allow-headers"]


@pytest.mark.parametrize(
    "header",
    [
        "",
        TOKEN,
        f"Basic {TOKEN}",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[1:]}",
        "Bearer é",
    ],
)
def test_headers_that_do_not_do(header):
    with pytest.raises(ServingError, match="UNAUTHENTICATED"):
        ApiTokens([OTHER, TOKEN]).check(header)
    ApiTokens().check(header)  # none is asked for


def test_an_old_and_a_new_token(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(f"{TOKEN}\n\n {OTHER} \r\n")
    tokens = read_api_tokens(path)
    tokens.check(f"Bearer {TOKEN}")
    tokens.check(f"bearer  {OTHER}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n", "is empty"),
        ("short", "token 1 is to have at least 16"),
        (f"{TOKEN}\n{TOKEN} x", "token 2"),
    ],
)
def test_files_of_tokens_that_do_not_fit(tmp_path, text, message):
    path = tmp_path / "tokens"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as raised:
        read_api_tokens(path)
    assert TOKEN not in str(raised.value)
    with pytest.raises(ValueError, match="Cannot read api_token_file"):
        read_api_tokens(tmp_path / "nothing")
