"""Lambda's events as requests, and answers for each front. The tables are AWS's documents; the properties are ours."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lambda_front import ADDRESS, event_of

from cw_proxy.wire.lambda_event import PRELUDE_END, Head, NotHttp, Request, failure, parse, prelude, whole

KINDS = ["function_url", "http_api", "rest_api", "load_balancer"]
DOMAINS = {
    "function_url": "abc.lambda-url.eu-central-1.on.aws",
    "http_api": "abc.execute-api.eu-central-1.amazonaws.com",
    "rest_api": "abc.execute-api.eu-central-1.amazonaws.com",
}
Event = dict[str, Any]


def made(kind: str, path: str = "/", query: str = "", *, many: bool = True, **more: Any) -> Event:
    event = event_of(kind, "POST", path, query, {"host": ["h.example"]}, b"", many)
    if kind in DOMAINS:
        event["requestContext"]["domainName"] = DOMAINS[kind]
    return {**event, **more}


def read(event: Event) -> Request:
    return parse(json.dumps(event).encode())


@pytest.mark.parametrize("kind", KINDS)
def test_each_front_is_known(kind: str) -> None:
    request = read(made(kind))
    assert (request.front, request.method, request.target, request.body) == (kind, "POST", "/", b"")
    # What a balancer knows of itself is nothing that could be trusted for its Host.
    assert request.domain == DOMAINS.get(kind)
    assert request.header("x-forwarded-for") == (None if kind == "load_balancer" else ADDRESS)


TARGETS: list[tuple[str, str, str, str]] = [
    ("function_url", "/v1/models", "", "/v1/models"),
    ("function_url", "/a%2Fb c", "a=1&b=%20", "/a%2Fb%20c?a=1&b=%20"),
    ("function_url", "", "x", "/?x"),
    ("function_url", "/é?#", "", "/%C3%A9%3F%23"),
    ("http_api", "/v1/models", "a=b/c?d", "/v1/models?a=b/c?d"),
    ("rest_api", "/v1/models", "a=1&a=%26&b=", "/v1/models?a=1&a=%26&b="),
]


@pytest.mark.parametrize(("kind", "path", "query", "target"), TARGETS)
def test_the_target_is_the_clients(kind: str, path: str, query: str, target: str) -> None:
    assert read(made(kind, path, query)).target == target


def test_a_balancer_hands_the_query_on_as_it_came_and_a_rest_api_decoded() -> None:
    parameters = {"multiValueQueryStringParameters": {"a": ["1%26", "2"], "b c": [""]}}
    assert read(made("load_balancer", **parameters)).target == "/?a=1%26&a=2&b%20c="
    assert read(made("rest_api", **parameters)).target == "/?a=1%2526&a=2&b%20c="
    single = {"queryStringParameters": {"a": "1", "b": None}}
    assert read(made("rest_api", many=False, **single)).target == "/?a=1&b="


STAGES = [
    ("abc.execute-api.eu-central-1.amazonaws.com", "prod", "/prod/v1/models", "/v1/models"),
    ("abc.execute-api.eu-central-1.amazonaws.com", "prod", "/prod", "/"),
    ("abc.execute-api.eu-central-1.amazonaws.com", "prod", "/production", "/production"),
    ("abc.execute-api.eu-central-1.amazonaws.com", "$default", "/v1/models", "/v1/models"),
    # A stage of this name and a domain of one's own: the path begins with the API's version.
    ("api.example", "v1", "/v1/models", "/v1/models"),
    ("abc.lambda-url.eu-central-1.on.aws", "v1", "/v1/models", "/v1/models"),
]


@pytest.mark.parametrize(("domain", "stage", "path", "target"), STAGES)
def test_the_stage_is_no_part_of_the_path(domain: str, stage: str, path: str, target: str) -> None:
    event = made("http_api", path)
    event["requestContext"] |= {"domainName": domain, "stage": stage}
    assert read(event).target == target


def test_headers_are_for_one_hop_and_the_fronts_word_for_the_address_outranks_the_clients() -> None:
    headers = {
        "Host": "h",
        "X-Forwarded-For": "6.6.6.6",
        "Connection": "close, x",
        "Content-Length": "5",
        "Transfer-Encoding": "chunked",
        "Upgrade": "websocket",
        "Expect": "100-continue",
        "cookie": "old=1",
    }
    request = read(made("function_url", headers=headers, cookies=["a=1", "b=2"]))
    assert request.headers == (("host", "h"), ("cookie", "a=1; b=2"), ("x-forwarded-for", ADDRESS))


def test_headers_with_several_values_stay_apart() -> None:
    event = made("rest_api", multiValueHeaders={"Host": ["h"], "X-A": ["1", "2"]}, headers={"X-A": "2"})
    assert [pair for pair in read(event).headers if pair[0] == "x-a"] == [("x-a", "1"), ("x-a", "2")]


def test_a_missing_host_is_the_fronts_own_name() -> None:
    assert read(made("function_url", headers={})).header("host") == DOMAINS["function_url"]
    assert read(made("load_balancer", multiValueHeaders={})).header("host") is None


BODIES = [
    ({"body": "é"}, "é".encode()),
    ({"body": "/wA=", "isBase64Encoded": True}, b"\xff\x00"),
    ({"body": None}, b""),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("fields", "body"), BODIES)
def test_bodies(kind: str, fields: Event, body: bytes) -> None:
    assert read(made(kind, **fields)).body == body


IDENTITIES: list[tuple[str, Event, bool]] = [
    ("function_url", {}, False),
    ("function_url", {"authorizer": {}}, False),
    ("function_url", {"authorizer": {"iam": {"accountId": "1"}}}, True),
    ("rest_api", {"authorizer": {"principalId": "a"}}, True),
    ("rest_api", {"identity": {"userArn": "arn:aws:iam::123456789012:user/a"}}, True),
    ("load_balancer", {"authorizer": {"iam": {}}, "identity": {"userArn": "arn"}}, False),
]


@pytest.mark.parametrize(("kind", "context", "identified"), IDENTITIES)
def test_whom_aws_has_authenticated(kind: str, context: Event, identified: bool) -> None:
    event = made(kind)
    event["requestContext"] |= context
    assert read(event).identified is identified


NOT_HTTP = [
    b"",
    b"null",
    b"[]",
    b"\xff",
    b"{}",
    b'{"requestContext": {}}',
    b'{"requestContext": {"eventType": "CONNECT", "connectionId": "x"}}',
    b'{"requestContext": {"http": {}}}',
    b'{"requestContext": {"http": {"method": "GET / HTTP/1.1\\r\\nX:"}}}',
    b'{"requestContext": {"http": {"method": "GET"}}, "headers": {"a": "b\\r\\nc: d"}}',
    b'{"requestContext": {"http": {"method": "GET"}}, "headers": {"a b": "c"}}',
    b'{"requestContext": {"http": {"method": "GET"}}, "headers": {"": "c"}}',
    b'{"requestContext": {"http": {"method": "GET"}}, "cookies": ["a\\nb"]}',
    b'{"requestContext": {"http": {"method": "GET"}}, "body": "#", "isBase64Encoded": true}',
    b'{"requestContext": {"http": {"method": "GET"}, "authorizer": {"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}}",
]


@pytest.mark.parametrize("data", NOT_HTTP)
def test_what_is_no_request_is_refused_without_a_word_of_it(data: bytes) -> None:
    with pytest.raises(NotHttp) as refused:
        parse(data)
    assert str(refused.value).isascii()
    assert len(str(refused.value)) < 60


@given(st.binary() | st.recursive(st.none() | st.text(), lambda x: st.dictionaries(st.text(), x)).map(json.dumps))
def test_nothing_else_is_raised(data: bytes | str) -> None:
    with pytest.raises(NotHttp):
        parse(data if isinstance(data, bytes) else data.encode())


@given(
    kind=st.sampled_from(KINDS), path=st.text(), query=st.text(), name=st.text(), value=st.text(), many=st.booleans()
)
def test_no_text_of_the_clients_is_more_than_its_place(
    kind: str, path: str, query: str, name: str, value: str, many: bool
) -> None:
    """Whatever the front lets through, the request has one line and each header has one."""
    event = made(kind, path, many=many, headers={name: value}, multiValueHeaders={name: [value]})
    event |= {"rawQueryString": query, "queryStringParameters": {query: value}}
    try:
        request = read(event)
    except NotHttp:
        return
    for text in (request.target, *(part for pair in request.headers for part in pair)):
        assert not any(character in text for character in "\r\n\0")
    assert request.target.isascii()
    assert " " not in request.target
    assert request.target.startswith("/")


@given(st.lists(st.tuples(st.text(min_size=1), st.text())))
def test_a_rest_apis_query_means_the_same_again(pairs: list[tuple[str, str]]) -> None:
    parameters: dict[str, list[str]] = {}
    for name, value in pairs:
        parameters.setdefault(name, []).append(value)
    target = read(made("rest_api", multiValueQueryStringParameters=parameters)).target
    expected = [(name, value) for name, values in parameters.items() for value in values]
    assert parse_qsl(urlsplit(target).query, keep_blank_values=True) == expected


@given(st.text(st.characters(exclude_characters="%", codec="utf-8")))
def test_a_path_means_the_same_again(path: str) -> None:
    assert unquote(read(made("function_url", "/" + path)).target) == "/" + path


# --- answers ----------------------------------------------------------------------------------------------

HEAD = Head(
    201,
    (
        ("Content-Type", "text/plain"),
        ("Set-Cookie", "a=1, 2"),
        ("set-cookie", "b=2"),
        ("X-A", "1"),
        ("x-a", "2"),
        ("Date", "today"),
        ("Transfer-Encoding", "chunked"),
        ("Content-Length", "5"),
        ("Connection", "close"),
    ),
)
JOINED = {"content-type": "text/plain", "x-a": "1, 2"}
LISTS = {"content-type": ["text/plain"], "set-cookie": ["a=1, 2", "b=2"], "x-a": ["1", "2"]}


def test_a_prelude_is_json_and_eight_nuls() -> None:
    said = prelude(HEAD)
    assert said.endswith(PRELUDE_END)
    assert said.count(b"\0") == 8
    assert json.loads(said[:-8]) == {"statusCode": 201, "headers": JOINED, "cookies": ["a=1, 2", "b=2"]}


WHOLES: list[tuple[str, bool, Event]] = [
    ("function_url", True, {"headers": JOINED, "cookies": ["a=1, 2", "b=2"]}),
    ("http_api", True, {"headers": JOINED, "cookies": ["a=1, 2", "b=2"]}),
    ("rest_api", False, {"multiValueHeaders": LISTS}),
    ("load_balancer", True, {"multiValueHeaders": LISTS}),
    ("load_balancer", False, {"headers": {**JOINED, "set-cookie": "b=2"}}),
]


@pytest.mark.parametrize(("kind", "many", "headers"), WHOLES)
def test_a_whole_answer_is_for_its_front(kind: str, many: bool, headers: Event) -> None:
    answer = json.loads(whole(HEAD, "é".encode(), read(made(kind, many=many))))
    assert answer == {"statusCode": 201, "body": "é", "isBase64Encoded": False, **headers}


@given(
    body=st.binary(),
    content_type=st.sampled_from(["text/plain", "application/json; charset=utf-8", "image/png", "", "a/b+json"]),
    encoding=st.sampled_from([None, "gzip"]),
)
def test_a_body_is_the_same_again(body: bytes, content_type: str, encoding: str | None) -> None:
    headers = (("Content-Type", content_type), *((("Content-Encoding", encoding),) if encoding else ()))
    answer = json.loads(whole(Head(200, headers), body, read(made("http_api"))))
    assert (base64.b64decode(answer["body"]) if answer["isBase64Encoded"] else answer["body"].encode()) == body
    if encoding or content_type == "image/png":
        assert answer["isBase64Encoded"] or not body


def test_failures() -> None:
    assert json.loads(failure("Kind", "Why.")) == {"errorMessage": "Why.", "errorType": "Kind", "stackTrace": []}
