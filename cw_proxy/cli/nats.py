"""`cw-proxy nats`: a worker on a NATS subject, until SIGTERM; and keys for it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cw_proxy.cli import settings
from cw_proxy.cli.serve import Signals, until_signalled_or_lost

if TYPE_CHECKING:
    import asyncio

    from cw_proxy.config import Config
    from cw_proxy.nats_settings import NatsConfig
    from cw_proxy.transports.nats_in import NatsWorker

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def option(name: str, **more: Any) -> Callable[[Decorated], Decorated]:
    """Spelled with underscores, as the tool before this one had it, and with dashes."""
    spellings = dict.fromkeys([f"--{name}", f"--{name.replace('_', '-')}"])
    return click.option(*spellings, name, **more)


def connection_options(command: Decorated) -> Decorated:
    """Where the server is, and how it knows us."""
    options = [
        click.option("--config", "config_file", type=click.Path(path_type=Path, dir_okay=False), help="YAML file."),
        option("nats_server", metavar="URL", help="The NATS server.  [default: nats://localhost:4222]"),
        option("subject", metavar="TEXT", help="Subject of the requests.  [default: openai_requests]"),
        option("nkey_seed_file", metavar="FILE", help="Seed of our nkey."),
        option("tls_cert", metavar="FILE", help="Our certificate, in PEM."),
        option("tls_key", metavar="FILE", help="Its key."),
        option("tls_ca", metavar="FILE", help="Who signed the server's.  [default: the system's authorities]"),
    ]
    for decorate in reversed(options):
        command = decorate(command)
    return command


@click.group(invoke_without_command=True)
@connection_options
@option("openai_api_key", metavar="KEY", help="Ask OpenAI, with this key. Others see it: write it into the file.")
@option("engine", metavar="MODEL", help="The model of plain texts, and of the name auto.")
@click.option(
    "--debug",
    is_flag=False,
    flag_value=True,
    default=False,
    type=click.BOOL,
    metavar="[BOOLEAN]",
    help="Log more. Never keys or what is said.",
)
@click.pass_context
def nats(context: click.Context, /, config_file: Path | None, debug: bool, **flags: Any) -> None:
    """Answer requests on a NATS subject, as one of a queue group.

    The settings are in config.yaml, or in the file that --config names. SIGTERM or Ctrl-C lets requests that were
    delivered be answered; a second one does not.
    """
    if context.invoked_subcommand is not None:
        return
    from cw_proxy import nats_settings
    from cw_proxy.config import home

    config = nats_settings.load(flags, path=config_file)
    proxy = proxy_settings(config)
    settings.set_up_logging(debug or proxy.debug)
    _say(debug or proxy.debug, in_the_open=flags["openai_api_key"] is not None)
    if proxy.backend == "openai" and proxy.openai_model is None:
        _warn("No engine is set: plain texts and the model auto will be refused.")

    async def main() -> None:
        from cw_proxy.app import Core
        from cw_proxy.guard import Guard
        from cw_proxy.ledger import Ledger

        worker_type = _worker_type()
        async with Core(proxy, home()) as core, Ledger(proxy, home()) as ledger:
            guard = Guard.of([], [], proxy.api_keys)
            await _work(worker_type(core.exchange, guard, config, proxy.drain_timeout, ledger.recorder))

    settings.run(main())


def proxy_settings(config: NatsConfig) -> Config:
    """The settings of the other commands, with what NATS's file says about the model."""
    import msgspec

    key = config.openai_api_key
    chosen = {"backend": "openai", "openai_api_key": key.reveal()} if key else {}
    proxy = settings.load(None, **chosen)
    if config.engine is None:
        return proxy
    if proxy.backend == "openai":
        return msgspec.structs.replace(proxy, openai_model=config.engine)
    return msgspec.structs.replace(proxy, aliases={**proxy.aliases, "auto": config.engine})


def _worker_type() -> type[NatsWorker]:
    from cw_proxy.errors import ConfigError

    try:
        from cw_proxy.transports.nats_in import NatsWorker
    except ModuleNotFoundError as fault:
        if (fault.name or "").partition(".")[0] not in ("nats", "nkeys"):
            raise
        raise ConfigError("NATS needs more packages: pip install 'cw-proxy[nats]'.") from None
    return NatsWorker


def _say(debug: bool, *, in_the_open: bool) -> None:
    """The two lines about the connection are for everybody."""
    import logging

    logging.getLogger("cw_proxy.transports.nats_in").setLevel(logging.DEBUG if debug else logging.INFO)
    if in_the_open:
        _warn("A key on the command line can be seen by every user of this machine: write it into the settings file.")


def _warn(words: str) -> None:
    import logging

    logging.getLogger(__name__).warning(words)


async def _work(worker: NatsWorker) -> None:
    """Until a signal, or until no request will come any more: a supervisor's restart may mend what we cannot."""
    signals = Signals()
    if not await _done_before(signals.first, worker.connect()):
        return
    await worker.serve()
    if not await until_signalled_or_lost(worker, signals):
        raise worker.fault


async def _done_before(signal: asyncio.Event, work: Coroutine[None, None, None]) -> bool:
    import asyncio

    doing, told = asyncio.ensure_future(work), asyncio.ensure_future(signal.wait())
    await asyncio.wait({doing, told}, return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    if not doing.done():
        doing.cancel()
        return False
    doing.result()
    return True


@nats.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def keygen(file: Path) -> None:
    """Write the seed of a new nkey to FILE, and print its public key.

    The public key goes into the NATS server's list of users, FILE into nkey_seed_file.
    """
    import os

    from cw_proxy.errors import ConfigError

    try:
        import nkeys
    except ModuleNotFoundError:
        raise ConfigError("NATS needs more packages: pip install 'cw-proxy[nats]'.") from None
    seed = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
    try:
        # A seed that is in use is never overwritten, and nobody else ever sees this one.
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
            opened.write(bytes(seed) + b"\n")
    except OSError as fault:
        raise ConfigError(f"The file {file} cannot be written: {fault.strerror}.") from None
    click.echo(nkeys.from_seed(bytearray(seed)).public_key.decode())
