"""A port for a server that does not choose one itself."""

import contextlib
import socket


def find_free_port():
    with contextlib.closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
