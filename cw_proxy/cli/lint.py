"""`cw-proxy lint`: is a request one that the service takes, and if not, which rule does it break, and where?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cw_proxy.cli import settings

if TYPE_CHECKING:
    from cw_proxy.backends.codewhisperer.rules import Broken
    from cw_proxy.errors import ProxyError

EXIT_BROKEN = 1
# Where a chat itself breaks a rule: the end of its JSON path → the rule's number.
_BY_PLACE = {
    "arguments": 14,
    "image_url": 11,
    "image_url.url": 11,
    "file_data": 11,
    "function.name": 7,
    "parameters": 9,
    "parameters.type": 9,
}


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True))
@settings.json_option
def lint(file: Path, as_json: bool) -> None:
    """Check a request against the service's rules.

    FILE is the JSON of a chat completion or of a payload for the service; - reads standard input. A chat is checked
    as the proxy would send it. Prints rule, place and reason; exit code 1 when a rule is broken.
    """
    found = _broken(click.open_file(str(file), "rb").read())
    if as_json:
        settings.print_json([{"rule": one.rule, "path": one.path, "reason": one.reason} for one in found])
    else:
        for one in found:
            click.echo(f"rule {one.rule or '-'}: {one.path or 'the whole body'}: {one.reason}")
        if not found:
            click.echo("No rule is broken.")
    if found:
        raise SystemExit(EXIT_BROKEN)


def _broken(body: bytes) -> list[Broken]:
    """Raises UsageError for what is neither of the two."""
    import json

    from cw_proxy.backends.codewhisperer.rules import broken

    try:
        said: Any = json.loads(body)
    except (ValueError, RecursionError) as fault:
        raise click.UsageError(f"The file is not JSON: {fault}") from None
    if isinstance(said, dict) and "conversationState" in said:
        return broken(said, settings.load().max_payload_bytes)
    if isinstance(said, dict) and "messages" in said:
        return _broken_by_chat(body)
    raise click.UsageError("The file has neither 'messages' nor 'conversationState'.")


def _broken_by_chat(body: bytes) -> list[Broken]:
    import asyncio

    import msgspec

    from cw_proxy.backends.codewhisperer.request import Payload
    from cw_proxy.backends.codewhisperer.rules import broken
    from cw_proxy.demands import demand_of
    from cw_proxy.errors import ProxyError
    from cw_proxy.images import with_images
    from cw_proxy.protocols.openai_chat import OpenAIChat

    config = settings.load()
    try:
        (ask,) = OpenAIChat().session().receive(body)
        demand_of(ask.request, frozenset())
        request = asyncio.run(with_images(ask.request, _anything if config.fetch_images else None))
        payload = Payload(request, model=None, origin=config.origin, max_bytes=config.max_payload_bytes)
        sent = payload.body("lint", None)
    except ProxyError as error:
        return [_of_error(error)]
    return broken(msgspec.json.decode(sent), config.max_payload_bytes)


async def _anything(url: str, param: str) -> bytes:
    """Nothing is fetched here: whatever is there, it may be an image."""
    return b"GIF89a"


def _of_error(error: ProxyError) -> Broken:
    """A chat that the proxy refuses: the rule is told by the place, 0 where none of the service's is broken."""
    from cw_proxy.backends.codewhisperer.rules import Broken
    from cw_proxy.errors import ContextLengthExceeded

    path = error.param or ""
    if isinstance(error, ContextLengthExceeded):
        return Broken(10, path, error.message)
    rules = (rule for end, rule in _BY_PLACE.items() if path.endswith(f".{end}"))
    return Broken(next(rules, 0), path, error.message)
