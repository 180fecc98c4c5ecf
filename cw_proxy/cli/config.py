"""`cw-proxy config`: what is set, where, and whether it is right."""

from __future__ import annotations

from pathlib import Path

import click

from cw_proxy.cli import settings


@click.group()
def config() -> None:
    """Show or check the settings. Flags > environment > file > defaults."""


@config.command()
@settings.json_option
@settings.env_file_option
@settings.config_option
def show(config_file: Path | None, env_file: Path | None, as_json: bool) -> None:
    """Print every setting in force; secrets are masked."""
    from cw_proxy.config import shown

    values = shown(settings.load(config_file, settings.environment(env_file)))
    if as_json:
        settings.print_json(values)
        return
    for name, value in values.items():
        click.echo(f"{name} = {value!r}" if value is not None else f"{name} is not set")


@config.command()
@settings.json_option
def path(as_json: bool) -> None:
    """Print where the settings file is looked for, and the folder of the login."""
    from cw_proxy.config import config_path, home

    if as_json:
        settings.print_json({"config": str(config_path()), "home": str(home())})
    else:
        click.echo(config_path())


@config.command()
@settings.env_file_option
@settings.config_option
def validate(config_file: Path | None, env_file: Path | None) -> None:
    """Check file and environment; exit code 2 and the reason when something is wrong."""
    from cw_proxy.config import check_exposure

    check_exposure(settings.load(config_file, settings.environment(env_file)))
    click.echo("The settings are valid.")
