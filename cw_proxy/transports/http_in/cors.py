"""CORS: which pages of a browser may read the answers.

A preflight is always answered, and names who may call: the page's own origin if it is listed, else this server's.
The browser then does the refusing; whoever ignores that is refused by the guard.
"""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from cw_proxy.guard import Guard

_ALLOWED_HEADERS = "Authorization, Content-Type, X-Api-Key, OpenAI-Beta, OpenAI-Organization, OpenAI-Project"
_EXPOSED_HEADERS = "x-request-id, x-cw-proxy-ignored, Retry-After, retry-after-ms, x-should-retry"


def cors_headers(guard: Guard, headers: Mapping[str, str]) -> dict[str, str]:
    origin = headers.get("origin")
    if origin is None or not guard.allows_origin(origin):
        return {}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": _EXPOSED_HEADERS,
        "Vary": "Origin",
    }


def preflight(extra: Mapping[str, str], own_origin: str) -> web.Response:
    headers = {
        "Access-Control-Allow-Origin": own_origin,
        "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
        "Access-Control-Allow-Headers": _ALLOWED_HEADERS,
        "Access-Control-Max-Age": "600",
        "Vary": "Origin",
        **extra,
    }
    return web.Response(status=204, headers=headers)
