"""Requests go in; questions and kept responses come out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from responses import ask, body, caller, streamed_ask

from cw_proxy import errors
from cw_proxy.events import Begin, End, Event, Fail, Text
from cw_proxy.interfaces import Send
from cw_proxy.protocols.openai_responses import OpenAIResponses

ANSWER: list[Event] = [Begin(), Text("a"), End("stop")]


def answered(protocol: OpenAIResponses, events: list[Event] = ANSWER, **members: Any) -> str:
    """The id of a response that has been given."""
    stream = streamed_ask(ask(protocol, **members), events)
    return str(json.loads(stream.rpartition(b"\ndata: ")[2])["response"]["id"])


def call(protocol: OpenAIResponses, method: str, path: str, query: str = "", owner: bytes = b"me") -> Any:
    by = caller(owner, method=method, path=f"/v1/responses/{path}", query=query)
    [sent] = protocol.session(by).receive(b"")
    assert isinstance(sent, Send)
    return json.loads(sent.frame)


def refused(protocol: OpenAIResponses, method: str, path: str, **more: Any) -> tuple[int, str]:
    with pytest.raises(errors.ProxyError) as raised:
        call(protocol, method, path, **more)
    return raised.value.status, raised.value.code


def test_streams_and_whole_answers() -> None:
    assert (ask(stream=True).stream, ask(stream=None).stream, ask().stream) == (True, False, False)


def test_a_response_can_be_asked_for_again() -> None:
    protocol = OpenAIResponses()
    first = answered(protocol, metadata={"a": "b"})
    assert (call(protocol, "GET", first)["id"], call(protocol, "GET", first)["metadata"]) == (first, {"a": "b"})
    assert call(protocol, "GET", first)["output"][0]["content"][0]["text"] == "a"


def test_it_is_its_owner_s() -> None:
    protocol = OpenAIResponses()
    first = answered(protocol)
    missing = (404, "response_not_found")
    for method, path in (
        ("GET", first),
        ("DELETE", first),
        ("GET", f"{first}/input_items"),
        ("POST", f"{first}/cancel"),
    ):
        assert refused(protocol, method, path, owner=b"you") == missing
    with pytest.raises(errors.InvalidRequest, match="not found"):
        ask(protocol, caller(b"you"), previous_response_id=first)


def test_a_chat_goes_on_and_is_listed() -> None:
    protocol = OpenAIResponses()
    first = answered(protocol, input="one")
    second = answered(protocol, input="two", previous_response_id=first)
    listed = call(protocol, "GET", f"{second}/input_items", "order=asc")["data"]
    assert [item["content"][0]["text"] for item in listed] == ["one", "a", "two"]
    assert call(protocol, "GET", second)["previous_response_id"] == first


def test_what_is_deleted_is_gone() -> None:
    protocol = OpenAIResponses()
    first = answered(protocol)
    assert call(protocol, "DELETE", first) == {"id": first, "object": "response", "deleted": True}
    assert refused(protocol, "GET", first) == refused(protocol, "DELETE", first) == (404, "response_not_found")


@pytest.mark.parametrize(
    ("events", "members"),
    [(ANSWER, {"store": False}), ([Begin(), Fail(errors.UpstreamTruncated("cut"))], {})],
    ids=["not to be stored", "failed"],
)
def test_what_is_not_kept(events: list[Event], members: dict[str, Any]) -> None:
    protocol = OpenAIResponses()
    assert refused(protocol, "GET", answered(protocol, events, **members)) == (404, "response_not_found")


def test_nothing_is_cancelled_or_streamed_again() -> None:
    protocol = OpenAIResponses()
    first = answered(protocol)
    assert refused(protocol, "POST", f"{first}/cancel") == (400, "invalid_request")
    assert refused(protocol, "GET", first, query="stream=true") == (400, "unsupported_parameter")


def test_tokens_are_counted_without_a_model() -> None:
    protocol = OpenAIResponses()

    def counted(**members: Any) -> Any:
        by = caller(path="/v1/responses/input_tokens")
        [sent] = protocol.session(by).receive(json.dumps(members).encode())
        assert isinstance(sent, Send)
        return json.loads(sent.frame)

    short, long = counted(input="hello"), counted(input="hello", instructions="be brief", tools=[])
    assert short["object"] == "response.input_tokens"
    assert 0 < short["input_tokens"] < long["input_tokens"]
    assert counted() == {"object": "response.input_tokens", "input_tokens": 1}


@pytest.mark.parametrize(("method", "path"), [("POST", "x"), ("GET", "a/b"), ("DELETE", "a/input_items"), ("PUT", "a")])
def test_other_paths(method: str, path: str) -> None:
    assert refused(OpenAIResponses(), method, path) == (404, "not_found")


def test_a_body_that_is_none() -> None:
    with pytest.raises(errors.InvalidJson):
        OpenAIResponses().session(caller()).receive(body()[:-1])
