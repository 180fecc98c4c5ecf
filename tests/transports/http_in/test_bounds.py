"""Settings go in; what the server allows comes out."""

from __future__ import annotations

from cw_proxy.config import Config
from cw_proxy.transports.http_in import SocketBounds


def test_the_defaults_are_those_of_the_settings() -> None:
    config = Config()
    assert SocketBounds() == SocketBounds(config.max_sockets, config.socket_heartbeat, config.socket_age)
