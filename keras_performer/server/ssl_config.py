"""Encryption by TensorFlow Serving's `SSLConfig`: a key, a certificate, clients'."""

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from keras_performer.server.config_messages import read_config

_FLAG = "ssl_config_file"


@dataclass(frozen=True)
class SslConfig:
    """What a server shows of itself, and asks of clients.

    Args:
        server_key: its private key, as PEM text.
        server_cert: its certificate, and those up to the authority, as PEM text.
        custom_ca: certificates of the authorities of clients, as PEM text.
        client_verify: whether clients must show a certificate of these authorities.

    Raises:
        ValueError: one that is needed is missing, or they do not fit one another.
    """

    server_key: str = field(repr=False)
    server_cert: str
    custom_ca: str = ""
    client_verify: bool = False

    def __post_init__(self) -> None:
        for name in ("server_key", "server_cert"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty; give it as PEM text.")
        if self.client_verify and not self.custom_ca:
            raise ValueError(
                "client_verify needs custom_ca, the authority of the clients' "
                "certificates."
            )
        self.make_context()

    def make_context(self) -> ssl.SSLContext:
        """The same for sockets of Python.

        Raises:
            ValueError: key and certificates do not fit one another, or are none.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            with _as_file(f"{self.server_cert}\n{self.server_key}") as path:
                # An encrypted key is an error, and no question at the terminal.
                context.load_cert_chain(path, password="")
            if self.custom_ca:
                context.load_verify_locations(cadata=self.custom_ca)
        except ssl.SSLError as error:
            raise ValueError(
                f"server_key, server_cert and custom_ca are not what is expected, PEM "
                f"text of a key, its certificate and an authority: {error}."
            ) from error
        if self.client_verify:
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def make_credentials(self, grpc: Any) -> Any:
        """The same for gRPC.

        Args:
            grpc: the package.

        Returns:
            A `grpc.ServerCredentials`.
        """
        return grpc.ssl_server_credentials(
            [(self.server_key.encode(), self.server_cert.encode())],
            root_certificates=self.custom_ca.encode() or None,
            require_client_auth=self.client_verify,
        )


def read_ssl_config(path: str | os.PathLike[str]) -> SslConfig:
    """Read a text file with an `SSLConfig` message.

    Args:
        path: the file.

    Returns:
        An `SslConfig`.

    Raises:
        ValueError: the file does not fit.
    """
    message = read_config("SSLConfig", path, _FLAG)
    try:
        return SslConfig(
            message.server_key,
            message.server_cert,
            message.custom_ca,
            message.client_verify,
        )
    except ValueError as error:
        raise ValueError(f"{_FLAG}={str(path)!r}: {error}") from error


@contextmanager
def _as_file(text: str) -> Iterator[str]:
    """The path of a file in memory: a key is not to be on a disk a second time."""
    with os.fdopen(os.memfd_create("certificate"), "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}"
