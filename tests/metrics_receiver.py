"""A collector for OTLP over gRPC: a real grpcio server that keeps what it is sent.

In: exports. Out: the newest value of each series. Refuses to know who sends.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as messages
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as service

Series = tuple[tuple[str, str], ...]


class Receiver(service.MetricsServiceServicer):
    def __init__(self) -> None:
        self.address = ""
        self.exports = 0
        self.resource: dict[str, str] = {}
        self._points: dict[str, dict[Series, Any]] = {}
        self._lock = threading.Lock()

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802  the name of the service's method
        with self._lock:
            self.exports += 1
            for group in request.resource_metrics:
                self.resource = {item.key: item.value.string_value for item in group.resource.attributes}
                for metric in (metric for scope in group.scope_metrics for metric in scope.metrics):
                    points = getattr(metric, metric.WhichOneof("data")).data_points
                    self._points.setdefault(metric.name, {}).update({_series(point): point for point in points})
        return messages.ExportMetricsServiceResponse()

    def counts(self) -> dict[Series, int]:
        with self._lock:
            points = self._points.get("ws_proxy_sessions_total", {})
            return {series: point.as_int for series, point in points.items()}

    def durations(self) -> dict[Series, tuple[int, float]]:
        """How many there were, and their sum."""
        with self._lock:
            points = self._points.get("ws_proxy_session_duration_ms", {})
            return {series: (point.count, point.sum) for series, point in points.items()}


def _series(point: Any) -> Series:
    return tuple(sorted((item.key, item.value.string_value) for item in point.attributes))


def series(model: str, result: str) -> Series:
    return (("model", model), ("result", result))


@contextmanager
def receiver() -> Iterator[Receiver]:
    running = Receiver()
    server = grpc.server(ThreadPoolExecutor(2))
    service.add_MetricsServiceServicer_to_server(running, server)
    running.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield running
    finally:
        server.stop(None).wait()
