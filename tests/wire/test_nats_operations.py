"""A server's bytes: the same operations however they are cut, whatever stands in a subject; and what is malformed."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cw_proxy.wire.nats_operations import Control, Delivery, MalformedOperation, Operation, OperationDecoder

words = st.binary(min_size=1, max_size=12).filter(lambda raw: not set(raw) & set(b" \r\n"))
controls = st.sampled_from(
    [Control(b"PING", b""), Control(b"INFO", b'{"a": "b c"}'), Control(b"-ERR", b"'No \x0b way'")]
)
deliveries = st.builds(
    Delivery,
    sid=st.integers(0, 10**6),
    subject=words,
    reply=words | st.just(b""),
    headers=st.none() | st.binary(max_size=20),
    body=st.binary(max_size=40) | st.sampled_from([b"\r\n", b"PING\r\n", b"MSG a 1 2\r\n"]),
)
operations = st.lists(controls | deliveries, max_size=6)


def written(operation: Operation) -> bytes:
    if isinstance(operation, Control):
        return b" ".join(filter(None, [operation.name, operation.rest])) + b"\r\n"
    headers = operation.headers
    numbers = [len(operation.body)] if headers is None else [len(headers), len(headers) + len(operation.body)]
    line = [b"MSG" if headers is None else b"HMSG", operation.subject, b"%d" % operation.sid, operation.reply]
    line += [b"%d" % number for number in numbers]
    return b" ".join(filter(None, line)) + b"\r\n" + (headers or b"") + operation.body + b"\r\n"


@given(operations, st.lists(st.floats(0, 1), max_size=8))
def test_however_it_is_cut(sent: list[Operation], cuts: list[float]) -> None:
    data = b"".join(map(written, sent))
    places = sorted(int(cut * len(data)) for cut in cuts)
    decoder = OperationDecoder()
    pieces = [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]
    assert [operation for piece in pieces for operation in decoder.feed(piece)] == sent


@given(operations)
def test_byte_by_byte(sent: list[Operation]) -> None:
    decoder = OperationDecoder()
    data = b"".join(map(written, sent))
    assert [operation for byte in data for operation in decoder.feed(bytes([byte]))] == sent


@pytest.mark.parametrize(
    "data",
    [
        b"HELLO\r\n",
        b"\r\n",
        b"MSG\r\n",
        b"MSG a 1\r\n",
        b"MSG a x 1\r\n",
        b"MSG a 1 reply more 1\r\n",
        b"MSG a 1 -1\r\n",
        b"MSG a 1 2\r\nabcd\r\n",
        b"HMSG a 1 9 2\r\nab\r\n",
        b"HMSG a 1 2\r\nab\r\n",
        b"x" * (1024 * 1024 + 1),
    ],
)
def test_what_is_none(data: bytes) -> None:
    with pytest.raises(MalformedOperation):
        OperationDecoder().feed(data)


@given(st.binary(max_size=60))
def test_any_bytes_are_operations_or_none(data: bytes) -> None:
    with suppress(MalformedOperation):
        OperationDecoder().feed(data)
