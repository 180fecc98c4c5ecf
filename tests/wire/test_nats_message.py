"""NATS messages: sizes as a real server counts them, and headers that are lines of ASCII whatever an error says."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats_peers import client, nats_server
from servers import PATIENCE, until

from cw_proxy.errors import InvalidRequest
from cw_proxy.wire.nats_message import STATUS, failure, nobody_listens, size


def test_the_headers_of_an_error() -> None:
    said = failure(InvalidRequest("No\r\nway: é"))
    assert said == {"Nats-Service-Error": "No way: \\xe9", "Nats-Service-Error-Code": "400", STATUS: "400"}


@given(st.text())
def test_a_header_is_a_short_line_of_ascii(words: str) -> None:
    for value in failure(InvalidRequest(words)).values():
        assert value.isascii()
        assert len(value.splitlines()) <= 1
        assert len(value) <= 500


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({"Status": "503"}, b"", True),
        ({"Status": "503"}, b"x", False),
        ({"Status": "408"}, b"", False),
        ({STATUS: "503"}, b"", False),
        (None, b"", False),
    ],
)
def test_nobody_listens(headers: dict[str, str] | None, body: bytes, expected: bool) -> None:
    assert nobody_listens(headers, body) is expected


@pytest.mark.parametrize("headers", [None, {"a": "b"}, {"Cw-Sequence": "1", "Cw-Status": "200"}])
async def test_the_size_is_what_the_server_counts(tmp_path: Path, headers: dict[str, str] | None) -> None:
    limit = 4096
    body = b"x" * (limit - size(b"", headers))
    with nats_server(tmp_path, f"max_payload: {limit}") as server:
        async with client(server) as connection:
            subscription = await connection.subscribe("here")
            await connection.publish("here", body, headers=headers)
            assert (await subscription.next_msg(PATIENCE)).data == body
            if headers:
                await connection.publish("here", body + b"x", headers=headers)
                await until(lambda: connection.is_closed, "the server ends the connection")
