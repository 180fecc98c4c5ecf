"""Numbers for Prometheus: how many, how long, how many tokens, how it ended.

In: an Entry for each exchange, functions that tell a current number. Out: the text that Prometheus reads. Refuses to
let a client name a series: every label comes from a closed set. Routes are patterns, models are those that the
upstream lists, outcomes are codes of errors.py; whatever else there is, is `other`.

Names are those of OpenTelemetry's conventions (gen_ai.*, http.server.*) in Prometheus' spelling, where it has any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from cw_proxy import errors
from cw_proxy.errors import ConfigError, ProxyError
from cw_proxy.record import CLIENT_GONE, OK, Entry

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OTHER, DEFAULT = "other", "default"

# As OpenTelemetry advises, with steps between for what is short and long here.
_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60, 120, 300, 600)
_TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576)
_MODEL = "gen_ai_response_model"


class Metrics:
    """A sink of entries. `knows` says whether an upstream lists a model. Raises ConfigError without the library."""

    def __init__(self, knows: Callable[[str, str], bool]) -> None:
        try:
            import prometheus_client as prometheus
        except ImportError:
            raise ConfigError("'metrics' needs a library: pip install 'cw-proxy[metrics]'.") from None
        # When a series began is a series more for each, and nobody asks.
        prometheus.disable_created_metrics()  # type: ignore[no-untyped-call] # the library leaves out its `-> None`
        self._knows = knows
        self._outcomes = {OK, CLIENT_GONE, *_codes()}
        self._generate = prometheus.generate_latest
        self._registry = prometheus.CollectorRegistry()
        prometheus.ProcessCollector(registry=self._registry)
        self._http = self._histogram(
            "http_server_request_duration_seconds",
            "Every request; for a WebSocket how long it was open.",
            ("http_request_method", "http_route", "http_response_status_class"),
        )
        self._requests = self._histogram(
            "gen_ai_server_request_duration_seconds",
            "Exchanges with a model, and how they ended.",
            ("http_route", _MODEL, "outcome"),
        )
        self._first = self._histogram(
            "gen_ai_server_time_to_first_token_seconds", "Until the first of an answer.", ("http_route", _MODEL)
        )
        self._tokens = self._histogram(
            "gen_ai_client_token_usage",
            "Tokens of an exchange, and how they are known: exact, derived or estimated.",
            ("gen_ai_token_type", _MODEL, "source"),
            _TOKENS,
        )

        self._errors = prometheus.Counter(
            "cw_proxy_errors", "Requests and turns that did not end well.", ("outcome",), registry=self._registry
        )

    def _histogram(self, name: str, about: str, labels: tuple[str, ...], buckets: tuple[float, ...] = _SECONDS) -> Any:
        from prometheus_client import Histogram

        return Histogram(name, about, labels, registry=self._registry, buckets=buckets)

    def gauge(self, name: str, about: str, value: Callable[[], float]) -> None:
        """A number that is asked for when somebody reads."""
        from prometheus_client import Gauge

        Gauge(name, about, registry=self._registry).set_function(value)

    def counter(self, name: str, about: str, value: Callable[[], float]) -> None:
        """The same, of a number that only grows; the name is without its `_total`."""
        self._registry.register(_Counter(name, about, value))

    def __call__(self, entry: Entry) -> None:
        seconds = entry.total_ms / 1000
        if entry.method != "WS":
            self._http.labels(entry.method, entry.route, f"{entry.status // 100}xx").observe(seconds)
        outcome = entry.outcome if entry.outcome in self._outcomes else OTHER
        if outcome != OK:
            self._errors.labels(outcome).inc()
        if entry.model_asked is None:
            return
        model = self._model(entry)
        self._requests.labels(entry.route, model, outcome).observe(seconds)
        if entry.first_ms is not None:
            self._first.labels(entry.route, model).observe(entry.first_ms / 1000)
        for kind, tokens in (("input", entry.input_tokens), ("output", entry.output_tokens)):
            if tokens is not None:
                self._tokens.labels(kind, model, entry.tokens_source).observe(tokens)

    def _model(self, entry: Entry) -> str:
        if entry.backend is None:
            return OTHER
        if entry.model is None:
            return DEFAULT
        return entry.model if self._knows(entry.backend, entry.model) else OTHER

    def page(self) -> bytes:
        return self._generate(self._registry)


class _Counter:
    def __init__(self, name: str, about: str, value: Callable[[], float]) -> None:
        self._made = (name, about)
        self._value = value

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily

        yield CounterMetricFamily(*self._made, value=self._value())


def _codes() -> Iterator[str]:
    """Of every error there is."""
    for thing in vars(errors).values():
        if isinstance(thing, type) and issubclass(thing, ProxyError):
            yield thing.default_code
