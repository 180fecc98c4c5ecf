"""A small client: one request on a NATS subject, and its answer, whole or as it comes.

In: a NatsConfig, a body, headers. Out: the bodies of the answer's messages, or what stands in its error headers.
Refuses to know what bodies mean.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping

from nats.aio.msg import Msg
from nats.errors import TimeoutError as NatsTimeout
from nats.micro.request import ERROR_CODE_HEADER, ERROR_HEADER

from cw_proxy.errors import NatsUnavailable, ProxyError, RequestTooLarge, UpstreamTimeout
from cw_proxy.nats_settings import NatsConfig
from cw_proxy.transports.nats_link import connect, size


async def asked(
    config: NatsConfig, body: bytes, headers: Mapping[str, str], *, streamed: bool
) -> AsyncGenerator[bytes, None]:
    """Raises ConfigError, NatsRefused, NatsUnavailable, RequestTooLarge, UpstreamTimeout, and ProxyError for an answer
    that is an error."""
    connection = await connect(config)
    try:
        if size(body, headers) > connection.max_payload:
            raise RequestTooLarge(f"The request is larger than the {connection.max_payload} bytes of a message.")
        inbox = connection.new_inbox()
        subscription = await connection.subscribe(inbox)
        await connection.publish(config.subject, body, reply=inbox, headers=dict(headers) or None)
        while True:
            try:
                message = await subscription.next_msg(config.timeout)
            except NatsTimeout:
                raise UpstreamTimeout(f"No answer came within {config.timeout:g} s.") from None
            _check(message, config.subject)
            if streamed and not message.data:
                return
            yield message.data
            if not streamed:
                return
    finally:
        await connection.close()


def _check(message: Msg, subject: str) -> None:
    headers = message.headers or {}
    if headers.get("Status") == "503":
        raise NatsUnavailable(f"Nobody listens on {subject!r}.")
    if ERROR_CODE_HEADER in headers:
        raise ProxyError(f"{headers[ERROR_CODE_HEADER]}: {headers.get(ERROR_HEADER, '')}")
