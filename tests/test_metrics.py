"""What Prometheus reads: the right numbers, and no series that a client could name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from redis_peers import redis_server
from servers import ask, post, proxy, request, until, wire

from cw_proxy.emulator import Emulator
from cw_proxy.metrics import Metrics
from cw_proxy.record import Entry

BASE = Entry(id="req_1", time=1.0, method="POST", route="/v1/chat/completions", status=200, outcome="ok")
ASKED = msgspec.structs.replace(
    BASE, model_asked="auto", model="listed", backend="openai", first_ms=20.0, total_ms=1500.0,
    input_tokens=12, output_tokens=34, tokens_source="estimated",
)  # fmt: skip

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def metrics() -> Metrics:
    return Metrics(lambda backend, model: (backend, model) == ("openai", "listed"))


def read(page: bytes) -> Series:
    families = text_string_to_metric_families(page.decode())
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def value(series: Series, name: str, **labels: str) -> float | None:
    return series.get((name, frozenset(labels.items())))


CHAT = "/v1/chat/completions"


def test_an_exchange_is_counted() -> None:
    counted = metrics()
    for _ in range(2):
        counted(ASKED)
    counted(BASE)
    series = read(counted.page())
    http = {"http_request_method": "POST", "http_route": CHAT, "http_response_status_class": "2xx"}
    model = {"gen_ai_response_model": "listed"}
    assert value(series, "http_server_request_duration_seconds_count", **http) == 3
    assert value(series, "gen_ai_server_request_duration_seconds_count", http_route=CHAT, outcome="ok", **model) == 2
    assert value(series, "gen_ai_server_request_duration_seconds_sum", http_route=CHAT, outcome="ok", **model) == 3
    assert value(series, "gen_ai_server_time_to_first_token_seconds_sum", http_route=CHAT, **model) == 0.04
    for kind, tokens in (("input", 24), ("output", 68)):
        labels = {"gen_ai_token_type": kind, "source": "estimated", **model}
        assert value(series, "gen_ai_client_token_usage_sum", **labels) == tokens


def test_refusals_are_counted_too() -> None:
    counted = metrics()
    counted(msgspec.structs.replace(BASE, status=429, outcome="rate_limit_exceeded"))
    counted(BASE)
    assert value(read(counted.page()), "cw_proxy_errors_total", outcome="rate_limit_exceeded") == 1


def test_turns_are_no_requests_of_their_own() -> None:
    counted = metrics()
    counted(msgspec.structs.replace(ASKED, method="WS", status=101))
    names = {name for name, _ in read(counted.page())}
    assert "gen_ai_server_request_duration_seconds_count" in names
    assert "http_server_request_duration_seconds_count" not in names


MODELS = [("openai", "listed", "listed"), ("openai", "x", "other"), ("openai", None, "default"), (None, None, "other")]


@pytest.mark.parametrize(("backend", "model", "label"), MODELS)
def test_only_listed_models_are_named(backend: str | None, model: str | None, label: str) -> None:
    counted = metrics()
    counted(msgspec.structs.replace(ASKED, backend=backend, model=model))
    assert {value for _, labels in read(counted.page()) for name, value in labels if "model" in name} == {label}


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20)), max_size=30))
def test_clients_make_no_series(said: list[tuple[str, str, str]]) -> None:
    counted = metrics()
    counted(msgspec.structs.replace(ASKED, model="x", outcome="?"))
    before = set(read(counted.page()))
    for asked, model, outcome in said:
        counted(
            msgspec.structs.replace(ASKED, model_asked=asked, model=model + "x", outcome=outcome + "?", agent=asked)
        )
    assert set(read(counted.page())) == before


def test_numbers_that_are_asked_for() -> None:
    counted = metrics()
    numbers = [1, 2]
    counted.gauge("a_gauge", "One.", lambda: numbers[0])
    counted.counter("a_counter", "Two.", lambda: numbers[1])
    numbers[:] = [3, 4]
    series = read(counted.page())
    assert (value(series, "a_gauge"), value(series, "a_counter_total")) == (3, 4)


# --- on a server ------------------------------------------------------------------------------------------

PONG = "Reply with exactly the token PONG"
SCRAPE = request("GET", "/metrics")


async def scraped(app: Any) -> Series:
    return read((await ask(app.url, SCRAPE)).body)


async def test_a_server_counts(emulator: Emulator) -> None:
    async with proxy(emulator, metrics=True) as app, wire(app.url) as connection:
        await ask(app.url, post(PONG, stream=True, model="claude-haiku-4.5"))
        await ask(app.url, post("Play the script throttled"))
        await ask(app.url, post(PONG, model="invented"))
        await ask(app.url, request("GET", "/v1/invented"))
        await ask(app.url, request("GET", "/v1/models/invented"))
        await connection.send(post("Play the script hang", stream=True))
        await connection.until(b"Then")
        series = await scraped(app)
        assert value(series, "http_server_active_requests") == 1
        connection.vanish()
        await until(lambda: app.endpoints.active == 0, "the client is gone")
        series = await scraped(app)
    ended = {
        (dict(labels)["gen_ai_response_model"], dict(labels)["outcome"]): number
        for (name, labels), number in series.items()
        if name == "gen_ai_server_request_duration_seconds_count"
    }
    assert ended == {
        ("claude-haiku-4.5", "ok"): 1,
        ("default", "rate_limit_exceeded"): 1,
        ("other", "model_not_found"): 1,
        ("default", "client_gone"): 1,
    }
    routes = {labels["http_route"] for labels in (dict(key[1]) for key in series) if "http_route" in labels}
    assert routes == {CHAT, "/v1/models/{id}", "/metrics", "none"}
    assert value(series, "process_resident_memory_bytes")
    assert not [labels for _, labels in series if "invented" in str(labels)]


async def test_a_store_that_is_down_is_counted(emulator: Emulator, tmp_path: Path) -> None:
    with redis_server() as redis:
        redis.kill()
        limits = {"rate_limit_max": 1, "rate_limit_store": redis.url}
        async with proxy(emulator, tmp_path / "home", metrics=True, usage_history=True, **limits) as app:
            assert [(await ask(app.url, post(PONG))).status for _ in range(3)] == [200] * 3
            series = await scraped(app)
    assert value(series, "cw_proxy_rate_limit_store_failures_total") == 1
    assert value(series, "cw_proxy_usage_history_lost_total") == 0
