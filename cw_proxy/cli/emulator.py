"""`cw-proxy emulator`: the stand-in for AWS and for an OpenAI upstream, on loopback.

In: a port and a few switches. Out: the base URL on the first line of stdout, then what to export. Refuses any host
but loopback.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import asyncio

_VARIABLES = ("CW_PROXY_STREAMING_URL", "CW_PROXY_RUNTIME_URL", "CW_PROXY_OIDC_URL")


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Loopback only: this is a test tool.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port; 0 picks a free one.  [default: 0]")
@click.option("--auto-approve/--no-auto-approve", default=False, help="Approve sign-ins without the page.")
@click.option("--strict-tokens", is_flag=True, help="Accept only tokens that this emulator has issued.")
@click.option(
    "--token-lifetime",
    type=click.IntRange(1),
    default=3600,
    show_default=True,
    help="Seconds until an access token expires.",
)
def emulator(host: str, port: int, auto_approve: bool, strict_tokens: bool, token_lifetime: int) -> None:
    """A stand-in for AWS CodeWhisperer and its sign-in, on loopback, without an account and without a model.

    The first line of the output is its base URL. Its answers follow fixed sentences in the user's text, such as
    "count from 1 to 20", "reply with exactly the token PONG" or "play the script tool"; GET /_emulator/scripts lists
    the scripts, POST /_emulator/scripts/NAME adds one, a JSON list of steps:

    \b
      {"text": "..."}                        text in pieces of a few characters
      {"event": NAME, "payload": {...}}      any event
      {"tool": {"toolUseId": ID, "name": N}, "fragments": ["..."], "stop": true}
      {"exception": "error", "payload": {}}  an exception frame; {"error": [CODE, MESSAGE]} an error frame
      {"flip_crc": true}, {"cut": n}         damage to the next frame; {"cut": n, "abort": true} loses the connection
      {"drop": true}, {"reset": true}        the connection is lost; {"hang": true} waits until the client leaves
      {"delay": seconds}, {"chunk": n}       pauses; writes of n bytes
      {"tail": false}, {"raw": BASE64}, {"headers": {}}, {"repeat": n, "steps": []}
      {"status": 429, "error": NAME, "reason": R, "message": M}   an HTTP error instead of a stream

    GET /_emulator/stats shows what it has seen; GET and POST /_emulator/settings its switches;
    POST /_emulator/expire expires all access tokens; POST /_emulator/reset starts over.
    """
    import asyncio
    import contextlib

    from cw_proxy.emulator import Emulator, Settings

    settings = Settings(auto_approve=auto_approve, strict_tokens=strict_tokens, token_lifetime=token_lifetime)
    try:
        server = Emulator(host, port, settings)
    except ValueError as fault:
        raise click.UsageError(str(fault)) from fault

    async def serve() -> None:
        async with server:
            stop = _stop_on_signals()
            click.echo(server.url)
            click.echo("\nThe emulator is ready; no model is behind it. Point the proxy at it with")
            for name in _VARIABLES:
                click.echo(f"  export {name}={server.url}")
            click.echo(f"or, as an OpenAI upstream, with\n  export CW_PROXY_OPENAI_BASE_URL={server.url}/v1")
            click.echo(f"What it has seen: {server.url}/_emulator/stats   End with Ctrl-C.")
            await stop.wait()

    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(serve())
    except OSError as fault:
        raise click.ClickException(f"cannot listen on {host} port {port}: {fault.strerror or fault}") from fault


def _stop_on_signals() -> asyncio.Event:
    import asyncio
    import signal

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop
