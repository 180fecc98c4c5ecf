"""`cw-proxy chat`: one question from the terminal, the answer as it comes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cw_proxy.cli import settings

if TYPE_CHECKING:
    from cw_proxy.config import Config


@click.command()
@click.argument("prompt", required=False)
@click.option("--model", default="codewhisperer", show_default=True, help="Any name `cw-proxy models` lists.")
@click.option("--system", metavar="TEXT", help="Instructions that go before the question.")
@settings.json_option
@settings.config_option
def chat(config_file: Path | None, prompt: str | None, model: str, system: str | None, as_json: bool) -> None:
    """Ask one question; without PROMPT it is read from stdin.

    Terminal escapes in the model's text are taken out when it goes to a terminal or a pipe; --json keeps them, escaped.
    """
    # Bytes that are no UTF-8 come from the shell as lone surrogates, which no JSON can carry.
    question = _mended(prompt if prompt is not None else sys.stdin.read())
    if not question.strip():
        raise click.UsageError("Nothing to ask: give a PROMPT or pipe one in.")
    config = settings.load(config_file)
    settings.set_up_logging(config.debug)
    settings.run(_ask(config, question, model, system, as_json))


async def _ask(config: Config, question: str, model: str, system: str | None, as_json: bool) -> None:
    from contextlib import aclosing

    from cw_proxy.app import Core
    from cw_proxy.config import home
    from cw_proxy.events import Collector, Text
    from cw_proxy.exchange import Asker
    from cw_proxy.model import Message, Request, TextPart

    messages = [Message("system", (TextPart(_mended(system)),))] if system else []
    request = Request(model=model, messages=(*messages, Message("user", (TextPart(question),))))
    collector, printer = Collector(), Printer(as_json)
    async with Core(config, home()) as core:
        plan = await core.exchange.plan(request)
        async with aclosing(core.exchange.run(plan, Asker(b"", {}))) as batches:
            async for events in batches:
                collector.feed(events)
                printer.show("".join(event.text for event in events if isinstance(event, Text)))
    # Raises what ended the answer, if it was not its end.
    reply = collector.reply()
    printer.end(model, reply.text, reply.finish_reason)


def _mended(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


class Printer:
    """Text as it comes, or one JSON object at the end."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json

    def show(self, text: str) -> None:
        if not self._as_json and text:
            sys.stdout.write(without_escapes(text))
            sys.stdout.flush()

    def end(self, model: str, text: str, finish_reason: str) -> None:
        if self._as_json:
            settings.print_json({"model": model, "text": text, "finish_reason": finish_reason})
        else:
            click.echo()


# What a terminal would obey: control characters but tab and newline. A model can be made to say anything by what it
# reads; an escape sequence without its ESC is harmless text, also when it comes in two deltas.
_OBEYED = dict.fromkeys(code for code in (*range(0x20), *range(0x7F, 0xA0)) if code not in (0x09, 0x0A))


def without_escapes(text: str) -> str:
    return text.translate(_OBEYED)
