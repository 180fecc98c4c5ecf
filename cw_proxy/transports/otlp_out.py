"""Metrics by OTLP over gRPC: how many sessions there were, and how long each was.

In: one call for each session that ended. Out: `ws_proxy_sessions_total` and `ws_proxy_session_duration_ms`, pushed to
a collector. The OpenTelemetry SDK is the extra `otel`, and is imported only when there is a collector to push to.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Any

from cw_proxy import __version__
from cw_proxy.errors import ConfigError

SHUTDOWN = 3.0  # seconds for the last export; a collector that is down must not hold the process
MODELS = 100
_BOUNDARIES = (10, 100, 500, 1000, 5000, 10_000, 30_000, 60_000, 300_000, 900_000, 1_800_000, 3_600_000)


class OtlpMetrics:
    """`endpoint` is HOST:PORT or http:// for plain text, https:// for TLS; `interval` is in seconds."""

    def __init__(self, endpoint: str, interval: float) -> None:
        """Raises ConfigError."""
        self._provider = _provider(endpoint, interval)
        meter = self._provider.get_meter("cw_proxy", __version__)
        self._sessions = meter.create_counter("ws_proxy_sessions_total", "1", "Sessions that ended.")
        self._durations = meter.create_histogram(
            "ws_proxy_session_duration_ms",
            "ms",
            "From the upgrade to the close.",
            explicit_bucket_boundaries_advisory=_BOUNDARIES,
        )
        self._models: set[str] = set()

    def session_ended(self, model: str, result: str, milliseconds: float) -> None:
        attributes = {"model": self._label(model), "result": result}
        self._sessions.add(1, attributes)
        self._durations.record(milliseconds, attributes)

    async def close(self) -> None:
        """Sends what is left, as far as that is possible in time."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown(timeout_millis=SHUTDOWN * 1000)
            loop.call_soon_threadsafe(done.set)

        # A daemon: neither the loop's end nor the interpreter's waits for it.
        threading.Thread(target=shut_down, daemon=True).start()
        with suppress(TimeoutError):
            await asyncio.wait_for(done.wait(), SHUTDOWN + 1)

    def _label(self, model: str) -> str:
        """Clients choose the name, and every name is a series of its own that the collector keeps."""
        if not model:
            return "unknown"
        if model not in self._models and len(self._models) >= MODELS:
            return "other"
        self._models.add(model)
        return model


def _provider(endpoint: str, interval: float) -> Any:
    try:
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import Resource
    except ImportError:
        raise ConfigError("'otel_endpoint' needs OpenTelemetry: pip install 'cw-proxy[otel]'.") from None
    exporter = OTLPMetricExporter(endpoint=endpoint, insecure=not endpoint.startswith("https://"))
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=interval * 1000)
    resource = Resource.create({"service.name": "cw-proxy-relay", "service.version": __version__})
    return MeterProvider([reader], resource, shutdown_on_exit=False)
