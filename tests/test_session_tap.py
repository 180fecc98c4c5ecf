"""The tap: what frames tell, in any order, in any JSON, and within bounds."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cw_proxy.session_tap import LANES_KEPT, RESPONSES_KEPT, SessionTap, TokenUsage


def create(model: Any = "gpt-5", **more: Any) -> bytes:
    return json.dumps({"type": "response.create", "model": model, "input": "Hi", **more}).encode()


def ended(number: Any, tokens: tuple[Any, Any] = (3, 5), kind: str = "completed", **more: Any) -> bytes:
    usage = {"input_tokens": tokens[0], "output_tokens": tokens[1], "total_tokens": 8}
    response = {"id": number, "object": "response", "usage": usage, "output": [{"text": "Hello"}]}
    return json.dumps({"type": f"response.{kind}", "sequence_number": 7, "response": response, **more}).encode()


ERROR = b'{"type":"error","status":429,"error":{"type":"rate_limit_error","code":"x","message":"m"}}'


def tap(client: list[bytes], upstream: list[bytes]) -> SessionTap:
    tapped = SessionTap()
    for frame in client:
        tapped.feed_client(frame)
    for frame in upstream:
        tapped.feed_upstream(frame)
    return tapped


MODELS: list[tuple[list[bytes], str]] = [
    ([], ""),
    ([create()], "gpt-5"),
    ([create("first"), create("second")], "first"),
    ([b'{"type":"session.update","model":"x"}', create()], "gpt-5"),
    ([create(None), create()], "gpt-5"),
    ([create(["a list"])], ""),
    ([b'{"model":"gpt-5","input":"response.create","type":"response.cancel"}'], ""),
    ([b'{"input":[],"model":"gpt-5", "type" : "response.create"}'], "gpt-5"),
    ([rb'{"type":"response\u002ecreate","model":"gpt-5"}'], "gpt-5"),
    ([rb'{"type":"\u0072esponse.create","model":"gpt-5"}'], "gpt-5"),
    ([create("x" * 5000)], "x" * 200),
]


@pytest.mark.parametrize(("frames", "model"), MODELS)
def test_the_model_is_the_first_that_was_asked_for(frames: list[bytes], model: str) -> None:
    assert tap(frames, []).model == model


USAGES: list[tuple[list[bytes], TokenUsage]] = [
    ([], TokenUsage()),
    ([ended("a")], TokenUsage(3, 5)),
    ([ended("a"), ended("b", (10, 20))], TokenUsage(13, 25)),
    ([ended("a"), ended("a")], TokenUsage(3, 5)),
    ([ended("a"), ended("b", (1, 1)), ended("a", (7, 7))], TokenUsage(8, 8)),
    ([ended("a", kind="incomplete"), ended("b", kind="failed")], TokenUsage(6, 10)),
    ([ended(None), ended(None)], TokenUsage(6, 10)),
    ([ended("a", stream_id="one"), ended("b", stream_id="two")], TokenUsage(6, 10)),
    ([ended("a", (True, 5))], TokenUsage(0, 5)),
    ([ended("a", (-3, 1.5))], TokenUsage()),
    ([ended("a", ("3", None))], TokenUsage()),
    ([ended("a", (10**400, 5))], TokenUsage(0, 5)),
    ([b'{"type":"response.completed"}'], TokenUsage()),
    ([b'{"type":"response.completed","response":[1]}'], TokenUsage()),
    ([b'{"type":"response.completed","response":{"usage":[3,5]}}'], TokenUsage()),
    ([b'{"type":"response.output_text.delta","delta":"response.completed"}'], TokenUsage()),
    ([b'{"type":["response.completed"],"response":{}}'], TokenUsage()),
    ([b"response.completed"], TokenUsage()),
    ([b'["response.completed"]'], TokenUsage()),
    ([b'{"type":"response.completed",' + b"[" * 100_000], TokenUsage()),
    ([b'{"type":"response.completed","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"], TokenUsage()),
    ([b"\xff\xfe response.completed"], TokenUsage()),
    ([b""], TokenUsage()),
]


@pytest.mark.parametrize(("frames", "usage"), USAGES)
def test_the_usage_is_summed_over_responses(frames: list[bytes], usage: TokenUsage) -> None:
    assert tap([], frames).usage == usage


def test_the_usage_of_each_response_is_known() -> None:
    tapped = tap([create(), create()], [ended("a", (1, 2)), ended("b", (3, 4))])
    assert tapped.usage_of("a") == TokenUsage(1, 2)
    assert tapped.usage_of("b") == TokenUsage(3, 4)
    assert tapped.usage_of("c") is None


RESULTS: list[tuple[list[bytes], str]] = [
    ([], "ok"),
    ([ended("a")], "ok"),
    ([ended("a", kind="incomplete")], "ok"),
    ([ended("a", kind="failed")], "failed"),
    ([ERROR], "failed"),
    ([ERROR, ended("a")], "failed"),
    ([b'{"type":"response.created","response":{"error":"error"}}'], "ok"),
]


@pytest.mark.parametrize(("frames", "result"), RESULTS)
def test_the_result_says_whether_something_failed(frames: list[bytes], result: str) -> None:
    assert tap([], frames).result == result


IDLE: list[tuple[list[bytes], list[bytes], bool]] = [
    ([], [], True),
    ([create()], [], False),
    ([create()], [ended("a")], True),
    ([create()], [ERROR], True),
    ([create(), create()], [ended("a")], False),
    ([create(), create()], [ended("a"), ended("b")], True),
    ([create(stream_id="one"), create(stream_id="two")], [ended("a", stream_id="one")], False),
    ([create(stream_id="one"), create(stream_id="two")], [ended("a", stream_id="one")] * 2, False),
    ([], [ended("a"), ended("b")], True),
]


@pytest.mark.parametrize(("client", "upstream", "idle"), IDLE)
def test_it_knows_whether_an_answer_is_under_way(client: list[bytes], upstream: list[bytes], idle: bool) -> None:
    assert tap(client, upstream).idle is idle


def test_days_of_turns_take_no_memory() -> None:
    tapped = SessionTap()
    for number in range(20 * RESPONSES_KEPT):
        tapped.feed_client(create(stream_id=f"lane {number}"))
        tapped.feed_upstream(ended(f"response {number}", (1, 2), stream_id="another"))
    assert tapped.usage == TokenUsage(20 * RESPONSES_KEPT, 40 * RESPONSES_KEPT)
    assert len(tapped._usages) == RESPONSES_KEPT
    assert len(tapped._under_way) == LANES_KEPT


# --- any frames, any order --------------------------------------------------------------------------------

texts = st.text(max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts | st.just("response.completed"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
names = st.sampled_from(["type", "response", "usage", "model", "stream_id", "id", "input_tokens"])
likely = st.dictionaries(names, values | st.dictionaries(names, values, max_size=4), max_size=5)


@given(values | likely)
def test_no_json_is_too_strange(value: Any) -> None:
    frame = json.dumps(value).encode()
    tapped = tap([frame], [frame])
    assert tapped.usage.input_tokens >= 0


@given(st.binary(max_size=200), st.sampled_from([b"response.completed", b"response.create", rb"\u0072"]))
def test_no_bytes_are_too_strange(data: bytes, name: bytes) -> None:
    frame = data[: len(data) // 2] + name + data[len(data) // 2 :]
    assert tap([frame], [frame]).usage == TokenUsage()


@given(st.data())
def test_a_cut_frame_says_nothing(data: st.DataObject) -> None:
    frame = ended("a")
    cut = data.draw(st.integers(0, len(frame) - 1))
    tapped = tap([], [frame[:cut], frame[cut:]])
    assert tapped.usage == (TokenUsage(3, 5) if cut == 0 else TokenUsage())


counts = st.integers(0, 10**6)


@given(st.dictionaries(texts, st.tuples(counts, counts), max_size=30), st.randoms(use_true_random=False))
def test_the_sum_does_not_depend_on_the_order(usages: dict[str, tuple[int, int]], chance: random.Random) -> None:
    frames = [ended(number, usage) for number, usage in usages.items()] * 2
    frames += [b'{"type":"response.output_text.delta","delta":"x"}'] * len(frames)
    chance.shuffle(frames)
    totals = [sum(usage[at] for usage in usages.values()) for at in (0, 1)]
    assert tap([], frames).usage == TokenUsage(*totals)
