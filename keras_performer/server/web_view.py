"""A page for a browser: models, versions, latencies, and a box to try a text.

What it shows it asks from the interfaces that are there for all: the metrics, the
status of each model, and predict requests.
"""

import base64
import hashlib
import html
import re
from pathlib import Path

WEB_VIEW_PATH = b"/monitoring/ui"

_PAGE = Path(__file__).with_suffix(".html")

_INLINE = re.compile(rb"<(script|style)>(.*?)</\1>", re.DOTALL)


class WebView:
    """The page, and what a browser is told about it.

    Args:
        metrics_path: path of the page with the metrics.

    Attributes:
        page: `bytes` of the page.
        headers: list of pairs of `bytes`. They let the page run the script and the
            style that are in it, ask its own server, and nothing else.
    """

    def __init__(self, metrics_path: str) -> None:
        self.page = _PAGE.read_bytes().replace(
            b"METRICS_PATH", html.escape(metrics_path).encode()
        )
        sources = {
            kind.decode(): f"'sha256-{_digest(text)}'"
            for kind, text in _INLINE.findall(self.page)
        }
        policy = (
            f"default-src 'none'; script-src {sources['script']}; "
            f"style-src {sources['style']}; connect-src 'self'; base-uri 'none'; "
            "form-action 'none'; frame-ancestors 'none'"
        )
        self.headers = [
            (b"content-security-policy", policy.encode()),
            (b"referrer-policy", b"no-referrer"),
            (b"x-content-type-options", b"nosniff"),
            (b"cache-control", b"no-store"),
        ]


def _digest(text: bytes) -> str:
    return base64.b64encode(hashlib.sha256(text).digest()).decode()
