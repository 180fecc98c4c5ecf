"""`cw-proxy ask`: one request to a worker behind a NATS server, for trying it out."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from cw_proxy.cli import settings
from cw_proxy.cli.nats import connection_options, option

if TYPE_CHECKING:
    from cw_proxy.nats_settings import NatsConfig


@click.command()
@click.argument("prompt", required=False)
@click.option("--nats", "nats", metavar="URL", help="The same as --nats-server.")
@connection_options
@click.option("--json", "json_file", type=click.File("rb"), metavar="FILE", help="Send this JSON body; - is stdin.")
@click.option("--stream", is_flag=True, help="Show the answer as it comes.")
@option("api_key", metavar="KEY", help="Whose conversation it is; workers may demand it.")
@option("inbox_prefix", metavar="TEXT", help="Where answers come to, as your permissions have it.  [default: _INBOX]")
@click.option(
    "--timeout", type=click.FloatRange(0, 86400, min_open=True), help="Seconds between messages.  [default: 300]"
)
def ask(
    prompt: str | None,
    nats: str | None,
    config_file: Path | None,
    json_file: BinaryIO | None,
    stream: bool,
    api_key: str | None,
    inbox_prefix: str | None,
    timeout: float | None,
    **flags: Any,
) -> None:
    """Ask a worker over NATS, to try it out.

    It sends one request to the subject that `cw-proxy nats` answers; without PROMPT it is read from stdin. A streamed
    body from a file prints each message as a line of its own.
    """
    import msgspec

    from cw_proxy import nats_settings

    if timeout is not None and not timeout > 0:
        raise click.UsageError("--timeout is a number of seconds.")
    if nats and flags["nats_server"]:
        raise click.UsageError("--nats and --nats-server are the same: give one of them.")
    if json_file is not None and prompt is not None:
        raise click.UsageError("Give a PROMPT or a body with --json, not both.")
    inboxes = nats_settings.inboxes_of(inbox_prefix)
    config = nats_settings.load({**flags, "nats_server": nats or flags["nats_server"]}, path=config_file, ours=False)
    config = msgspec.structs.replace(config, timeout=timeout or config.timeout)
    settings.set_up_logging(False)
    headers = {"Authorization": f"Bearer {nats_settings.key_of(api_key)}"} if api_key else {}
    if json_file is not None:
        body, stream = _json_body(json_file.read(), stream)
        show: Callable[[bytes], None] = _line
    else:
        body = _text_body(prompt if prompt is not None else sys.stdin.read(), stream)
        show = _delta if stream else _text
    asking = _asking(config, body, headers, streamed=stream, inboxes=inboxes)
    settings.run(_shown(asking, show))
    if show is not _line:
        click.echo()


def _asking(
    config: NatsConfig, body: bytes, headers: dict[str, str], *, streamed: bool, inboxes: str
) -> AsyncGenerator[bytes, None]:
    from cw_proxy.errors import ConfigError

    try:
        from cw_proxy.transports.nats_out import asked
    except ModuleNotFoundError:
        raise ConfigError("NATS needs more packages: pip install 'cw-proxy[nats]'.") from None
    return asked(config, body, headers, streamed=streamed, inboxes=inboxes)


async def _shown(messages: AsyncGenerator[bytes, None], show: Callable[[bytes], None]) -> None:
    from contextlib import aclosing

    async with aclosing(messages):
        async for data in messages:
            show(data)


def _json_body(text: bytes, stream: bool) -> tuple[bytes, bool]:
    import json

    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        raise click.UsageError("The body is not JSON, or too deeply nested.") from None
    if not isinstance(body, dict):
        raise click.UsageError("The body is not a JSON object.")
    if stream:
        body["stream"] = True
    return json.dumps(body).encode(), body.get("stream") is True


def _text_body(prompt: str, stream: bool) -> bytes:
    import json

    # Bytes that are no UTF-8 come from the shell as lone surrogates.
    text = prompt.encode("utf-8", "surrogateescape")
    if not text.strip():
        raise click.UsageError("Nothing to ask: give a PROMPT or pipe one in.")
    if not stream:
        return text
    messages = [{"role": "user", "content": text.decode("utf-8", "replace")}]
    return json.dumps({"model": "auto", "messages": messages, "stream": True}).encode()


def _line(data: bytes) -> None:
    click.echo(data.decode("utf-8", "replace"))


def _text(data: bytes) -> None:
    from cw_proxy.cli.chat import without_escapes

    click.echo(without_escapes(data.decode("utf-8", "replace")), nl=False)


def _delta(data: bytes) -> None:
    import json

    from cw_proxy.errors import UpstreamProtocol

    try:
        texts = [choice.get("delta", {}).get("content") or "" for choice in json.loads(data).get("choices") or []]
        text = "".join(texts).encode("utf-8", "replace")
    except (ValueError, AttributeError, TypeError, RecursionError):
        raise UpstreamProtocol("A part of the answer is no chunk of a chat completion.") from None
    _text(text)
