"""Posts and invocations through the real boto3, to a server that answers as it is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from servers import NOBODY, until

from cw_proxy.errors import ConfigError, UpstreamUnavailable
from cw_proxy.transports.lambda_in.gateway_boto import BotoGateway

ID = "L0SM9cOFvHcCIhw="
GONE = {"x-amzn-ErrorType": "GoneException"}


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


class Aws:
    """Answers with each of `statuses`, the last one from then on. `seen` has paths and bodies."""

    def __init__(self, *statuses: int, headers: dict[str, str] | None = None, body: bytes = b"{}") -> None:
        self.statuses, self.headers, self.body = list(statuses), headers or {}, body
        self.seen: list[tuple[str, bytes]] = []
        self.agents: set[str] = set()
        self.connections: set[object] = set()
        self.url = ""

    async def answer(self, request: web.BaseRequest) -> web.Response:
        self.seen.append((request.raw_path, await request.read()))
        self.agents.add(request.headers["User-Agent"])
        self.connections.add(request.protocol)
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return web.Response(status=status, headers=self.headers, body=self.body, content_type="application/json")


@asynccontextmanager
async def aws(*statuses: int, headers: dict[str, str] | None = None, body: bytes = b"{}") -> AsyncIterator[Aws]:
    answering = Aws(*statuses, headers=headers, body=body)
    runner = web.ServerRunner(web.Server(answering.answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    answering.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield answering
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("statuses", "headers", "status", "posts"),
    [
        ([200], {}, 200, 1),
        ([410], GONE, 410, 1),
        # What serverless-offline sends: boto3 knows no exception for it.
        ([410], {}, 410, 1),
        ([429, 429, 200], {}, 200, 3),
        ([429], {}, 429, 3),
        # It may have arrived.
        ([500, 200], {}, 500, 1),
        ([413], {}, 413, 1),
    ],
)
async def test_a_posts_status_is_told(statuses: list[int], headers: dict[str, str], status: int, posts: int) -> None:
    async with aws(*statuses, headers=headers) as service:
        gateway = BotoGateway("f", tries=3, pause=0)
        assert await gateway.post(f"{service.url}/stage", ID, "é".encode()) == status
        path = "/stage/@connections/L0SM9cOFvHcCIhw%3D"
        assert service.seen == [(path, "é".encode())] * posts
        assert all("cw-proxy/" in agent for agent in service.agents)


async def test_where_nobody_answers_there_is_no_status() -> None:
    assert await BotoGateway("f").post(NOBODY, ID, b"") == 0


@pytest.mark.parametrize("body", [b"\xff", b"[1]", b'{"__type":3}', b"[" * 10_000])
async def test_where_an_error_cannot_be_read_there_is_none_either(body: bytes) -> None:
    async with aws(502, body=body) as service:
        assert await BotoGateway("f").post(service.url, ID, b"") == 0


@pytest.mark.parametrize("endpoint", ["foo", "https:///", "https://a b/x", "http://127.0.0.1:99999", "http://[::1"])
async def test_a_place_that_is_none(endpoint: str) -> None:
    with pytest.raises(ConfigError, match="lambda_socket_endpoint"):
        await BotoGateway("f").post(endpoint, ID, b"")


async def test_kept_connections_are_renewed() -> None:
    async with aws(200) as service:
        gateway = BotoGateway("f")
        for connections in (1, 2):
            for data in (b"one", b"two"):
                assert await gateway.post(service.url, ID, data) == 200
                assert len(service.connections) == connections
            gateway.renew()


async def test_nothing_waits_while_a_client_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The first one of a process takes a second on a small function, and others may be answered meanwhile."""
    begun, go_on = tmp_path / "begun", tmp_path / "go-on"
    keys = json.dumps({"Version": 1, "AccessKeyId": "testing", "SecretAccessKey": "testing"})
    slow = tmp_path / "slow"
    # It gives up, so that no fault waits for ever.
    wait = f"for i in $(seq 200); do test -e {go_on} && break; sleep 0.05; done"
    slow.write_text(f"touch {begun}; {wait}; test -e {go_on} && echo '{keys}'")
    (tmp_path / "config").write_text(f"[default]\ncredential_process = sh {slow}\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    async with aws(200) as service:
        gateway = BotoGateway("f")
        posting = asyncio.create_task(gateway.post(service.url, ID, b""))
        await until(begun.exists, "a client is being made")
        gateway.renew()
        go_on.touch()
        assert await posting == 200


async def test_the_function_invokes_itself_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    async with aws(202) as service:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", service.url)
        await BotoGateway("my-function").invoke(b'{"a":1}')
        assert service.seen == [("/2015-03-31/functions/my-function/invocations", b'{"a":1}')]


@pytest.mark.parametrize("status", [403, 429, 500])
async def test_a_refused_invocation_is_an_error(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async with aws(status) as service:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", service.url)
        with pytest.raises(UpstreamUnavailable, match=str(status)):
            await BotoGateway("f").invoke(b"{}")


async def test_without_a_functions_name_or_credentials_it_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    with pytest.raises(ConfigError, match="AWS_LAMBDA_FUNCTION_NAME"):
        await BotoGateway("").invoke(b"{}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, f"{tmp_path}/none")
    with pytest.raises(ConfigError, match="credentials") as raised:
        await BotoGateway("f").post(NOBODY, ID, b"")
    assert raised.value.__context__ is None
