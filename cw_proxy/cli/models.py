"""`cw-proxy models`: what the service offers this account."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cw_proxy.cli import settings

if TYPE_CHECKING:
    from cw_proxy.interfaces import Catalog


@click.command()
@settings.json_option
@settings.config_option
def models(config_file: Path | None, as_json: bool) -> None:
    """List the models that the service offers."""
    import msgspec

    from cw_proxy.app import Core
    from cw_proxy.config import home

    config = settings.load(config_file)
    settings.set_up_logging(config.debug)

    async def fetch() -> Catalog:
        async with Core(config, home()) as core:
            return await core.exchange.catalog()

    catalog = settings.run(fetch())
    if as_json:
        settings.print_json(msgspec.to_builtins(catalog))
    else:
        _show(catalog)


def _show(catalog: Catalog) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("model", "input tokens", "output tokens", "", box=None)
    for model in catalog.models:
        limits = [str(limit or "") for limit in (model.max_input_tokens, model.max_output_tokens)]
        table.add_row(model.id, *limits, "default" if model.id == catalog.default else "", style="none")
    Console().print(table)
