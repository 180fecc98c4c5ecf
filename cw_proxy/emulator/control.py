"""The emulator's own levers under `/_emulator/`: what it saw, how it shall behave.

In: HTTP requests of a test or a developer. Out: JSON. Refuses to know the services it controls beyond their state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web

from cw_proxy.emulator.script import ScriptError, compile_takes
from cw_proxy.emulator.settings import Settings, SettingsError
from cw_proxy.emulator.stats import Stats


class Control:
    def __init__(
        self,
        settings: Settings,
        stats: Stats,
        scripts: dict[str, list[Any]],
        expire: Callable[[], int],
        reset: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._stats = stats
        self._scripts = scripts
        self._expire = expire
        self._reset = reset

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/_emulator/stats", self._show_stats),
            web.get("/_emulator/settings", self._show_settings),
            web.post("/_emulator/settings", self._change_settings),
            web.post("/_emulator/expire", self._expire_tokens),
            web.get("/_emulator/scripts", self._show_scripts),
            web.post("/_emulator/scripts/{name}", self._register_script),
            web.post("/_emulator/reset", self._start_over),
        ]

    async def _show_stats(self, request: web.Request) -> web.Response:
        return _json(self._stats.as_json())

    async def _show_settings(self, request: web.Request) -> web.Response:
        return _json(msgspec.to_builtins(self._settings))

    async def _change_settings(self, request: web.Request) -> web.Response:
        try:
            changes = msgspec.json.decode(await request.read(), type=dict[str, Any])
            self._settings.update(changes)
        except (msgspec.DecodeError, SettingsError) as fault:
            return _json({"error": str(fault)}, 400)
        return _json(msgspec.to_builtins(self._settings))

    async def _expire_tokens(self, request: web.Request) -> web.Response:
        return _json({"expired": self._expire()})

    async def _show_scripts(self, request: web.Request) -> web.Response:
        return _json(sorted(self._scripts))

    async def _register_script(self, request: web.Request) -> web.Response:
        """Compiled at once: a mistake shows here, not when the script is played."""
        try:
            steps = msgspec.json.decode(await request.read(), type=list[Any])
            compile_takes(steps)
        except (msgspec.DecodeError, ScriptError) as fault:
            return _json({"error": str(fault)}, 400)
        self._scripts[request.match_info["name"]] = steps
        return _json({"registered": request.match_info["name"]})

    async def _start_over(self, request: web.Request) -> web.Response:
        self._reset()
        return _json({})


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(value), content_type="application/json")
