"""nats-py's client, made safe against what anybody who may publish can send, and against servers that stall.

By itself it stops reading for minutes, without a word, after a message that it cannot parse or decode, and after an
answer to a ping that came too late; it talks in the clear to a server that says nothing of TLS; and it gives a
connection up for good over errors that a new connection mends. Each method here says which of these it mends.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport
from nats.errors import ConnectionReconnectingError, Error, ProtocolError
from nats.micro.request import Request
from nats.micro.service import Service
from nats.protocol.parser import Parser

from cw_proxy.wire.nats_operations import Delivery, OperationDecoder

_FLUSH: Any = 10.0  # seconds until a flush is given up; nats-py says int, and takes any number
_FINAL = ("authorization", "authentication")
_KNOWN = ("stale connection", "permissions violation")
_FAULTS = (UnicodeDecodeError, IndexError, ValueError, LookupError, TypeError, AttributeError)


class Unreadable(Error):
    """A message was left out: its reply subject or its headers are no text."""

    def __init__(self, reply: str) -> None:
        super().__init__("nats: a message that cannot be read was left out")
        self.reply = reply


async def flushed(client: Client) -> None:
    """Until the server has taken all that was written: one flush overtakes what still waits to be written, and returns
    at once where the connection is broken. Raises nats-py's errors."""
    for _ in range(2):
        await client.flush(_FLUSH)
        if not client.is_connected:
            raise ConnectionReconnectingError


def reply_subject(request: Request) -> str:
    """Where its answer goes; empty where nobody waits for one."""
    return request._msg.reply


def subscriptions(service: Service) -> list[Subscription]:
    """Of its endpoints."""
    return [endpoint._subscription for endpoint in service._endpoints if endpoint._subscription is not None]


class _Message(Msg):
    async def respond(self, data: bytes) -> None:
        """Without the request's headers: they hold keys."""
        await self._client.publish(self.reply, data)


class _Parser(Parser):
    def reset(self) -> None:
        super().reset()
        self._decoder = OperationDecoder()

    async def parse(self, data: bytes = b"") -> None:
        """A reply subject may hold what nats-py's takes for white space: it breaks off, or waits for ever."""
        try:
            operations = self._decoder.feed(data)
        except ValueError:
            raise ProtocolError("nats: malformed operation") from None
        for operation in operations:
            if isinstance(operation, Delivery):
                headers = operation.headers or b""
                await self.nc._process_msg(operation.sid, operation.subject, operation.reply, operation.body, headers)
            else:
                await self._control(operation.name, operation.rest)

    async def _control(self, name: bytes, rest: bytes) -> None:
        match name:
            case b"PING":
                await self.nc._process_ping()
            case b"PONG":
                await self.nc._process_pong()
            case b"-ERR":
                await self.nc._process_err(rest.decode("utf-8", "replace").lower())
            case b"INFO":
                await self.nc._process_info(_info(rest))
            case _:
                pass  # +OK


def _info(rest: bytes) -> dict[str, Any]:
    try:
        found = json.loads(rest)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ProtocolError("nats: malformed INFO")
    return found


def _release(pongs: list[asyncio.Future[bool]]) -> None:
    for pong in pongs:
        if not pong.done():
            pong.set_result(False)


class _Transport(TcpTransport):
    """What is written to a broken connection is dropped, and the next `drain` says so: nats-py counts on it, and so it
    is with asyncio. uvloop throws a RuntimeError, which nats-py takes for the loop's end, or passes to whoever asks."""

    def __bool__(self) -> bool:
        """Or nats-py would put one of its own in this one's place."""
        return True

    def write(self, payload: bytes) -> None:
        with suppress(RuntimeError):
            super().write(payload)  # type: ignore[no-untyped-call]

    def writelines(self, payload: list[bytes]) -> None:
        with suppress(RuntimeError):
            super().writelines(payload)  # type: ignore[no-untyped-call]


class SafeClient(Client):
    """`secure` means never to talk in the clear."""

    msg_class = _Message

    def __init__(self, *, secure: bool) -> None:
        super().__init__()
        self._ps = _Parser(self)
        self._transport = _Transport()  # type: ignore[no-untyped-call]
        self._secure = secure

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        """A message that cannot be decoded is left out; nats-py would read no other."""
        try:
            await super()._process_msg(sid, subject, reply, data, headers)
        except (UnicodeDecodeError, IndexError):
            await self._error_cb(Unreadable(reply.decode("utf-8", "ignore")))

    async def _process_pong(self) -> None:
        """One for a flush that nobody waits for any more is no reason to stop reading."""
        if self._pongs and self._pongs[0].done():
            self._pongs[0] = asyncio.get_running_loop().create_future()
        await super()._process_pong()

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        """TLS is not left to the server. A limit that it changes while we are connected counts from then on."""
        if initial_connection and self._secure:
            if not (info.get("tls_required") or info.get("tls_available")):
                raise Error("nats: the server offers no secure connection")
            info["tls_required"] = True
        if isinstance(info.get("max_payload"), int):
            self._max_payload = info["max_payload"]
        await super()._process_info(info, initial_connection)

    async def _process_err(self, err_msg: str) -> None:
        """What a new connection mends is mended by one; who is not let in is not let in."""
        if any(words in err_msg for words in (*_FINAL, *_KNOWN)):
            return await super()._process_err(err_msg)
        fault = Error("nats: " + err_msg.strip("'"))
        await self._error_cb(fault)
        return await self._process_op_err(fault)

    async def _process_op_err(self, e: Exception) -> None:
        """Whoever waits for a flush on what is broken waits no longer; nats-py leaves them to their time limit."""
        await super()._process_op_err(e)
        if self.is_reconnecting:
            # In a moment: whom this has cancelled must not take it for an answer, as Python 3.11's wait_for would.
            asyncio.get_running_loop().call_soon(_release, self._pongs)

    async def _close(self, status: int, do_cbs: bool = True) -> None:
        """Where the connection is broken, what waits to be written is no reason not to say that it is closed."""
        try:
            await super()._close(status, do_cbs)
        except OSError:
            self._status = Client.DISCONNECTED
            await super()._close(status, do_cbs)

    async def _process_connect_init(self) -> None:
        """A server that is none must not end the search for one that is."""
        try:
            await super()._process_connect_init()
        except (OSError, Error, TimeoutError):
            raise
        except _FAULTS as fault:
            raise Error(f"nats: this is no NATS server ({type(fault).__name__})") from None

    async def _read_loop(self) -> None:
        """However reading ends, it goes on with another connection."""
        await super()._read_loop()
        if self.is_connected and self._reading_task is asyncio.current_task():
            await self._process_op_err(Error("nats: reading broke off"))
