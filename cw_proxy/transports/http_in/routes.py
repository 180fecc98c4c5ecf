"""Which handler serves which method and path. A table: protocols bring their bindings as data."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from cw_proxy.errors import MethodNotAllowed, NotFound, ProxyError, UnsupportedEndpoint
from cw_proxy.interfaces import ErrorReply
from cw_proxy.record import NO_ROUTE, Record

Shape = Callable[[ProxyError], ErrorReply]
_RECORD = web.RequestKey("cw_proxy.record", Record)
Handler = Callable[[web.BaseRequest, dict[str, str]], Awaitable[web.StreamResponse]]


def record_of(request: web.BaseRequest) -> Record | None:
    """Of the exchange that this request is; None where nobody wants to know."""
    return request.get(_RECORD)


def keep_record(request: web.BaseRequest, record: Record | None) -> None:
    if record is not None:
        request[_RECORD] = record


class Routes:
    """Exact paths, and prefixes whose rest is a name."""

    def __init__(self) -> None:
        self._exact: dict[str, dict[str, Handler]] = {}
        self._prefixes: dict[str, dict[str, Handler]] = {}
        self._refused: dict[str, str] = {}
        self._shapes: dict[str, Shape] = {}

    def shape(self, path: str, shape: Shape) -> None:
        """How errors look at this path and below it, also of requests that reach no handler."""
        self._shapes[path.removesuffix("/*")] = shape

    def shape_of(self, path: str) -> Shape | None:
        found = (shape for base, shape in self._shapes.items() if path == base or path.startswith(base + "/"))
        return next(found, None)

    def add(self, method: str, path: str, handler: Handler) -> None:
        """A path that ends in `/*` serves everything below it."""
        table, key = (self._prefixes, path[:-1]) if path.endswith("/*") else (self._exact, path)
        table.setdefault(key, {})[method] = handler

    def refuse(self, path: str, what: str) -> None:
        """There is nothing at this path and below it, but people look for it there."""
        self._refused[path] = what

    def find(self, method: str, path: str) -> Handler:
        """Raises NotFound, UnsupportedEndpoint or MethodNotAllowed."""
        methods = self._exact.get(path) or self._below(path)
        if methods is None:
            raise self._missing(path)
        handler = methods.get("GET" if method == "HEAD" else method)
        if handler is None:
            allowed = ", ".join(sorted(methods))
            raise MethodNotAllowed(f"This path takes {allowed} only.", allowed=allowed)
        return handler

    def pattern(self, path: str) -> str:
        """Of the route that serves this path: one of `paths`, whatever clients ask for."""
        if path in self._exact:
            return path
        below = (prefix for prefix in self._prefixes if path.startswith(prefix) and len(path) > len(prefix))
        return next((prefix + "{id}" for prefix in below), NO_ROUTE)

    def paths(self) -> list[str]:
        return [*self._exact, *(prefix + "{id}" for prefix in self._prefixes)]

    def _missing(self, path: str) -> ProxyError:
        served = f"Served are: {', '.join(self.paths())}."
        for refused, what in self._refused.items():
            if path == refused or path.startswith(refused + "/"):
                return UnsupportedEndpoint(f"{what}: the service behind this proxy has none. {served}")
        return NotFound(f"There is nothing at this path. {served}")

    def _below(self, path: str) -> dict[str, Handler] | None:
        for prefix, methods in self._prefixes.items():
            if path.startswith(prefix) and len(path) > len(prefix):
                return methods
        return None
