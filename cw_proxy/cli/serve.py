"""`cw-proxy serve`: the server, until SIGTERM."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import click

from cw_proxy.cli import settings

if TYPE_CHECKING:
    import asyncio


class Server(Protocol):
    """What is ended in two steps."""

    async def drain(self) -> object: ...

    async def stop(self) -> None: ...


@click.command()
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 picks a free one.  [default: 3000]")
@click.option("--api-key", "api_keys", multiple=True, metavar="KEY", help="Demand this client key (repeatable).")
@click.option("--allowed-host", "allowed_hosts", multiple=True, metavar="NAME", help="Another name of this server.")
@click.option("--cors-origin", "cors_origins", multiple=True, metavar="ORIGIN", help="Let pages of this origin call.")
@click.option(
    "--trusted-proxy",
    "trusted_proxies",
    multiple=True,
    metavar="CIDR",
    help="Believe what this reverse proxy says about its clients' addresses (repeatable).",
)
@click.option(
    "--on-licensed-code",
    type=click.Choice(["flag", "drop", "pass"]),
    help="Code of which the service names the licence: say so, take it out, or say nothing.  [default: flag]",
)
@click.option("--fetch-images", is_flag=True, default=None, help="Fetch images that requests name by https URLs.")
@click.option("--prompt-socket", is_flag=True, default=None, help="Serve the prompt socket at /ws.")
@click.option("--simple-api", is_flag=True, default=None, help="Serve the simple API at /api/completions.")
@click.option("--debug", is_flag=True, default=None, help="Log more. Never tokens, keys or what is said.")
@settings.env_file_option
@settings.config_option
def serve(config_file: Path | None, env_file: Path | None, **flags: object) -> None:
    """Serve the OpenAI API on this machine.

    The first line on stdout is the address. SIGTERM or Ctrl-C lets open streams finish; a second one does not.
    """
    import gc

    from cw_proxy.app import App
    from cw_proxy.config import home

    given = {name: list(value) if isinstance(value, tuple) else value for name, value in flags.items()}
    environment = settings.environment(env_file)
    config = settings.load(config_file, environment, **{name: value for name, value in given.items() if value != []})
    settings.set_up_logging(config.debug)

    async def main() -> None:
        signals = Signals()
        app = App(config, home(environment), environment)
        await app.start()
        # What is loaded by now stays: the garbage collector need not walk through it again and again.
        gc.collect()
        gc.freeze()
        click.echo(app.url)
        await until_signalled(app, signals)

    settings.run(main())


class Signals:
    """SIGTERM and SIGINT from the moment that this is made, so that none is missed while something starts."""

    def __init__(self) -> None:
        import asyncio
        import signal

        self.first, self.second = asyncio.Event(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._tell)

    def _tell(self) -> None:
        (self.second if self.first.is_set() else self.first).set()


async def until_signalled(app: Server, signals: Signals) -> None:
    """Serves until the first signal, drains until the second."""
    import asyncio

    await signals.first.wait()
    draining, again = asyncio.ensure_future(app.drain()), asyncio.ensure_future(signals.second.wait())
    await asyncio.wait({draining, again}, return_when=asyncio.FIRST_COMPLETED)
    for task in (draining, again):
        task.cancel()
    await app.stop()


class Losable(Server, Protocol):
    """One that may end by itself."""

    @property
    def lost(self) -> asyncio.Event: ...


async def until_signalled_or_lost(app: Losable, signals: Signals) -> bool:
    """Whether it was a signal. Either way it is stopped."""
    import asyncio

    serving, lost = asyncio.ensure_future(until_signalled(app, signals)), asyncio.ensure_future(app.lost.wait())
    await asyncio.wait({serving, lost}, return_when=asyncio.FIRST_COMPLETED)
    lost.cancel()
    if serving.done():
        serving.result()
        return True
    serving.cancel()
    await app.stop()
    return False
