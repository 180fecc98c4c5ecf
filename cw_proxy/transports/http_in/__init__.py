"""HTTP and WebSockets for clients: every binding of every protocol, models, health (sdk-contract.md)."""

from cw_proxy.transports.http_in.bounds import Bounds, SocketBounds, Timing
from cw_proxy.transports.http_in.endpoints import Endpoints
from cw_proxy.transports.http_in.server import HttpServer

__all__ = ["Bounds", "Endpoints", "HttpServer", "SocketBounds", "Timing"]
