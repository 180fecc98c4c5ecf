"""HTTP for clients: every Http binding of every protocol, models, health (sdk-contract.md, "Server settings")."""

from cw_proxy.transports.http_in.endpoints import Bounds, Endpoints
from cw_proxy.transports.http_in.server import HttpServer
from cw_proxy.transports.http_in.stream import Timing

__all__ = ["Bounds", "Endpoints", "HttpServer", "Timing"]
