"""An invocation's way through the server and back, against a strict Lambda: order, breaks, sizes, doors, limits."""

from __future__ import annotations

import asyncio
import time
from asyncio import IncompleteReadError
from statistics import median

import pytest
from aiohttp import web
from lambda_front import ADDRESS, DOMAIN, TRACE, LambdaFront, front
from lambda_runtimes import runtime
from servers import ask, request, wire

from cw_proxy.errors import UpstreamUnavailable
from cw_proxy.transports.http_in.routes import Handler
from cw_proxy.wire.lambda_event import MAX_WHOLE

GET = request("GET", "/")
WHOLE = ["http_api", "rest_api", "load_balancer"]


def answering(body: bytes, content_type: str = "text/plain", **headers: str) -> Handler:
    async def handler(request: web.BaseRequest, extra: dict[str, str]) -> web.StreamResponse:
        return web.Response(body=body, content_type=content_type, headers=headers)

    return handler


async def echo(request: web.BaseRequest, extra: dict[str, str]) -> web.StreamResponse:
    """What has come, so that it can be looked at."""
    body = await request.content.read()
    seen = {
        "method": request.method,
        "path": request.raw_path,
        "headers": [[name, value] for name, value in request.headers.items()],
        "size": len(body),
    }
    return web.json_response(seen)


class Steered:
    """An answer in two pieces. Between them, and before the first, it waits for the test."""

    def __init__(self, then: BaseException | None = None) -> None:
        self.first, self.second, self.gone = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._then = then

    async def __call__(self, request: web.BaseRequest, extra: dict[str, str]) -> web.StreamResponse:
        try:
            await self.first.wait()
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            await response.write(b"first")
            await self.second.wait()
            if self._then:
                raise self._then
            await response.write(b"second")
            await response.write_eof()
            return response
        finally:
            self.gone.set()


# --- streamed ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "mode"), [("function_url", "auto"), ("rest_api", "streaming")])
async def test_a_piece_is_with_the_client_before_the_next_is_made(kind: str, mode: str) -> None:
    steered = Steered()
    steered.first.set()
    async with front(kind) as lambda_, runtime(lambda_, {"/": steered}, mode=mode), wire(lambda_.url) as client:
        await client.send(GET)
        assert (await client.head())[0] == 200
        pieces = client.chunks()
        assert await anext(pieces) == b"first"
        steered.second.set()
        assert b"".join([piece async for piece in pieces]) == b"second"


async def test_how_long_the_first_byte_takes(capsys: pytest.CaptureFixture[str]) -> None:
    """A figure to look at, not a limit: from the server's write to the client's read, through both of Lambda's hops."""
    written = []

    async def stamped(request: web.BaseRequest, extra: dict[str, str]) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        written.append(time.perf_counter())
        await response.write(b"first")
        await response.write_eof()
        return response

    taken = []
    async with front() as lambda_, runtime(lambda_, {"/": stamped}):
        for _ in range(50):
            async with wire(lambda_.url) as client:
                await client.send(GET)
                await client.until(b"first")
                taken.append((time.perf_counter() - written[-1]) * 1000)
    assert len(taken) == len(written) == 50
    with capsys.disabled():
        print(f"\nOn Lambda the first byte takes {median(taken):.1f} ms more, at most {max(taken):.1f} ms.")


@pytest.mark.parametrize("fault", [RuntimeError("a bug"), ConnectionError("gone"), UpstreamUnavailable("late")])
async def test_an_answer_that_breaks_off_breaks_off_for_the_client_too(fault: Exception) -> None:
    steered = Steered(fault)
    steered.first.set()
    async with front() as lambda_, runtime(lambda_, {"/": steered, "/fine": answering(b"fine")}):
        async with wire(lambda_.url) as client:
            await client.send(GET)
            await client.head()
            pieces = client.chunks()
            assert await anext(pieces) == b"first"
            steered.second.set()
            with pytest.raises((IncompleteReadError, ConnectionError)):
                await anext(pieces)
        (broken,) = lambda_.finished
        assert broken.error == {
            "errorType": "Runtime.AnswerBrokeOff",
            "errorMessage": "The answer broke off.",
            "stackTrace": [],
        }
        # The function goes on.
        assert (await ask(lambda_.url, request("GET", "/fine"))).body == b"fine"


async def test_a_failure_before_the_first_byte_has_its_status() -> None:
    async def failing(request: web.BaseRequest, extra: dict[str, str]) -> web.StreamResponse:
        raise UpstreamUnavailable("The service cannot be reached.")

    async with front() as lambda_, runtime(lambda_, {"/": failing}):
        answer = await ask(lambda_.url, GET)
    assert (answer.status, answer.error["code"]) == (502, "upstream_unavailable")


async def test_a_server_that_dies_before_its_answer_is_an_error() -> None:
    async def dying(request: web.BaseRequest, extra: dict[str, str]) -> web.StreamResponse:
        request.transport.abort()
        return web.Response()

    async with front() as lambda_, runtime(lambda_, {"/": dying}):
        answer = await ask(lambda_.url, GET)
    assert (answer.status, answer.json["error"]["code"]) == (500, "internal_error")


async def test_cookies_arrive_one_by_one() -> None:
    async def baking(request: web.BaseRequest, extra: dict[str, str]) -> web.StreamResponse:
        response = web.Response(text=request.headers["cookie"])
        response.headers.add("Set-Cookie", "a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT")
        response.headers.add("Set-Cookie", "b=2")
        return response

    for kind in ("function_url", *WHOLE):
        async with (
            front(kind, streams=kind == "function_url") as lambda_,
            runtime(lambda_, {"/": baking}, hosts=("127.0.0.1",)),
        ):
            answer = await ask(lambda_.url, request("GET", "/", headers={"Cookie": "x=1; y=2"}))
        assert answer.body == b"x=1; y=2", kind
        cookies = [value for name, value in answer.all_headers if name.lower() == "set-cookie"]
        assert cookies == ["a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT", "b=2"], kind


@pytest.mark.parametrize("megabytes", [6, 20])
async def test_a_streamed_answer_may_be_larger_than_a_whole_one(megabytes: int) -> None:
    body = b"0123456789abcdef" * 65536 * megabytes
    async with front() as lambda_, runtime(lambda_, {"/": answering(body, "application/octet-stream")}):
        answer = await ask(lambda_.url, GET)
    assert answer.body == body


async def test_large_bodies_arrive_whole() -> None:
    """Six megabytes is what an event may have: as text, or as base64 with a third less."""
    sizes = {"application/json": 6 * 1024 * 1024 - 4096, "application/octet-stream": 4 * 1024 * 1024}
    async with front() as lambda_, runtime(lambda_, {"/": echo}):
        for content_type, size in sizes.items():
            sent = request("POST", "/", b"x" * size, headers={"Content-Type": content_type})
            assert (await ask(lambda_.url, sent)).json["size"] == size
        assert (await ask(lambda_.url, request("POST", "/", b"x" * (6 * 1024 * 1024 + 1)))).status == 413


async def test_headers_that_lambda_would_refuse_are_an_error() -> None:
    async with front() as lambda_, runtime(lambda_, {"/": answering(b"", long="x" * 17_000)}):
        answer = await ask(lambda_.url, GET)
    assert (answer.status, answer.json["error"]["code"]) == (500, "answer_too_large")


# --- whole ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("many", [True, False])
@pytest.mark.parametrize("kind", WHOLE)
async def test_fronts_that_cannot_stream_get_the_whole(kind: str, many: bool) -> None:
    bodies = {
        "/text": ("é".encode(), "text/plain"),
        "/binary": (b"\xff\x00", "image/png"),
        "/lie": (b"\xff", "text/plain"),
    }
    handlers = {path: answering(*body) for path, body in bodies.items()}
    async with front(kind, streams=False, many=many) as lambda_, runtime(lambda_, handlers, hosts=("127.0.0.1",)):
        for path, (body, content_type) in bodies.items():
            answer = await ask(lambda_.url, request("GET", path))
            assert (answer.status, answer.body) == (200, body)
            assert answer.headers["content-type"].startswith(content_type)


async def test_a_function_url_without_streams_gets_the_whole_when_told_so() -> None:
    steered = Steered()
    steered.first.set()
    steered.second.set()
    async with front(streams=False) as lambda_, runtime(lambda_, {"/": steered}, mode="buffered"):
        assert (await ask(lambda_.url, GET)).body == b"firstsecond"


async def test_a_whole_answer_that_broke_off_is_an_error() -> None:
    steered = Steered(RuntimeError("a bug"))
    steered.first.set()
    steered.second.set()
    async with front("http_api") as lambda_, runtime(lambda_, {"/": steered}):
        answer = await ask(lambda_.url, GET)
    assert (answer.status, answer.json["error"]["code"]) == (502, "upstream_truncated")


async def test_a_whole_answer_of_six_megabytes_passes_and_more_is_an_error() -> None:
    handlers = {"/fits": answering(b"x" * (MAX_WHOLE - 1024)), "/": answering(b"x" * MAX_WHOLE)}
    async with front("http_api") as lambda_, runtime(lambda_, handlers):
        assert len((await ask(lambda_.url, request("GET", "/fits"))).body) == MAX_WHOLE - 1024
        answer = await ask(lambda_.url, GET)
    assert (answer.status, answer.json["error"]["code"]) == (500, "answer_too_large")


# --- what the server sees ---------------------------------------------------------------------------------


async def test_the_server_sees_the_clients_request_and_lambdas_ids() -> None:
    sent = request(
        "POST",
        "/?a=1&b=%20x&a=2",
        b"{}",
        headers={
            "User-Agent": "a-client",
            "X-Forwarded-For": "198.51.100.7",
            "X-Amzn-RequestId": "mine",
            "Accept": None,
        },
    )
    for kind in ("function_url", "http_api", "rest_api"):
        async with front(kind, streams=kind == "function_url") as lambda_, runtime(lambda_, {"/": echo}):
            seen = (await ask(lambda_.url, sent)).json
        headers = {name.lower(): value for name, value in seen["headers"]}
        assert len(headers) == len(seen["headers"])
        assert (seen["method"], seen["size"]) == ("POST", 2)
        assert seen["path"] == ("/?a=1&a=2&b=%20x" if kind == "rest_api" else "/?a=1&b=%20x&a=2")
        assert headers == {
            "host": lambda_.domain,
            "content-type": "application/json",
            "content-length": "2",
            "connection": "close",
            "user-agent": "a-client",
            # Whom Lambda's front has seen, not what its client says.
            "x-forwarded-for": ADDRESS,
            "x-amzn-requestid": lambda_.finished[0].id,
            "x-amzn-trace-id": TRACE,
        }


async def test_a_gone_connection_to_lambda_ends_the_work_and_not_the_function() -> None:
    steered = Steered()
    steered.first.set()
    async with LambdaFront() as lambda_, runtime(lambda_, {"/": steered, "/fine": answering(b"fine")}):
        pending = lambda_.invoke(event("/"))
        await pending.head
        lambda_.break_answers()
        steered.second.set()
        await steered.gone.wait()
        assert (await ask(lambda_.url, request("GET", "/fine"))).body == b"fine"


def event(path: str, host: str = DOMAIN) -> dict[str, object]:
    http = {"method": "GET", "sourceIp": ADDRESS}
    return {
        "version": "2.0",
        "rawPath": path,
        "headers": {"host": host},
        "requestContext": {"domainName": DOMAIN, "http": http},
    }


# --- who comes in -----------------------------------------------------------------------------------------


async def test_what_is_no_request_is_a_failed_invocation() -> None:
    async with front() as lambda_, runtime(lambda_, {"/": echo}):
        for made in ({}, {"source": "aws.events"}, {"requestContext": {"connectionId": "x", "eventType": "CONNECT"}}):
            failed = await lambda_.whole(made)
            assert failed["errorType"] == "Runtime.NotHttp"


async def test_the_name_that_lambda_itself_knows_is_ours_and_no_other() -> None:
    async with front() as lambda_, runtime(lambda_, {"/": echo}, hosts=("other.example",)):
        statuses = {}
        for host in (DOMAIN, DOMAIN.upper(), "other.example", "evil.example", f"{DOMAIN}.evil.example", ""):
            statuses[host] = (await lambda_.whole(event("/", host)))["statusCode"]
    assert list(statuses.values()) == [200, 200, 200, 421, 421, 421]


async def test_a_balancer_passes_on_any_host_so_it_must_be_listed() -> None:
    async with front("load_balancer") as lambda_, runtime(lambda_, {"/": echo}, hosts=("api.example",)):
        for host, status in (("api.example", 200), ("evil.example", 421)):
            answer = await ask(lambda_.url, request("GET", "/", headers={"Host": host}))
            assert answer.status == status


IDENTITIES: list[tuple[str, dict[str, object], int]] = [
    ("function_url", {}, 401),
    ("function_url", {"authorizer": {"iam": {"userArn": "arn:aws:iam::123456789012:user/a"}}}, 200),
    ("http_api", {"authorizer": {"jwt": {"claims": {"sub": "a"}}}}, 200),
    ("rest_api", {}, 401),
    ("rest_api", {"identity": {"userArn": "arn:aws:iam::123456789012:user/a"}}, 200),
    ("load_balancer", {"authorizer": {"iam": {}}}, 401),
]


@pytest.mark.parametrize(("kind", "context", "status"), IDENTITIES)
async def test_without_client_keys_aws_must_have_said_who_asks(
    kind: str, context: dict[str, object], status: int
) -> None:
    lambda_front = front(kind, streams=kind == "function_url", **context)
    async with lambda_front as lambda_, runtime(lambda_, {"/": echo}, hosts=("127.0.0.1",), keys=False):
        assert (await ask(lambda_.url, GET)).status == status


# --- in time ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["function_url", "http_api"])
async def test_an_answer_that_does_not_begin_in_time_is_an_error(kind: str) -> None:
    steered = Steered()
    async with front(kind, timeout=0.3) as lambda_, runtime(lambda_, {"/": steered}):
        answer = await ask(lambda_.url, GET)
        await steered.gone.wait()
    assert (answer.status, answer.json["error"]["code"]) == (504, "time_is_up")


async def test_an_answer_that_does_not_end_in_time_breaks_off() -> None:
    steered = Steered()
    steered.first.set()
    async with front(timeout=0.3) as lambda_, runtime(lambda_, {"/": steered}), wire(lambda_.url) as client:
        await client.send(GET)
        with pytest.raises((IncompleteReadError, ConnectionError)):
            await client.answer()
        await steered.gone.wait()
