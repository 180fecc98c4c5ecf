"""The AWS event stream: binary frames with typed headers, over a stream of bytes cut anywhere.

In: bytes as the network cut them. Out: frames (headers, payload). Refuses to know what a payload means.

    total length u32 · headers length u32 · CRC-32 of those 8 bytes · headers · payload · CRC-32 of all before it

The prelude's CRC is checked as soon as its 12 bytes are there: with a corrupted length one would otherwise wait
for bytes that never come. A stream is over only when nothing is left over: the service sends no last frame.
(upstream.md §2)
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID
from zlib import crc32

HeaderValue = bool | int | str | bytes | datetime | UUID
Headers = Mapping[str, HeaderValue]

MAX_HEADERS = 128 * 1024
MAX_HEADER_VALUE = 0xFFFF  # its length is a u16
MAX_PAYLOAD = 16 * 1024 * 1024
OVERHEAD = 16  # prelude 12 + message CRC 4
_CACHED_BLOCKS = 256
_CACHED_PRELUDES = 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_PRELUDE = struct.Struct(">III")
_U32 = struct.Struct(">I")
_INTEGERS = {2: struct.Struct(">b"), 3: struct.Struct(">h"), 4: struct.Struct(">i"), 5: struct.Struct(">q")}


class FrameError(ValueError):
    """Bytes that are not an event stream: a bad CRC, a length beyond the caps, malformed headers."""


class TruncatedStream(FrameError):
    """The stream ended inside a frame."""


class Frame(NamedTuple):
    headers: Headers
    payload: bytes


class FrameDecoder:
    """Frames out of bytes, incrementally.

    `feed` never raises: the frames before a fault are good and are returned; the fault then stands in `error`,
    and nothing more is decoded. `finish` says whether the end came on a frame border.
    """

    __slots__ = ("_buffer", "error")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.error: FrameError | None = None

    def feed(self, data: bytes) -> list[Frame]:
        frames: list[Frame] = []
        if self.error is not None:
            return frames
        # Most reads hold whole frames: without a remainder the bytes are decoded where they are.
        if self._buffer:
            self._buffer += data
            data = bytes(self._buffer) if len(self._buffer) >= _wanted(self._buffer) else b""
            if not data:
                return frames
            self._buffer.clear()
        try:
            used = _decode(data, frames)
        except FrameError as fault:
            self.error = fault
            return frames
        if used < len(data):
            self._buffer += data[used:] if used else data
        return frames

    def finish(self) -> FrameError | None:
        if self.error is None and self._buffer:
            self.error = TruncatedStream(f"the stream ended {len(self._buffer)} bytes into a frame")
        return self.error


def _wanted(buffer: bytearray) -> int:
    """Bytes to wait for before a try: a large frame in small pieces must not be copied for each piece."""
    if len(buffer) < 12:
        return 12
    total, headers, crc = _PRELUDE.unpack_from(buffer)
    if crc32(buffer[:8]) != crc or not _plausible(total, headers):
        return 0
    return int(total)


def _plausible(total: int, headers: int) -> bool:
    return headers <= MAX_HEADERS and 0 <= total - OVERHEAD - headers <= MAX_PAYLOAD


def _decode(data: bytes, frames: list[Frame]) -> int:
    """Appends the whole frames of `data`; returns how many bytes they took."""
    start, size = 0, len(data)
    while size - start >= 12:
        prelude = data[start : start + 12]
        total, headers, seed = _preludes.get(prelude) or _prelude(prelude)
        end = start + total
        if end > size:
            break
        # crc32 continued from the prelude's is the CRC of everything before it: the first 8 bytes are not read twice.
        if crc32(data[start + 8 : end - 4], seed) != _U32.unpack_from(data, end - 4)[0]:
            raise FrameError("message checksum does not match")
        block_end = start + 12 + headers
        block = data[start + 12 : block_end]
        # A named tuple's own constructor is a function in Python, and this is once for every frame.
        frames.append(_tuple(Frame, (_block_cache.get(block) or _headers(block), data[block_end : end - 4])))
        start = end
    return start


_tuple = tuple.__new__
_preludes: dict[bytes, tuple[int, int, int]] = {}
_block_cache: dict[bytes, Headers] = {}


def _prelude(raw: bytes) -> tuple[int, int, int]:
    """Lengths and CRC of a prelude that is good. Deltas are of few sizes: each is checked once. Bounded as below."""
    total, headers, crc = _PRELUDE.unpack(raw)
    if crc32(raw[:8]) != crc:
        raise FrameError("prelude checksum does not match")
    if not _plausible(total, headers):
        raise FrameError(f"impossible frame: {total} bytes with {headers} bytes of headers")
    if len(_preludes) >= _CACHED_PRELUDES:
        _preludes.clear()
    _preludes[raw] = total, headers, crc
    return total, headers, crc


def _headers(block: bytes) -> Headers:
    """All frames of one event type carry the same header bytes: parsed once. The cache is bounded."""
    known = _block_cache.get(block)
    if known is None:
        known = parse_headers(block)
        if len(_block_cache) >= _CACHED_BLOCKS:
            _block_cache.clear()
        if len(block) <= 1024:
            _block_cache[block] = known
    return known


def parse_headers(block: bytes) -> Headers:
    """One header block. Raises FrameError for anything malformed, duplicate names included."""
    headers: dict[str, HeaderValue] = {}
    at = 0
    try:
        while at < len(block):
            name_end = at + 1 + block[at]
            name = _take(block, at + 1, name_end).decode()
            value, at = _value(block, name_end)
            if name in headers:
                raise FrameError(f"duplicate header {name!r}")
            headers[name] = value
    except (IndexError, struct.error, UnicodeDecodeError, OverflowError) as fault:
        raise FrameError("malformed headers") from fault
    return headers


def _take(block: bytes, start: int, end: int) -> bytes:
    if end > len(block):
        raise FrameError("a header runs past its block")
    return block[start:end]


def _value(block: bytes, at: int) -> tuple[HeaderValue, int]:
    kind = block[at]
    at += 1
    if kind == 7 or kind == 6:
        end = at + 2 + int.from_bytes(_take(block, at, at + 2))
        raw = _take(block, at + 2, end)
        return (raw.decode() if kind == 7 else raw), end
    if kind in _INTEGERS:
        packing = _INTEGERS[kind]
        return int(packing.unpack_from(block, at)[0]), at + packing.size
    if kind == 0 or kind == 1:
        return kind == 0, at
    if kind == 8:
        return _EPOCH + timedelta(milliseconds=int.from_bytes(_take(block, at, at + 8), signed=True)), at + 8
    if kind == 9:
        return UUID(bytes=_take(block, at, at + 16)), at + 16
    raise FrameError(f"unknown header type {kind}")


def encode_frame(headers: Headers, payload: bytes) -> bytes:
    """One frame. Integers take the smallest type that holds them. Raises ValueError beyond the caps."""
    block = b"".join(_encode_header(name, value) for name, value in headers.items())
    if len(block) > MAX_HEADERS or len(payload) > MAX_PAYLOAD:
        raise ValueError("headers or payload beyond what a frame may hold")
    lengths = struct.pack(">II", OVERHEAD + len(block) + len(payload), len(block))
    message = lengths + _U32.pack(crc32(lengths)) + block + payload
    return message + _U32.pack(crc32(message))


def _encode_header(name: str, value: HeaderValue) -> bytes:
    raw = name.encode()
    return bytes([len(raw)]) + raw + _encode_value(value)


def _encode_value(value: HeaderValue) -> bytes:
    if isinstance(value, bool):
        return b"\0" if value else b"\1"
    if isinstance(value, int):
        return _encode_integer(value)
    if isinstance(value, str):
        return b"\7" + _sized(value.encode())
    if isinstance(value, bytes):
        return b"\6" + _sized(value)
    if isinstance(value, datetime):
        return b"\x08" + struct.pack(">q", (value - _EPOCH) // timedelta(milliseconds=1))
    return b"\x09" + value.bytes


def _sized(raw: bytes) -> bytes:
    if len(raw) > MAX_HEADER_VALUE:
        raise ValueError(f"a header value of {len(raw)} bytes")
    return len(raw).to_bytes(2) + raw


def _encode_integer(value: int) -> bytes:
    for kind, packing in _INTEGERS.items():
        if -(1 << packing.size * 8 - 1) <= value < 1 << packing.size * 8 - 1:
            return bytes([kind]) + packing.pack(value)
    raise ValueError("an integer header holds at most 64 bits")
