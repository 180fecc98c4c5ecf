"""SSO OIDC over HTTP, and the small page where a person approves a sign-in.

In: the three POSTs, and a browser. Out: JSON with the service's error headers; HTML without scripts or outside assets.
Refuses to know tokens. (upstream.md §4.1)
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import msgspec
from aiohttp import web

from cw_proxy.emulator.loose import as_object
from cw_proxy.emulator.oidc import Device, Oidc, OidcError
from cw_proxy.emulator.service import service_headers

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>cw-proxy emulator</title>
<style>body{{font:16px/1.5 sans-serif;max-width:30em;margin:3em auto;padding:0 1em}}
code{{font-size:1.6em;letter-spacing:.1em}}button{{font-size:1em;padding:.5em 1.5em;margin-right:1em}}</style>
<h1>cw-proxy emulator</h1>{body}</html>"""
_ASK = """<form method="get" action="/device"><label>Code <input name="user_code" autofocus></label>
<button>Continue</button></form>"""
_CONFIRM = """<p><strong>{name}</strong> asks to sign in with the code</p><p><code>{code}</code></p>
<form method="post" action="/device"><input type="hidden" name="user_code" value="{code}">
<button name="action" value="approve">Approve</button><button name="action" value="deny">Deny</button></form>"""


class OidcHttp:
    def __init__(self, oidc: Oidc) -> None:
        self._oidc = oidc

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/client/register", self._register),
            web.post("/device_authorization", self._authorize_device),
            web.post("/token", self._token),
            web.get("/device", self._show),
            web.post("/device", self._decide),
        ]

    async def _register(self, request: web.Request) -> web.Response:
        return await _answer(request, self._oidc.register)

    async def _authorize_device(self, request: web.Request) -> web.Response:
        base_url = f"http://{request.host}"
        return await _answer(request, lambda body: self._oidc.authorize_device(body, base_url))

    async def _token(self, request: web.Request) -> web.Response:
        return await _answer(request, self._oidc.token)

    async def _show(self, request: web.Request) -> web.Response:
        user_code = request.query.get("user_code")
        if user_code is None:
            return _html(_ASK)
        device = self._oidc.device_of(user_code)
        if device is None or device.state != "pending":
            return _html(_state_of(device), 404 if device is None else 200)
        return _html(_CONFIRM.format(name=escape(device.client.name), code=escape(device.user_code)))

    async def _decide(self, request: web.Request) -> web.Response:
        form = await request.post()
        device = self._oidc.device_of(str(form.get("user_code", "")))
        if device is None:
            return _html(_state_of(None), 404)
        if form.get("action") not in ("approve", "deny"):
            return _html("<p>Approve or deny?</p>", 400)
        if device.state == "pending":
            device.state = "approved" if form["action"] == "approve" else "denied"
        return _html(_state_of(device))


def _state_of(device: Device | None) -> str:
    if device is None:
        return "<p>This code is unknown or has expired.</p>"
    words = {"denied": "Denied.", "pending": "Waiting."}
    return f"<p>{words.get(device.state, 'Approved.')} You can close this page.</p>"


def _html(body: str, status: int = 200) -> web.Response:
    return web.Response(text=_PAGE.format(body=body), content_type="text/html", status=status)


async def _answer(request: web.Request, act: Callable[[dict[str, Any]], dict[str, Any]]) -> web.Response:
    try:
        return _json(200, act(await _read(request)), service_headers())
    except OidcError as error:
        headers = {**service_headers(), "x-amzn-errortype": error.name}
        return _json(error.status, {"error": error.code, "error_description": error.description}, headers)


async def _read(request: web.Request) -> dict[str, Any]:
    try:
        return as_object(msgspec.json.decode(await request.read()))
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise OidcError("invalid_request", "The body is not JSON") from fault


def _json(status: int, body: dict[str, Any], headers: dict[str, str]) -> web.Response:
    return web.Response(
        status=status, body=msgspec.json.encode(body), headers={**headers, "Content-Type": "application/json"}
    )
