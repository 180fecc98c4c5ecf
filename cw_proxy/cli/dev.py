"""`cw-proxy dev`: tools for whoever works on a deployment."""

from __future__ import annotations

import click


@click.group()
def dev() -> None:
    """Stand-ins for what is usually AWS's, on loopback."""


@dev.command("ws-gateway")
@click.option("--host", default="127.0.0.1", show_default=True, help="Loopback only: this is a test tool.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Clients' port; 0 picks one.  [default: 0]")
@click.option(
    "--integration-timeout", type=click.FloatRange(0.05, 29), default=29.0, show_default=True, help="Seconds."
)
@click.option("--idle-timeout", type=click.FloatRange(0.05, 600), default=600.0, show_default=True, help="Seconds.")
@click.option("--max-age", type=click.FloatRange(0.05, 7200), default=7200.0, show_default=True, help="Seconds.")
def ws_gateway(host: str, port: int, integration_timeout: float, idle_timeout: float, max_age: float) -> None:
    """A WebSocket API of API Gateway's, with AWS's limits, in front of a function that runs here.

    The first line of the output is the address for clients; then comes what to export for `cw-proxy lambda`, which
    is the function, in another terminal. Messages may have 128 KB and their frames 32 KB, more closes the connection
    (1009), and so does a binary one (1003). A connection ends when it was silent for ten minutes, or is two hours old.
    Posts to connections and invocations must be signed, with any key.
    """
    import asyncio
    import contextlib

    from cw_proxy.errors import ConfigError

    try:
        from cw_proxy.emulator.ws_gateway import Gateway, Limits
    except ModuleNotFoundError as fault:
        if fault.name != "websockets":
            raise
        raise ConfigError("The gateway needs one more package: pip install 'cw-proxy[gateway]'.") from None
    from cw_proxy.cli.serve import Signals

    limits = Limits(integration=integration_timeout, idle=idle_timeout, age=max_age)
    try:
        gateway = Gateway(host, port, limits)
    except ValueError as fault:
        raise click.UsageError(str(fault)) from fault

    async def run() -> None:
        signals = Signals()
        async with gateway:
            click.echo(gateway.url)
            click.echo("\nThe gateway is ready; its function is, in another terminal:")
            for name, value in variables(gateway.address).items():
                click.echo(f"  export {name}={value}")
            click.echo("  cw-proxy lambda\nEnd with Ctrl-C.")
            await signals.first.wait()

    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(run())
    except OSError as fault:
        raise click.ClickException(f"cannot listen on {host} port {port}: {fault.strerror or fault}") from fault


def variables(address: str) -> dict[str, str]:
    """What the function's environment has on Lambda, and where it finds AWS. The key opens nothing."""
    return {
        "AWS_LAMBDA_RUNTIME_API": address,
        "AWS_LAMBDA_FUNCTION_NAME": "cw-proxy",
        "AWS_LAMBDA_MAX_CONCURRENCY": "10",
        "AWS_ENDPOINT_URL_LAMBDA": f"http://{address}",
        "API_GW_ENDPOINT": f"http://{address}/local",
        "AWS_REGION": "eu-central-1",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "CW_PROXY_PROMPT_SOCKET": "1",
    }
