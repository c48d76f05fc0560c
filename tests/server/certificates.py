"""Certificates for tests, made by the program openssl."""

import shutil
import subprocess
from pathlib import Path

import pytest

SAN = "subjectAltName=DNS:localhost,IP:127.0.0.1"


def make_certificates(folder):
    """Writes NAME.key and NAME.pem of an authority `ca`, a `server` and a `client`."""
    if shutil.which("openssl") is None:
        pytest.skip("the program openssl is not there")
    folder = Path(folder)
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]

    def make(name, *arguments):
        subprocess.run(
            ["openssl", "req", "-x509", "-days", "30", *key, "-subj", f"/CN={name}"]
            + ["-keyout", f"{name}.key", "-out", f"{name}.pem", *arguments],
            check=True,
            cwd=folder,
            capture_output=True,
        )

    make("ca")
    for name in ("server", "client"):
        make(name, "-CA", "ca.pem", "-CAkey", "ca.key", "-addext", SAN)
    return folder


def write_ssl_config(folder, **fields):
    """Writes an SSLConfig as text; returns its path."""
    texts = {
        "server_key": (folder / "server.key").read_text(),
        "server_cert": (folder / "server.pem").read_text(),
    } | fields
    path = folder / "ssl.config"
    path.write_text("\n".join(f"{k}: {_as_text(v)}" for k, v in texts.items()))
    return path


def _as_text(value):
    return str(value).lower() if isinstance(value, bool) else repr(value)
