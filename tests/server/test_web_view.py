"""The page for browsers: what it may do, and what it shows."""

import contextlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from browser import browsing
from running_app import ask, running

from keras_performer.server.api_tokens import ApiTokens
from keras_performer.server.metrics import Metrics
from keras_performer.server.model_config import ModelConfig
from keras_performer.server.model_repository import ModelRepository
from keras_performer.server.rest_handler import RestHandler
from keras_performer.server.servable import Servable
from keras_performer.server.web_view import WebView

PATH = "/monitoring/ui"


def test_the_page_may_do_only_what_is_in_it():
    with running(web_view=WebView("/metrics")) as (port, _):
        status, headers, body = ask(port, PATH, method="GET")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy and "http" not in policy
    assert (headers["x-content-type-options"], headers["cache-control"]) == (
        "nosniff",
        "no-store",
    )
    page = body.decode()
    assert '<body data-metrics="/metrics">' in page
    # What such a policy would forbid, or what would come from elsewhere.
    for forbidden in ("https://", "http://", " src=", " href=", "style=", "innerHTML"):
        assert forbidden not in page
    assert not re.search(r" on\w+=", page)


def test_the_page_is_there_where_it_is_asked_for_and_needs_no_token():
    with running() as (port, _):
        assert ask(port, PATH, method="GET")[2] == b"GET /monitoring/ui 0"
    tokens = ApiTokens(["0123456789abcdef"])
    with running(
        web_view=WebView("/metrics"),
        api_tokens=tokens,
        metrics=Metrics(),
        metrics_path="/metrics",
    ) as (port, _):
        assert ask(port, PATH, method="GET")[0] == 200
        assert ask(port, "/metrics", method="GET")[0] == 401  # what it shows needs one


def test_a_path_of_metrics_is_escaped():
    assert b'data-metrics="/&quot;&gt;"' in WebView('/">').page


def test_what_the_page_shows(tmp_path):
    if shutil.which("node") is None:
        pytest.skip("the program node is not there")
    metrics = Metrics()
    for milliseconds in (1, 1, 1, 7):
        metrics.request_latency.add(("m", "predict", "REST"), 1000 * milliseconds)
    metrics.watch("requests_waiting", (), lambda: {(): 7})
    metrics.watch(
        "model_version_state",
        ("model_name", "version", "state"),
        lambda: {("m", "1", "LOADING"): 1, ('<b>"x"', "1", "LOADING"): 1},
    )
    [script] = re.findall(rb"<script>(.*?)</script>", WebView("/").page, re.DOTALL)
    files = [tmp_path / "script.js", tmp_path / "metrics"]
    for file, text in zip(files, (script, metrics.write()), strict=True):
        file.write_bytes(text)
    done = subprocess.run(
        ["node", Path(__file__).with_name("web_view.js"), *files],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def page(everything_path, tmp_path):
    """The page in a browser, of a server with two models that asks for a token."""
    names = ("everything", "<b>a long name</b>" * 3)
    configs = [ModelConfig(name, everything_path) for name in names]
    repository = ModelRepository(configs, Servable, poll_wait_seconds=0)
    metrics = Metrics()
    metrics.watch(
        "model_version_state",
        ("model_name", "version", "state"),
        repository.count_states,
    )
    with contextlib.ExitStack() as stack:
        page = stack.enter_context(browsing(tmp_path / "browser"))
        stack.callback(repository.close)
        repository.start()
        port, _ = stack.enter_context(
            running(
                handler=RestHandler(repository, 0, metrics),
                web_view=WebView("/metrics"),
                metrics=metrics,
                metrics_path="/metrics",
                api_tokens=ApiTokens(["0123456789abcdef"]),
            )
        )
        page.open(f"http://127.0.0.1:{port}{PATH}")
        yield page


def rows(page, table):
    cells = "[...row.children].map((cell) => cell.textContent)"
    return page.run(f"[...{table}.rows].map((row) => {cells})")


@pytest.mark.slow
def test_the_page_in_a_browser(page):
    page.wait_for("problem.textContent.startsWith('401: ')")
    page.type("#token", "0123456789abcdef")
    page.wait_for("models.rows.length === 2 && problem.textContent === ''")
    assert rows(page, "models") == [
        ["<b>a long name</b>" * 3, "1", "AVAILABLE", ""],
        ["everything", "1", "AVAILABLE", ""],
    ]
    assert page.run("document.querySelector('b')") is None

    page.run("model.value = 'everything'")
    page.type("#text", "a text of 20 letters")
    page.click("button")
    page.wait_for("answer.textContent.includes(': 20,')")
    page.type("#signature", "nothing")
    page.click("button")
    page.wait_for("answer.textContent.startsWith('400: Serving signature name')")
    page.wait_for("latencies.textContent.includes('predict')")
    [predict] = [row for row in rows(page, "latencies") if row[1] == "predict"]
    assert predict[:4] == ["everything", "predict", "REST", "1"]
    assert all(text.endswith(" ms") for text in predict[4:])

    # A narrow window needs no scrolling from side to side; dark colours are taken.
    page.resize(320)
    assert page.run("document.documentElement.scrollWidth <= innerWidth")
    colors = []
    for scheme in ("light", "dark"):
        page.prefer(scheme)
        colors.append(page.run("getComputedStyle(document.body).color"))
    assert colors == ["rgb(0, 0, 0)", "rgb(255, 255, 255)"]
    # Nothing but the refusals that were asked for above.
    texts = [complaint["entry"]["text"] for complaint in page.complaints]
    assert all("status of 401" in text or "status of 400" in text for text in texts)
