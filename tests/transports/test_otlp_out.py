"""Metrics by OTLP: what a real receiver gets, and that none keeps nothing from ending."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

from metrics_receiver import receiver, series
from servers import until
from websocket_peers import client, config, create, received, relay, responses, silence, upstream

from cw_proxy.errors import ConfigError
from cw_proxy.transports import otlp_out
from cw_proxy.transports.otlp_out import MODELS, SHUTDOWN, OtlpMetrics


async def test_counts_and_durations_arrive_with_their_attributes() -> None:
    with receiver() as collector:
        metrics = OtlpMetrics(collector.address, 3600)
        metrics.session_ended("gpt-5", "ok", 20.0)
        metrics.session_ended("gpt-5", "ok", 30.5)
        metrics.session_ended("gpt-5", "upstream_error", 1.0)
        metrics.session_ended("", "refused", 2.0)
        await metrics.close()
    assert collector.counts() == {
        series("gpt-5", "ok"): 2,
        series("gpt-5", "upstream_error"): 1,
        series("unknown", "refused"): 1,
    }
    assert collector.durations()[series("gpt-5", "ok")] == (2, 50.5)
    assert collector.resource["service.name"] == "cw-proxy-relay"


async def test_they_are_pushed_at_the_interval() -> None:
    with receiver() as collector:
        metrics = OtlpMetrics(f"http://{collector.address}", 0.05)
        metrics.session_ended("gpt-5", "ok", 20.0)
        await until(lambda: collector.counts() == {series("gpt-5", "ok"): 1}, "the first export")
        metrics.session_ended("gpt-5", "ok", 20.0)
        await until(lambda: collector.counts() == {series("gpt-5", "ok"): 2}, "another one")
        await metrics.close()


async def test_a_collector_that_is_down_holds_nothing_up() -> None:
    metrics = OtlpMetrics("127.0.0.1:9", 0.05)
    metrics.session_ended("gpt-5", "ok", 20.0)
    began = time.monotonic()
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.01)

    ticking = asyncio.ensure_future(tick())
    await metrics.close()
    ticking.cancel()
    assert time.monotonic() - began < SHUTDOWN + 5
    assert ticks > 2, "the loop stood still"


async def test_clients_cannot_make_series_without_end() -> None:
    with receiver() as collector:
        metrics = OtlpMetrics(collector.address, 3600)
        for number in range(MODELS + 50):
            metrics.session_ended(f"model-{number}", "ok", 1.0)
        metrics.session_ended("model-0", "ok", 1.0)
        await metrics.close()
    counts = collector.counts()
    assert len(counts) == MODELS + 1
    assert counts[series("other", "ok")] == 50
    assert counts[series("model-0", "ok")] == 2


async def test_a_relays_sessions_are_counted() -> None:
    with receiver() as collector:
        metrics = OtlpMetrics(collector.address, 0.05)
        async with upstream(responses) as peer, relay(config(peer.url), metrics=metrics) as running:
            for model in ("gpt-5", "gpt-5", "gpt-5-mini"):
                async with client(running) as socket:
                    await socket.send(create("Hello", model))
                    while "response.completed" not in await received(socket):
                        pass
        assert collector.counts() == {series("gpt-5", "ok"): 2, series("gpt-5-mini", "ok"): 1}
        assert collector.durations()[series("gpt-5", "ok")][0] == 2


async def test_sessions_that_are_open_at_the_end_are_counted_too() -> None:
    with receiver() as collector:
        metrics = OtlpMetrics(collector.address, 3600)
        async with upstream(silence) as peer, relay(config(peer.url), metrics=metrics) as running, client(running):
            await running.stop()
    assert collector.counts() == {series("unknown", "shutdown"): 1}


def test_without_a_collector_nothing_is_imported() -> None:
    probe = "import sys, cw_proxy.transports.relay, cw_proxy.transports.otlp_out; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert not {name.partition(".")[0] for name in done.stdout.split()} & {"opentelemetry", "grpc", "google"}


def test_without_the_extra_the_message_says_what_to_install() -> None:
    probe = (
        f"import sys; sys.modules['opentelemetry.sdk.metrics'] = None; from {otlp_out.__name__} import OtlpMetrics\n"
    )
    probe += "try: OtlpMetrics('127.0.0.1:1', 1)\nexcept Exception as error: print(type(error).__name__, error)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout == f"{ConfigError.__name__} 'otel_endpoint' needs OpenTelemetry: pip install 'cw-proxy[otel]'.\n"
