"""CORS: which pages of a browser may read the answers.

A preflight is always answered, and names who may call: the page's own origin if it is listed, else this server's.
The browser then does the refusing; whoever ignores that is refused by the guard.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from aiohttp import web

from cw_proxy.guard import Guard

_HEADER_NAMES = re.compile(r"[A-Za-z0-9_-]+(?:, ?[A-Za-z0-9_-]+)*")
_EXPOSED_HEADERS = ", ".join(
    [
        *("x-request-id", "request-id", "x-cw-proxy-ignored", "Retry-After", "retry-after-ms", "x-should-retry"),
        *("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ]
)


def cors_headers(guard: Guard, headers: Mapping[str, str]) -> dict[str, str]:
    """For every answer, of whatever status. A cache must not give one page's answer, or a program's, to another."""
    origin = headers.get("origin")
    if not guard.origins:
        return {}
    if origin is None or not guard.allows_origin(origin):
        return {"Vary": "Origin"}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": _EXPOSED_HEADERS,
        "Vary": "Origin",
    }


def preflight(headers: Mapping[str, str], extra: Mapping[str, str]) -> web.Response:
    """Whatever headers a listed page asks for are allowed: SDKs send many of their own."""
    asked = headers.get("access-control-request-headers", "")
    allowed = {
        "Access-Control-Allow-Origin": f"http://{headers['host']}",
        "Access-Control-Allow-Methods": "GET, POST, DELETE, OPTIONS",
        "Access-Control-Allow-Headers": asked if _HEADER_NAMES.fullmatch(asked) else "Authorization, Content-Type",
        "Access-Control-Max-Age": "600",
    }
    varies = {"Vary": "Origin, Access-Control-Request-Headers"}
    return web.Response(status=204, headers={**allowed, **extra, **varies})
