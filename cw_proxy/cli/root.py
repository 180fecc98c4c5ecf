"""The root command: gathers the groups, turns our errors into a line on stderr and an exit code."""

from __future__ import annotations

import sys
from typing import NoReturn

import click

from cw_proxy import __version__, errors
from cw_proxy.cli import (
    ask,
    chat,
    config,
    demo,
    dev,
    emulator,
    lambda_runtime,
    lint,
    login,
    models,
    nats,
    relay,
    serve,
    usage,
)

EXIT_FAILURE, EXIT_USAGE, EXIT_BROKEN_STATE, EXIT_LOGIN, EXIT_UPSTREAM = 1, 2, 3, 4, 5
EXIT_NATS, EXIT_NATS_REFUSED = 6, 7


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="cw-proxy")
def cli() -> None:
    """Every tool that speaks OpenAI, on AWS CodeWhisperer / Amazon Q Developer."""


COMMANDS = (
    serve.serve,
    login.login,
    login.logout,
    login.status,
    models.models,
    usage.usage,
    chat.chat,
    config.config,
    lint.lint,
    relay.relay,
    nats.nats,
    ask.ask,
    lambda_runtime.lambda_runtime,
    demo.demo,
    emulator.emulator,
    dev.dev,
)
for _command in COMMANDS:
    cli.add_command(_command)


def main() -> NoReturn:
    """The console script."""
    try:
        cli.main(standalone_mode=True)
    except errors.ProxyError as error:
        click.echo(f"cw-proxy: {error.message}", err=True)
        sys.exit(exit_code(error))
    sys.exit(0)


def exit_code(error: errors.ProxyError) -> int:
    match error:
        case errors.ConfigError():
            return EXIT_USAGE
        case errors.BrokenState():
            return EXIT_BROKEN_STATE
        case errors.NatsRefused():
            return EXIT_NATS_REFUSED
        case errors.NatsUnavailable():
            return EXIT_NATS
        case errors.LoginRequired() | errors.UpstreamAccessDenied():
            return EXIT_LOGIN
        case errors.UpstreamError() | errors.UpstreamTimeout() | errors.RateLimited() | errors.InsufficientQuota():
            return EXIT_UPSTREAM
        case _:
            return EXIT_FAILURE
