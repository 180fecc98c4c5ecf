"""The `cw-proxy` command. Each sibling is one command group; its module imports only click at the top.

Exit codes: 0 ok, 1 failure, 2 usage, 3 broken state, 4 login needed, 5 upstream, 6 and 7 NATS.
"""

from __future__ import annotations

from cw_proxy.cli.root import main

__all__ = ["main"]
