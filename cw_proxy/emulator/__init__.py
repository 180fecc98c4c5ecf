"""A faithful CodeWhisperer, SSO OIDC and OpenAI upstream on loopback, for the demo and the tests.

It shares only `cw_proxy.wire` with the proxy, so that bugs do not cancel. `async with Emulator() as emulator:` serves
at `emulator.url`.
"""

from __future__ import annotations

from cw_proxy.emulator.server import Emulator
from cw_proxy.emulator.settings import Settings

__all__ = ["Emulator", "Settings"]
