"""The event stream, against public vectors, recordings of the real client, botocore as an oracle, and random cuts."""

from __future__ import annotations

import base64
import itertools
import json
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any
from uuid import UUID

import pytest
from botocore.eventstream import EventStreamBuffer, ParserError
from hypothesis import given
from hypothesis import strategies as st

from cw_proxy.wire import eventstream
from cw_proxy.wire.eventstream import Frame, FrameDecoder, FrameError, TruncatedStream, encode_frame

DATA = Path(__file__).parent.parent / "data"
VECTORS = json.loads((DATA / "eventstream_vectors.json").read_text())
GOLDEN = json.loads((DATA / "golden_frames.json").read_text())
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

texts = st.text(max_size=40)
header_values = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    texts,
    st.binary(max_size=40),
    st.uuids(),
    st.integers(-(10**12), 10**12).map(lambda ms: EPOCH + timedelta(milliseconds=ms)),
)
headers = st.dictionaries(st.text(min_size=1, max_size=20), header_values, max_size=6)
frames = st.builds(Frame, headers, st.binary(max_size=200))
streams = st.lists(frames, max_size=5)
# Borders at which a stream is cut, as fractions.
cuts = st.lists(st.floats(0, 1, exclude_max=True), max_size=8)


def encode(wanted: Iterable[Frame]) -> bytes:
    return b"".join(encode_frame(frame.headers, frame.payload) for frame in wanted)


def cut(data: bytes, fractions: list[float]) -> list[bytes]:
    borders = [0, *sorted(int(fraction * len(data)) for fraction in fractions), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(borders)]


def decode(chunks: Iterable[bytes]) -> tuple[list[Frame], FrameError | None]:
    decoder = FrameDecoder()
    found = [frame for chunk in chunks for frame in decoder.feed(chunk)]
    return found, decoder.finish()


def byte_by_byte(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def vector_headers(vector: dict[str, Any]) -> dict[str, Any]:
    """Vectors spell bytes in hex, the timestamp as milliseconds, the UUID as bytes."""
    plain = {}
    for name, value in vector["headers"].items():
        plain[name] = bytes.fromhex(value["bytes_hex"]) if isinstance(value, dict) else value
    return plain


def as_botocore(value: object) -> object:
    if isinstance(value, UUID):
        return value.bytes
    return (value - EPOCH) // timedelta(milliseconds=1) if isinstance(value, datetime) else value


def botocore_frames(chunks: Iterable[bytes]) -> list[tuple[dict[str, Any], bytes]]:
    buffer = EventStreamBuffer()
    found = []
    for chunk in chunks:
        buffer.add_data(chunk)
        found += [(message.headers, message.payload) for message in buffer]
    return found


@pytest.mark.parametrize("vector", VECTORS["positive"], ids=lambda vector: vector["name"])
def test_public_vectors(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    for chunks in ([data], byte_by_byte(data)):
        found, fault = decode(chunks)
        assert fault is None
        [frame] = found
        assert {name: as_botocore(value) for name, value in frame.headers.items()} == vector_headers(vector)
        assert frame.payload == bytes.fromhex(vector["payload_hex"])


@pytest.mark.parametrize("vector", VECTORS["negative"], ids=lambda vector: vector["name"])
def test_public_vectors_of_faults(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector.get("hex") or vector["hex_prefix"])
    good = encode_frame({"a": 1}, b"before")
    for chunks in ([good + data], byte_by_byte(good + data)):
        found, fault = decode(chunks)
        assert found == [Frame({"a": 1}, b"before")]
        assert isinstance(fault, FrameError)
        assert not isinstance(fault, TruncatedStream)


@given(st.sampled_from(VECTORS["positive"]), cuts)
def test_public_vectors_in_random_cuts(vector: dict[str, Any], fractions: list[float]) -> None:
    data = bytes.fromhex(vector["hex"])
    assert decode(cut(data, fractions)) == decode([data])


@given(streams, cuts)
def test_what_is_encoded_is_decoded(wanted: list[Frame], fractions: list[float]) -> None:
    assert decode(cut(encode(wanted), fractions)) == (wanted, None)


@given(streams)
def test_botocore_reads_the_same(wanted: list[Frame]) -> None:
    data = encode(wanted)
    expected = [
        ({name: as_botocore(value) for name, value in frame.headers.items()}, frame.payload) for frame in wanted
    ]
    assert botocore_frames([data]) == expected


@given(st.lists(frames, min_size=1, max_size=4), st.data())
def test_a_corrupted_byte_is_an_error_never_another_frame(wanted: list[Frame], data: st.DataObject) -> None:
    good = encode(wanted)
    at = data.draw(st.integers(0, len(good) - 1))
    bad = bytearray(good)
    bad[at] ^= data.draw(st.integers(1, 255))
    found, fault = decode(cut(bytes(bad), data.draw(cuts)))
    assert found == wanted[: len(found)]
    assert len(found) < len(wanted)
    assert isinstance(fault, FrameError)
    with pytest.raises(ParserError):
        botocore_frames([bytes(bad), bytes(1 << 10)])


@given(st.lists(frames, min_size=1, max_size=4), st.data())
def test_a_truncated_end_is_an_error_unless_on_a_border(wanted: list[Frame], data: st.DataObject) -> None:
    good = encode(wanted)
    length = data.draw(st.integers(0, len(good)))
    found, fault = decode(cut(good[:length], data.draw(cuts)))
    assert found == wanted[: len(found)]
    assert (fault is None) == (encode(found) == good[:length])
    assert fault is None or isinstance(fault, TruncatedStream)


def test_frames_before_a_fault_in_the_same_read_are_delivered() -> None:
    good = encode_frame({}, b"one") + encode_frame({}, b"two")
    decoder = FrameDecoder()
    assert [frame.payload for frame in decoder.feed(good + b"\xff" * 12 + good)] == [b"one", b"two"]
    fault = decoder.error
    assert isinstance(fault, FrameError)
    assert decoder.feed(good) == []
    assert decoder.finish() is fault


def test_a_corrupted_length_does_not_wait_for_bytes_that_never_come() -> None:
    bad = bytearray(encode_frame({}, b"x"))
    bad[1] = 0x7F
    decoder = FrameDecoder()
    for byte in byte_by_byte(bytes(bad[:12])):
        assert decoder.error is None
        decoder.feed(byte)
    assert decoder.error is not None


@pytest.mark.parametrize(
    ("total", "headers_length"),
    [
        (0, 0),
        (15, 0),
        (20, 8),
        (eventstream.OVERHEAD + eventstream.MAX_PAYLOAD + 1, 0),
        (eventstream.OVERHEAD + eventstream.MAX_HEADERS + 1, eventstream.MAX_HEADERS + 1),
    ],
)
def test_impossible_lengths_are_refused_at_the_prelude(total: int, headers_length: int) -> None:
    lengths = total.to_bytes(4) + headers_length.to_bytes(4)
    decoder = FrameDecoder()
    decoder.feed(lengths + eventstream.crc32(lengths).to_bytes(4))
    assert decoder.error is not None
    assert "impossible" in str(decoder.error)


@pytest.mark.parametrize(
    "block",
    [
        b"\x01",
        b"\x05abc",
        b"\x01a",
        b"\x01a\x0a",
        b"\x01a\x07\x00",
        b"\x01a\x07\x00\x05abc",
        b"\x01a\x07\x00\x01\xff",
        b"\x01\xff\x00",
        b"\x01a\x05\x00",
        b"\x01a\x09" + b"\0" * 15,
        b"\x01a\x08" + b"\x7f" + b"\xff" * 7,
        b"\x01a\x00\x01a\x00",
    ],
)
def test_malformed_headers(block: bytes) -> None:
    with pytest.raises(FrameError):
        eventstream.parse_headers(block)


@pytest.mark.parametrize(
    ("headers", "payload"),
    [
        ({"a": "x" * 70_000}, b""),
        ({"a": b"x" * 70_000}, b""),
        ({"n" * 256: True}, b""),
        ({"a": 2**63}, b""),
        ({}, bytes(eventstream.MAX_PAYLOAD + 1)),
        ({str(number): "x" * 60_000 for number in range(3)}, b""),
    ],
)
def test_what_a_frame_cannot_hold_is_not_encoded(headers: dict[str, Any], payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        encode_frame(headers, payload)


def test_the_largest_frame() -> None:
    wanted = Frame({"a": 1}, bytes(eventstream.MAX_PAYLOAD))
    assert decode([encode([wanted])]) == ([wanted], None)


def test_a_large_frame_in_small_pieces_is_copied_once() -> None:
    """Counted in bytes that reach the parser: a try for each piece would make it hundreds of times the frame."""
    data = encode_frame({":event-type": "x"}, bytes(1 << 20))
    pieces = [data[at : at + 4096] for at in range(0, len(data), 4096)]
    parsed = 0

    def watch(frame: FrameType, event: str, _: object) -> None:
        nonlocal parsed
        if event == "call" and frame.f_code is eventstream._decode.__code__:
            parsed += len(frame.f_locals["data"])

    sys.setprofile(watch)
    try:
        found, fault = decode(pieces)
    finally:
        sys.setprofile(None)
    assert (len(found), fault) == (1, None)
    assert len(data) <= parsed < 1.1 * len(data)


def test_the_cache_of_headers_is_bounded() -> None:
    for number in range(3 * eventstream._CACHED_BLOCKS):
        decode([encode_frame({"n": str(number)}, b"")])
    assert len(eventstream._block_cache) <= eventstream._CACHED_BLOCKS


UNKNOWN = {"eventOfTomorrow", "futureEvent", "unknownEvent"}


def shown_by_the_client(frame: Frame) -> dict[str, Any]:
    """One line as the recording of the real client spells it."""
    payload = json.loads(frame.payload) if frame.payload else {}
    match frame.headers[":message-type"]:
        case "event":
            return {"kind": "event", "event": {frame.headers[":event-type"]: payload}}
        case "exception":
            return {"kind": "error", "type": frame.headers[":exception-type"], "payload": payload}
        case _:
            code, message = frame.headers[":error-code"], frame.headers[":error-message"]
            return {"kind": "error", "type": code, "payload": {"message": message}}


def recorded_payload(value: Any) -> Any:
    """The client shows blobs as bytes; on the wire they are base64 text."""
    if isinstance(value, dict):
        return value["$bytes"] if set(value) == {"$bytes"} else {k: recorded_payload(v) for k, v in value.items()}
    return [recorded_payload(one) for one in value] if isinstance(value, list) else value


def contains(wire: Any, shown: Any) -> bool:
    """The client drops fields that it does not know, never values that it does."""
    if isinstance(wire, dict) and isinstance(shown, dict):
        return all(name in wire and contains(wire[name], shown[name]) for name in shown)
    if isinstance(wire, list) and isinstance(shown, list):
        return len(wire) == len(shown) and all(map(contains, wire, shown))
    return bool(wire == shown)


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize("split", [lambda data: [data], byte_by_byte], ids=["whole", "byte by byte"])
def test_the_real_client_saw_the_same_events(name: str, split: Any) -> None:
    data = b"".join(map(base64.b64decode, GOLDEN[name]["frames_b64"]))
    found, fault = decode(split(data))
    known = [line for frame in found if known_to_the_client(line := shown_by_the_client(frame), name)]
    recorded = [recorded_payload(line) for line in GOLDEN[name]["real_client"] if line["kind"] == "event"]
    events = [line for line in known if line["kind"] == "event"]
    assert len(events) == len(recorded)
    assert all(map(contains, events, recorded))
    end = GOLDEN[name]["real_client"][-1]
    check_end(end, [line for line in known if line["kind"] == "error"], fault)


def known_to_the_client(line: dict[str, Any], name: str) -> bool:
    return line["kind"] == "error" or next(iter(line["event"])) in recorded_names()


def recorded_names() -> set[str]:
    lines = [line for case in GOLDEN.values() for line in case["real_client"]]
    return {next(iter(line["event"])) for line in lines if line["kind"] == "event"}


def check_end(end: dict[str, Any], errors: list[dict[str, Any]], fault: FrameError | None) -> None:
    if end["kind"] == "end":
        assert (errors, fault) == ([], None)
    elif errors:
        [error] = errors
        assert error["type"] in (end["name"], "error")
        assert error["payload"]["message"] in end["message"]
    else:
        # The client's words differ; that it noticed does not.
        assert isinstance(fault, FrameError)
