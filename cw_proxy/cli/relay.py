"""`cw-proxy relay`: a WebSocket relay with a key of its own, until SIGTERM."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cw_proxy.cli import settings
from cw_proxy.cli.serve import Signals, until_signalled

if TYPE_CHECKING:
    from cw_proxy.relay_settings import RelayConfig
    from cw_proxy.transports.otlp_out import OtlpMetrics


@click.command()
@click.option("--upstream-url", metavar="URL", help="Base URL of the upstream.  [default: wss://api.openai.com]")
@click.option("--auth-header", metavar="NAME", help="Header that holds the upstream's key.  [default: authorization]")
@click.option(
    "--auth-value",
    metavar="TEXT",
    help="Its value; ${NAME} is a variable's.  [default: Bearer ${OPENAI_API_KEY}]",
)
@click.option("--listen-addr", metavar="HOST:PORT", help="Where to listen; port 0 is any.  [default: 127.0.0.1:0]")
@click.option("--shutdown-timeout", metavar="TIME", help="For open sessions after SIGTERM.  [default: 5s]")
@click.option("--otel-endpoint", metavar="HOST:PORT", help="OTLP/gRPC collector of metrics; needs the extra otel.")
@click.option("--otel-export-interval", metavar="TIME", help="Time between two exports.  [default: 1s]")
@click.option("--api-key", "api_keys", multiple=True, metavar="KEY", help="Demand this client key (repeatable).")
@click.option("--allowed-host", "allowed_hosts", multiple=True, metavar="NAME", help="Another name of this relay.")
@click.option("--cors-origin", "cors_origins", multiple=True, metavar="ORIGIN", help="Let pages of this origin call.")
@click.option("--max-message-bytes", type=click.IntRange(1), help="Largest message, either way.  [default: 20971520]")
@click.option("--max-sessions", type=click.IntRange(1), help="Open sessions; more get 503.  [default: 1000]")
@click.option("--debug", is_flag=True, help="Log more. Never keys or what is said.")
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path, dir_okay=False), help="Settings file, in JSON."
)
def relay(config_file: Path | None, debug: bool, **flags: object) -> None:
    """Relay WebSockets of /v1/responses, with the upstream's key in the place of the client's.

    The first line on stdout is the address. SIGTERM or Ctrl-C lets answers that are under way end, for as long as
    --shutdown-timeout says; a second one does not.
    """
    from cw_proxy import relay_settings

    given = {name: list(value) if isinstance(value, tuple) else value for name, value in flags.items()}
    config = relay_settings.load({name: value for name, value in given.items() if value != []}, path=config_file)
    settings.set_up_logging(debug)
    from cw_proxy.transports.relay import Relay

    async def main() -> None:
        signals = Signals()
        server = Relay(config, metrics=_metrics(config))
        await server.start()
        click.echo(server.url)
        await until_signalled(server, signals)

    settings.run(main())


def _metrics(config: RelayConfig) -> OtlpMetrics | None:
    if not config.otel_endpoint:
        return None
    from cw_proxy.transports.otlp_out import OtlpMetrics

    return OtlpMetrics(config.otel_endpoint, config.otel_export_interval)
