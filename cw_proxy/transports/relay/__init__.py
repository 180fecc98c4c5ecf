"""A WebSocket relay: the client's key is taken off, the upstream's is put on, frames pass unchanged."""

from cw_proxy.transports.relay.server import Relay
from cw_proxy.transports.relay.session import Hook

__all__ = ["Hook", "Relay"]
