"""The table of routes: exact paths before names, HEAD as GET, and words for what is not there."""

from __future__ import annotations

import pytest
from aiohttp import web

from cw_proxy.errors import MethodNotAllowed, NotFound, ProxyError, UnsupportedEndpoint
from cw_proxy.interfaces import ErrorReply
from cw_proxy.transports.http_in.routes import Routes


async def handler(request: web.BaseRequest, extra: dict[str, str]) -> web.StreamResponse:
    return web.Response()


async def other(request: web.BaseRequest, extra: dict[str, str]) -> web.StreamResponse:
    return web.Response()


@pytest.fixture
def routes() -> Routes:
    routes = Routes()
    routes.add("GET", "/v1/models", handler)
    routes.add("GET", "/v1/models/*", other)
    routes.add("POST", "/v1/chat", handler)
    routes.add("DELETE", "/v1/chat", other)
    return routes


FOUND = [
    ("GET", "/v1/models", handler),
    ("HEAD", "/v1/models", handler),
    ("GET", "/v1/models/x", other),
    ("HEAD", "/v1/models/x", other),
    ("GET", "/v1/models/x/y", other),
    ("POST", "/v1/chat", handler),
    ("DELETE", "/v1/chat", other),
]


@pytest.mark.parametrize(("method", "path", "expected"), FOUND)
def test_a_route_is_found(routes: Routes, method: str, path: str, expected: object) -> None:
    assert routes.find(method, path) is expected


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/models/", "/v1/modelsx", "/V1/models", "v1/models", "/v1/chat/"])
def test_what_is_not_there_says_what_is(routes: Routes, path: str) -> None:
    with pytest.raises(NotFound, match=r"/v1/models, /v1/chat, /v1/models/\{id\}"):
        routes.find("GET", path)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("path", ["/v1/audio", "/v1/audio/", "/v1/audio/speech"])
def test_what_people_look_for_in_vain_says_so(routes: Routes, method: str, path: str) -> None:
    routes.refuse("/v1/audio", "Audio")
    with pytest.raises(UnsupportedEndpoint, match=r"Audio.*/v1/models, /v1/chat"):
        routes.find(method, path)
    with pytest.raises(NotFound):
        routes.find(method, "/v1/audiobook")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("POST", "/v1/models", "GET"), ("PUT", "/v1/chat", "DELETE, POST"), ("HEAD", "/v1/chat", "DELETE, POST")],
)
def test_a_wrong_method_is_told_the_right_ones(routes: Routes, method: str, path: str, allowed: str) -> None:
    with pytest.raises(MethodNotAllowed) as caught:
        routes.find(method, path)
    assert caught.value.headers()["Allow"] == allowed


def test_errors_have_the_shape_of_the_place(routes: Routes) -> None:
    def shape(error: ProxyError) -> ErrorReply:
        return ErrorReply(400, {}, b"")

    routes.shape("/v1/chat", shape)
    routes.shape("/v1/models/*", shape)
    found = [routes.shape_of(path) for path in ("/v1/chat", "/v1/chat/x", "/v1/models/x", "/v1/chatter", "/")]
    assert found == [shape, shape, shape, None, None]
