"""A strict WebSocket API of API Gateway's on loopback, with the Lambda function behind it.

It has AWS's limits, which other emulators leave out. Knows nothing of the proxy: the contract stands here a second
time, so that one mistake does not hide another (transports.md §2).
"""

from cw_proxy.emulator.ws_gateway.events import Limits
from cw_proxy.emulator.ws_gateway.gateway import Gateway

__all__ = ["Gateway", "Limits"]
