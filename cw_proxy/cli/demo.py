"""`cw-proxy demo`: the whole thing on this machine, without an AWS account.

A real login through the device flow, a real server, a real streamed answer; only AWS is played by the emulator.
The demo has a home of its own, so a real login is neither used nor touched.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cw_proxy.cli import settings

if TYPE_CHECKING:
    from cw_proxy.config import Config

QUESTION = "Count from 1 to 20"


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=3000, show_default=True, help="0 picks a free one.")
@click.option("--once", is_flag=True, help="End after the first answer instead of serving on.")
def demo(port: int, once: bool) -> None:
    """Sign in, serve and answer against the built-in emulator; then keep serving."""
    import tempfile

    settings.set_up_logging(debug=False)
    with tempfile.TemporaryDirectory(prefix="cw-proxy-demo-") as home:
        settings.run(_demo(Path(home), port, once))


async def _demo(home: Path, port: int, once: bool) -> None:
    import asyncio

    from cw_proxy.app import App
    from cw_proxy.cli.serve import Signals, until_signalled
    from cw_proxy.emulator import Emulator

    async with Emulator(port=0) as emulator:
        config = _config(emulator.url, port)
        _say(f"1. AWS is played by an emulator at {emulator.url}: no model, fixed answers, all on this machine.")
        app = App(config, home)
        # Before the sign-in: a port that is taken shows at once.
        await app.start()
        try:
            await _sign_in(home, emulator.url)
            _say(f"3. The proxy serves at {app.url}/v1. First question: {QUESTION!r}")
            await asyncio.to_thread(_stream_answer, app.url)
            _say(_hints(app.url))
            if not once:
                await until_signalled(app, Signals())
        finally:
            await app.stop()


def _config(emulator_url: str, port: int) -> Config:
    from cw_proxy.config import Config

    return Config(port=port, streaming_url=emulator_url, runtime_url=emulator_url, oidc_url=emulator_url)


async def _sign_in(home: Path, oidc_url: str) -> None:
    """The device flow, with the demo in the role of the person who opens the page and approves."""
    import asyncio
    import time

    from cw_proxy.auth.driver import drive
    from cw_proxy.auth.flow import Place, ShowCode, sign_in
    from cw_proxy.auth.oidc_boto import BotoOidc
    from cw_proxy.auth.records import BUILDER_ID_REGION, BUILDER_ID_START_URL
    from cw_proxy.auth.store import Store

    def approve(step: ShowCode) -> None:
        _say(f"2. Signing in: code {step.user_code} at {step.verification_uri} - approved there for you.")
        _post_form(step.verification_uri, {"user_code": step.user_code, "action": "approve"})

    def flow() -> None:
        place = Place(BUILDER_ID_START_URL, BUILDER_ID_REGION)
        door = BotoOidc(place.region, endpoint_url=oidc_url)
        done = drive(sign_in(place, None, time.time()), door, clock=time.time, wait=time.sleep, show=approve)
        with Store(home).writing() as files:
            files.save_registration(done.registration)
            files.save(done.login)

    await asyncio.to_thread(flow)


def _post_form(url: str, fields: dict[str, str]) -> None:
    from urllib.parse import urlencode

    with _opened(url, urlencode(fields).encode(), {}):
        pass


def _opened(url: str, body: bytes, headers: dict[str, str]) -> Any:
    """Straight to this machine: a proxy that the environment names has no place here."""
    from urllib.request import ProxyHandler, Request, build_opener

    return build_opener(ProxyHandler({})).open(Request(url, body, headers))  # noqa: S310  loopback


def _stream_answer(url: str) -> None:
    """Asks as any client would: over HTTP, printing deltas as they come."""
    import json

    from cw_proxy.wire.sse import SseDecoder

    body = {"model": "codewhisperer", "messages": [{"role": "user", "content": QUESTION}], "stream": True}
    headers = {"Content-Type": "application/json"}
    decoder = SseDecoder()
    with _opened(f"{url}/v1/chat/completions", json.dumps(body).encode(), headers) as answer:
        while chunk := answer.read1():
            for data in decoder.feed(chunk):
                if data != b"[DONE]":
                    click.echo(json.loads(data)["choices"][0]["delta"].get("content", ""), nl=False)
    click.echo()


def _hints(url: str) -> str:
    return f"""
It works. Any OpenAI client can use it now:

  base URL   {url}/v1
  API key    any text

  curl -N {url}/v1/chat/completions -H 'Content-Type: application/json' \\
    -d '{{"model": "codewhisperer", "stream": true, "messages": [{{"role": "user", "content": "Hello!"}}]}}'

  from openai import OpenAI
  client = OpenAI(base_url="{url}/v1", api_key="any")
  answer = client.chat.completions.create(
      model="codewhisperer", messages=[{{"role": "user", "content": "Hello!"}}]
  )
  print(answer.choices[0].message.content)

With your own account: cw-proxy login, then cw-proxy serve. Ctrl-C ends the demo."""


def _say(text: str) -> None:
    click.echo(text)
