"""Lambda's HTTP events: an event as a request, and an answer as what Lambda's front takes for one.

In: an event's JSON; an answer's status, headers and body. Out: a Request; the prelude of a streamed answer, or a whole
answer as JSON. Refuses to know sockets, the Runtime API and what the bodies mean. Raises NotHttp.

Four fronts send events: a Function URL and an HTTP API share payload version 2.0, a REST API and a load balancer have
an older one. Only the first three say under which domain they were asked, and by whom (transports.md §3).
"""

from __future__ import annotations

import base64
import re
from binascii import Error as NotBase64
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal
from urllib.parse import quote, urlencode

import msgspec

FRONT = Literal["function_url", "http_api", "rest_api", "load_balancer"]
# The Content-Type that makes a front read the prelude.
INTEGRATION = "application/vnd.awslambda.http-integration-response"
PRELUDE_END = b"\0" * 8
MAX_PRELUDE = 16 * 1024
# A whole answer, encoded; a streamed one may have 200 MB.
MAX_WHOLE = 6 * 1024 * 1024

# About one connection (RFC 9110 §7.6.1), or about the framing that each hop does anew. A front sets the date itself.
_HOP = frozenset(
    {
        "connection", "content-length", "date", "expect", "keep-alive", "proxy-authenticate", "proxy-authorization",
        "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_METHOD = re.compile(r"[A-Z]{1,20}")
# A value that holds a line's end would be another header; NUL is for nobody.
_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
# What may stand in a request line as it is; `%` since paths come encoded.
_SAFE = "/%:@!$&'()*+,;=~-._"
_TEXTUAL = re.compile(r"text/.*|application/(.*\+)?json|application/(.*\+)?xml|application/javascript")

Pairs = tuple[tuple[str, str], ...]


class NotHttp(ValueError):
    """The event is no HTTP request; the message quotes nothing of it."""


class Request(msgspec.Struct, frozen=True):
    """`headers` are for one hop: without framing, names in lower case. `domain` is the name that AWS itself knows the
    request came in by, and `identified` says that AWS has authenticated its sender. `many` is whether the answer's
    headers are lists."""

    front: FRONT
    method: str
    target: str
    headers: Pairs
    body: bytes
    domain: str | None = None
    identified: bool = False
    many: bool = False

    def header(self, name: str) -> str | None:
        return next((value for known, value in self.headers if known == name), None)


class Head(msgspec.Struct, frozen=True):
    """An answer's status and headers, as they stand on the wire."""

    status: int
    headers: Pairs


# --- the shapes of events -----------------------------------------------------------------------------------


class _Http(msgspec.Struct):
    method: str = ""
    source_ip: str | None = msgspec.field(default=None, name="sourceIp")


class _Identity(msgspec.Struct, rename="camel"):
    source_ip: str | None = None
    user_arn: str | None = None


class _Context(msgspec.Struct, rename="camel"):
    domain_name: str | None = None
    stage: str | None = None
    http: _Http | None = None
    identity: _Identity | None = None
    authorizer: dict[str, Any] | None = None
    elb: dict[str, Any] | None = None


class _Event(msgspec.Struct, rename="camel"):
    request_context: _Context
    raw_path: str | None = None
    raw_query_string: str | None = None
    cookies: list[str] | None = None
    http_method: str | None = None
    path: str | None = None
    headers: dict[str, str | None] | None = None
    multi_value_headers: dict[str, list[str]] | None = None
    query_string_parameters: dict[str, str | None] | None = None
    multi_value_query_string_parameters: dict[str, list[str]] | None = None
    body: str | None = None
    is_base64_encoded: bool = False


_DECODER = msgspec.json.Decoder(_Event)


def parse(data: bytes) -> Request:
    """Raises NotHttp."""
    try:
        event = _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        event = None
    if event is None:
        raise NotHttp("The event is not one of an HTTP front.")
    if event.request_context.http is not None:
        return _version_2(event, event.request_context.http)
    if event.http_method is not None:
        return _version_1(event, event.http_method)
    raise NotHttp("The event is not one of an HTTP front.")


def _version_2(event: _Event, http: _Http) -> Request:
    context = event.request_context
    domain = context.domain_name
    front: FRONT = "function_url" if ".lambda-url." in (domain or "") else "http_api"
    headers = _single(event.headers)
    if event.cookies:
        headers = [(name, value) for name, value in headers if name != "cookie"]
        headers.append(("cookie", "; ".join(event.cookies)))
    path = _without_stage(event.raw_path or "/", context) if front == "http_api" else event.raw_path or "/"
    return Request(
        front=front,
        method=_method(http.method),
        target=_target(path, quote(event.raw_query_string or "", safe=_SAFE + "/?")),
        headers=_one_hop(headers, http.source_ip, domain),
        body=_body(event),
        domain=domain,
        identified=bool(context.authorizer),
    )


def _version_1(event: _Event, method: str) -> Request:
    context = event.request_context
    balancer = context.elb is not None
    identity = context.identity or _Identity()
    headers = [
        (name.lower(), value) for name, values in (event.multi_value_headers or {}).items() for value in values
    ] or _single(event.headers)
    return Request(
        front="load_balancer" if balancer else "rest_api",
        method=_method(method),
        target=_target(event.path or "/", _query(event, encoded=balancer)),
        # A balancer appends whom it sees to X-Forwarded-For, which is all that it says of its client.
        headers=_one_hop(headers, None if balancer else identity.source_ip, None if balancer else context.domain_name),
        body=_body(event),
        domain=None if balancer else context.domain_name,
        identified=not balancer and bool(context.authorizer or identity.user_arn),
        many=not balancer or event.multi_value_headers is not None,
    )


def _without_stage(path: str, context: _Context) -> str:
    """An HTTP API's own domain has the stage's name before the path; a domain of one's own has not."""
    prefix = f"/{context.stage}"
    own = ".execute-api." in (context.domain_name or "")
    if own and context.stage not in (None, "", "$default") and (path + "/").startswith(prefix + "/"):
        return path.removeprefix(prefix) or "/"
    return path


def _method(method: str) -> str:
    if not _METHOD.fullmatch(method):
        raise NotHttp("The event has no HTTP method.")
    return method


def _target(path: str, query: str) -> str:
    quoted = quote(path if path.startswith("/") else f"/{path}", safe=_SAFE)
    return f"{quoted}?{query}" if query else quoted


def _query(event: _Event, *, encoded: bool) -> str:
    """A REST API decodes names and values; a load balancer hands them on as they came."""
    many = event.multi_value_query_string_parameters
    single = event.query_string_parameters or {}
    pairs = [(name, value) for name, values in many.items() for value in values] if many else list(single.items())
    known = [(name, value or "") for name, value in pairs]
    if not encoded:
        return urlencode(known, quote_via=quote)
    return quote("&".join(f"{name}={value}" for name, value in known), safe=_SAFE + "/?")


def _single(headers: Mapping[str, str | None] | None) -> list[tuple[str, str]]:
    return [(name.lower(), value) for name, value in (headers or {}).items() if value is not None]


def _one_hop(headers: Iterable[tuple[str, str]], address: str | None, domain: str | None) -> Pairs:
    """Whom a front has seen itself outranks what its client wrote into X-Forwarded-For."""
    kept = [(name, value) for name, value in headers if name not in _HOP]
    if address:
        kept = [pair for pair in kept if pair[0] != "x-forwarded-for"] + [("x-forwarded-for", address)]
    if domain and all(name != "host" for name, _ in kept):
        kept.append(("host", domain))
    for name, value in kept:
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise NotHttp("A header of the event is malformed.")
    return tuple((name, value.strip(" \t")) for name, value in kept)


def _body(event: _Event) -> bytes:
    if event.body is None:
        return b""
    if not event.is_base64_encoded:
        return event.body.encode()
    try:
        return base64.b64decode(event.body, validate=True)
    except (NotBase64, ValueError):
        pass
    raise NotHttp("The event's body is not base64.")


# --- answers ------------------------------------------------------------------------------------------------


def prelude(head: Head) -> bytes:
    """What a streamed answer begins with; longer than MAX_PRELUDE it is refused by the front."""
    return msgspec.json.encode({"statusCode": head.status, **_joined(head)}) + PRELUDE_END


def whole(head: Head, body: bytes, request: Request) -> bytes:
    """An answer in one piece, for the front that the request came from."""
    text = _text(head, body)
    answer: dict[str, Any] = {
        "statusCode": head.status,
        "body": base64.b64encode(body).decode() if text is None else text,
        "isBase64Encoded": text is None,
    }
    if request.front in ("function_url", "http_api"):
        return msgspec.json.encode(answer | _joined(head))
    if request.many:
        return msgspec.json.encode(answer | {"multiValueHeaders": _lists(head)})
    # Without lists a balancer takes one cookie only: its attribute multi_value_headers lifts that.
    single = {name: values[-1] if name == "set-cookie" else ", ".join(values) for name, values in _lists(head).items()}
    return msgspec.json.encode(answer | {"headers": single})


def failure(kind: str, message: str) -> bytes:
    """The JSON of a failed invocation, of a failed start, and of a trailer."""
    return msgspec.json.encode({"errorMessage": message, "errorType": kind, "stackTrace": []})


def _joined(head: Head) -> dict[str, Any]:
    """Cookies stand apart: a comma inside of one cannot be told from a comma between two."""
    headers = {name: ", ".join(values) for name, values in _lists(head).items() if name != "set-cookie"}
    return {"headers": headers, "cookies": [value for name, value in _end_to_end(head) if name == "set-cookie"]}


def _lists(head: Head) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in _end_to_end(head):
        found.setdefault(name, []).append(value)
    return found


def _end_to_end(head: Head) -> Iterator[tuple[str, str]]:
    return ((name.lower(), value) for name, value in head.headers if name.lower() not in _HOP)


def _text(head: Head, body: bytes) -> str | None:
    """The body as text, where it is: a REST API decodes base64 for media types it was told of only."""
    headers = {name.lower(): value for name, value in head.headers}
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if "content-encoding" in headers or (body and not _TEXTUAL.fullmatch(media_type)):
        return None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None
