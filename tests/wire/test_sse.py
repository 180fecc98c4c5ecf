"""Server-sent events: what is written is read, however it was cut and whichever line ends it has."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cw_proxy.wire import sse
from cw_proxy.wire.sse import SseDecoder

payloads = st.binary(max_size=60).filter(lambda raw: not set(raw) & set(b"\r\n"))
line_ends = st.sampled_from([b"\n", b"\r\n", b"\r"])
cuts = st.lists(st.floats(0, 1, exclude_max=True), max_size=8)
# Mostly what matters to the parser.
soups = st.lists(st.sampled_from([b"data", b":", b" ", b"\n", b"\r", b"x", b"event: e", b"\xff"]), max_size=30).map(
    b"".join
)


def cut(data: bytes, fractions: list[float]) -> list[bytes]:
    borders = [0, *sorted(int(fraction * len(data)) for fraction in fractions), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(borders)]


def decode(chunks: list[bytes]) -> list[bytes]:
    decoder = SseDecoder()
    return [event for chunk in chunks for event in decoder.feed(chunk)]


def read_whole(stream: bytes) -> list[bytes]:
    """The standard's rules, on a stream that is there as a whole."""
    events: list[bytes] = []
    data: list[bytes] = []
    for line in re.split(rb"\r\n|\r|\n", stream)[:-1]:
        name, _, value = line.partition(b":")
        if line and name == b"data":
            data.append(value[1:] if value[:1] == b" " else value)
        elif not line:
            events += [b"\n".join(data)] if data else []
            data = []
    return events


def test_a_frame_is_one_data_line() -> None:
    assert sse.data(b'{"a":1}') == b'data: {"a":1}\n\n'
    assert decode([sse.data(b'{"a":1}') + sse.PING + sse.DONE]) == [b'{"a":1}', b"[DONE]"]


@given(st.lists(payloads, max_size=6), cuts)
def test_what_is_written_is_read(wanted: list[bytes], fractions: list[float]) -> None:
    stream = sse.PING.join([b"", *map(sse.data, wanted)])
    assert decode(cut(stream, fractions)) == wanted


@given(st.lists(payloads, max_size=4), line_ends, cuts)
def test_all_line_ends_in_all_cuts(wanted: list[bytes], end: bytes, fractions: list[float]) -> None:
    stream = b"".join(b"event: e" + end + b"data: " + one + end + b"id: 1" + end + end for one in wanted)
    assert decode(cut(stream, fractions)) == wanted


@given(soups, cuts)
def test_any_bytes_read_the_same_however_they_are_cut(stream: bytes, fractions: list[float]) -> None:
    assert decode(cut(stream, fractions)) == read_whole(stream)


@given(soups)
def test_any_bytes_read_the_same_byte_by_byte(stream: bytes) -> None:
    assert decode([stream[at : at + 1] for at in range(len(stream))]) == read_whole(stream)


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b"data:a\n\n", [b"a"]),
        (b"data:  a\n\n", [b" a"]),
        (b"data\n\n", [b""]),
        (b"datax: a\n\n", []),
        (b": data: a\n\n", []),
        (b"retry: 5\n\nevent: e\n\n", []),
        (b"data: a\n", []),
        ("data: \u2028 \u0085\n\n".encode(), ["\u2028 \u0085".encode()]),
    ],
)
def test_fields(stream: bytes, events: list[bytes]) -> None:
    assert decode([stream]) == events


def test_an_event_is_out_with_its_last_byte() -> None:
    """Also where that byte is a CR, which might be half of a CRLF."""
    decoder = SseDecoder()
    assert decoder.feed(b"data: a\r\n\r") == [b"a"]
    assert decoder.feed(b"\n") == []
    assert decoder.feed(b"data: b\r\r") == [b"b"]


def test_a_crlf_cut_in_half_is_one_line_end() -> None:
    decoder = SseDecoder()
    assert decoder.feed(b"data: a\r") == decoder.feed(b"") == []
    assert decoder.feed(b"\ndata: b\r\n\r\n") == [b"a\nb"]


def test_a_long_line_in_small_pieces_is_joined_once() -> None:
    """The pieces are kept as they came: joining at each would copy the line hundreds of times."""
    stream = sse.data(bytes(1 << 20))
    pieces = [stream[at : at + 1024] for at in range(0, len(stream) - 2, 1024)]
    decoder = SseDecoder()
    assert [event for piece in pieces[:-1] for event in decoder.feed(piece)] == []
    assert list(map(len, decoder._begun)) == [1024] * (len(pieces) - 1)
    assert decoder.feed(pieces[-1]) + decoder.feed(b"\n\n") == [bytes(1 << 20)]
