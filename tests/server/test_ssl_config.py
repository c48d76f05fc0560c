"""Encryption of REST, as a client finds it; that of gRPC is in test_grpc_server."""

import ssl
import urllib.error
import urllib.request

import pytest
from certificates import make_certificates, write_ssl_config
from running_app import connect, running

from keras_performer.server.ssl_config import read_ssl_config


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def client_context(certificates, with_certificate=False):
    context = ssl.create_default_context(cafile=certificates / "ca.pem")
    if with_certificate:
        context.load_cert_chain(
            certificates / "client.pem", certificates / "client.key"
        )
    return context


def get(port, context):
    url = f"https://127.0.0.1:{port}/x"
    with urllib.request.urlopen(url, timeout=20, context=context) as answer:
        return answer.read()


def test_rest_is_encrypted(certificates):
    context = read_ssl_config(write_ssl_config(certificates)).make_context()
    with running(ssl_context=context, idle_timeout=1.0) as (port, _):
        # One that does not greet holds up no other, and is closed.
        with connect(port) as silent:
            assert get(port, client_context(certificates)) == b"GET /x 0"
            assert silent.recv(1) == b""
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            get(port, ssl.create_default_context())
        with connect(port) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            assert b"200" not in plain.recv(100)


def test_clients_must_show_a_certificate(certificates):
    authority = (certificates / "ca.pem").read_text()
    path = write_ssl_config(certificates, custom_ca=authority, client_verify=True)
    context = read_ssl_config(path).make_context()
    with running(ssl_context=context) as (port, _):
        assert get(port, client_context(certificates, True)) == b"GET /x 0"
        with pytest.raises(OSError):
            get(port, client_context(certificates))


def test_connections_that_greet_are_counted(certificates):
    context = read_ssl_config(write_ssl_config(certificates)).make_context()
    with (
        running(ssl_context=context, max_connections=1, idle_timeout=0.5) as (port, _),
        connect(port),
    ):
        assert get(port, client_context(certificates)) == b"GET /x 0"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"server_key": ""}, "server_key is empty"),
        ({"server_cert": ""}, "server_cert is empty"),
        ({"server_cert": "x"}, "are not what is expected"),
        ({"client_verify": True}, "client_verify needs custom_ca"),
        ({"custom_ca": "x"}, "are not what is expected"),
        ({"key": "x"}, "no field named"),
    ],
)
def test_files_that_do_not_fit(certificates, fields, message):
    with pytest.raises(ValueError, match=message) as raised:
        read_ssl_config(write_ssl_config(certificates, **fields))
    assert "ssl_config_file" in str(raised.value)
    assert "PRIVATE KEY" not in str(raised.value)


def test_a_key_of_another_certificate(certificates):
    other = (certificates / "client.key").read_text()
    with pytest.raises(ValueError, match="KEY_VALUES_MISMATCH"):
        read_ssl_config(write_ssl_config(certificates, server_key=other))


def test_the_key_is_not_shown(certificates):
    config = read_ssl_config(write_ssl_config(certificates))
    assert "PRIVATE KEY" not in repr(config)
