"""`cw-proxy lambda`: the server as a function on AWS Lambda, for as long as Lambda lets it live."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cw_proxy.cli import settings
from cw_proxy.cli.serve import Signals, until_signalled_or_lost

if TYPE_CHECKING:
    from cw_proxy.app import LambdaApp
    from cw_proxy.config import Config
    from cw_proxy.transports.lambda_in import RuntimeApi


@click.command("lambda")
@settings.config_option
def lambda_runtime(config_file: Path | None) -> None:
    """Answer Lambda's invocations: what deploy/lambda/bootstrap starts.

    Answers to Function URLs are streamed. Settings come from the function's environment and from a settings file,
    which may be a secret: CW_PROXY_CONFIG=secretsmanager:NAME.
    """
    api = _api()

    async def main() -> None:
        from contextlib import suppress

        from cw_proxy.errors import ProxyError
        from cw_proxy.transports.lambda_in import RuntimeApiError

        signals = Signals()
        try:
            app = make_app(config_file, api)
        except ProxyError as error:
            # Lambda shows it to whoever looks at the function; the process ends with it as well.
            with suppress(RuntimeApiError):
                await api.fail_start(f"Runtime.{type(error).__name__}", error.message)
            raise
        await app.start()
        if not await until_signalled_or_lost(app, signals):
            # Lambda starts another process then.
            raise ProxyError("The Runtime API takes us no more.")

    settings.run(main())


def _api() -> RuntimeApi:
    from cw_proxy.errors import ConfigError

    try:
        from cw_proxy.transports.lambda_in import RuntimeApi, RuntimeApiError
    except ModuleNotFoundError as fault:
        if fault.name != "h11":
            raise
        raise ConfigError("Lambda needs one more package: pip install 'cw-proxy[lambda]'.") from None
    try:
        return RuntimeApi(os.environ.get("AWS_LAMBDA_RUNTIME_API", ""))
    except RuntimeApiError as fault:
        raise ConfigError(str(fault)) from None


def make_app(config_file: Path | None, api: RuntimeApi, *, buffered: bool = False) -> LambdaApp:
    """From the function's environment; `buffered` whatever the settings say. Raises ConfigError."""
    import msgspec

    from cw_proxy.app import LambdaApp
    from cw_proxy.config import home
    from cw_proxy.errors import ConfigError
    from cw_proxy.transports.lambda_in.loop import concurrency

    if os.environ.get("CW_PROXY_ACCESS_TOKEN"):
        raise ConfigError("Who may look at the function can read CW_PROXY_ACCESS_TOKEN there: keep it in a secret.")
    config = settings.load(config_file) if config_file else _settings(os.environ.get("CW_PROXY_CONFIG", ""))
    if buffered:
        config = msgspec.structs.replace(config, lambda_response_mode="buffered")
    settings.set_up_logging(config.debug)
    return LambdaApp(config, home(), api, concurrency(os.environ))


def _settings(place: str) -> Config:
    """From a secret, for what is nobody's to read who may look at the function: client keys above all."""
    from cw_proxy import config
    from cw_proxy.auth.stores import SECRETS_MANAGER
    from cw_proxy.errors import ConfigError

    if not place.startswith(SECRETS_MANAGER):
        return config.load()
    from cw_proxy.auth.secretsmanager_boto import BotoSecrets

    version = BotoSecrets(place.removeprefix(SECRETS_MANAGER)).read()
    if version is None:
        raise ConfigError(f"CW_PROXY_CONFIG names {place}, and there is no such secret, or nothing in it.")
    return config.load(text=version.text)
