"""The shapes others plug into: a client protocol on the left, a backend on the right, a sender and tokens beside it.

In and out: values of model.py, events.py and wire/. Refuses to know any implementation. Everything here is pure but
the awaited seams, `Sender`, `ImageSource` and `TokenSource`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import msgspec

from cw_proxy.errors import ProxyError
from cw_proxy.events import Event, Reply
from cw_proxy.model import Request
from cw_proxy.secret import Secret
from cw_proxy.wire.call import HttpCall, HttpReply

# --- left: the client's language --------------------------------------------------------------------------


class Http(msgspec.Struct, frozen=True):
    """Served on this method and path; a path that ends in `/*` takes everything below it. A streamed answer is
    server-sent events."""

    method: str
    path: str


class WebSocket(msgspec.Struct, frozen=True):
    """Served on a WebSocket at this path: every message is a frame for the session. So many named lanes there may be,
    and so many turns under way or waiting, all lanes together. `ordered`: what is
    wrong with a frame is told in its turn, since nothing else says which frame it is about."""

    path: str
    lanes: int = 32
    turns: int = 16
    ordered: bool = False


class Subject(msgspec.Struct, frozen=True):
    """Served on message subjects, one request a frame: to JSON objects that have this member; None is all else."""

    member: str | None = None


Binding = Http | WebSocket | Subject


class Stamp(msgspec.Struct, frozen=True):
    """What an answer needs and pure code may not make: epoch seconds, and fresh hex ids."""

    now: int
    new_id: Callable[[], str]


class Caller(msgspec.Struct, frozen=True):
    """Who speaks, and where: the digest of the key, the headers (lower-case names), and over HTTP the request line."""

    owner: bytes = b""
    headers: Mapping[str, str] = {}
    method: str = "POST"
    path: str = ""
    query: str = ""
    stamp: Callable[[], Stamp] = lambda: Stamp(0, str)


NOBODY = Caller()


class Options(msgspec.Struct, frozen=True):
    """What a server decides for the protocols it serves. `templates` are system prompts by the names that clients may
    use; `default_model` is asked where a client names no model."""

    prompt_socket: bool = False
    simple_api: bool = False
    templates: Mapping[str, Secret] = {}
    default_model: str = "auto"


DEFAULTS = Options()


class Encoder(Protocol):
    """Writes server-sent events; a transport of messages sends the data of each as one (wire/sse.py, `payloads`), a
    WebSocket as the session's `frame` has it."""

    @property
    def ended(self) -> bool:
        """Whether the last bytes were given out."""

    @property
    def ping(self) -> bytes:
        """What keeps a silent stream open."""

    def feed(self, events: Sequence[Event]) -> bytes:
        """The client's bytes for these events; the ending event yields the last ones. Never holds text back."""


class Ask(Protocol):
    """One question, and how its asker wants the answer."""

    @property
    def request(self) -> Request: ...

    @property
    def stream(self) -> bool: ...

    def encoder(self, stamp: Stamp) -> Encoder: ...

    def render(self, replies: Sequence[Reply], stamp: Stamp) -> bytes:
        """The whole answer as one body: `request.choices` replies."""


class Send(msgspec.Struct, frozen=True):
    """Frames to send at once, without asking a model."""

    frame: bytes


class Close(msgspec.Struct, frozen=True):
    code: int
    reason: str


class Later(msgspec.Struct, frozen=True):
    """What follows once everything before it in its lane is done; lanes go on beside each other. `then` raises
    ProxyError."""

    lane: str | None
    then: Callable[[], Sequence[Ask | Send]]


Action = Ask | Send | Close | Later


class Session(Protocol):
    def receive(self, frame: bytes) -> Sequence[Action]:
        """What follows from one frame of the client's: over HTTP exactly one Ask or Send. Raises ProxyError."""


class SocketSession(Session, Protocol):
    """One connection's. It answers with Later, Send and Close."""

    def frame(self, data: bytes) -> bytes:
        """The message that carries what is the data of an event of the encoder's."""

    def failure(self, error: ProxyError, lane: str | None) -> bytes:
        """The frame that tells of an error; the socket stays open."""


class ErrorReply(msgspec.Struct, frozen=True):
    status: int
    headers: dict[str, str]
    body: bytes


class ClientProtocol(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def bindings(self) -> Sequence[Binding]: ...

    def session(self, caller: Caller = NOBODY) -> Session:
        """For one HTTP request, or one message."""

    def error(self, error: ProxyError) -> ErrorReply:
        """The error in this protocol's own shape, for when no byte of an answer has gone out."""


class SocketProtocol(ClientProtocol, Protocol):
    """One that has a WebSocket among its bindings."""

    def socket(self, caller: Caller) -> SocketSession:
        """For one connection."""


# --- right: the upstream's language -----------------------------------------------------------------------


class Credential(msgspec.Struct, frozen=True):
    """What a call upstream is made with. `region` picks the service's host; `profile_arn` only IdC users have."""

    access_token: Secret
    region: str = "us-east-1"
    profile_arn: str | None = None


class ModelInfo(msgspec.Struct, frozen=True):
    """A model the service lists. Token limits where it says them; `fields` is the JSON Schema of what requests to this
    model may carry beyond the service's own members."""

    id: str
    name: str = ""
    description: str = ""
    max_input_tokens: int | None = None
    max_output_tokens: int | None = None
    fields: dict[str, Any] = {}


class Catalog(msgspec.Struct, frozen=True):
    models: tuple[ModelInfo, ...]
    default: str | None = None


class Decoder(Protocol):
    @property
    def tail(self) -> bool:
        """Whether something was seen that comes near the end of a whole answer only."""

    def feed(self, data: bytes) -> list[Event]:
        """The events of these bytes. Never raises: what is wrong comes as Fail."""

    def finish(self) -> list[Event]:
        """The upstream closed: End, or the Fail that a truncated answer is."""


class Question(Protocol):
    """A request in the upstream's language, for as many calls as it takes."""

    def call(self, conversation_id: str, credential: Credential) -> HttpCall: ...

    def decoder(self, headers: Mapping[str, str]) -> Decoder:
        """Decodes the body of a 200 that answers a call; its headers have lower-case names."""


class Backend(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def open_names(self) -> bool:
        """Whether the upstream takes any model's name, its list being no more than information."""

    @property
    def default_model(self) -> str | None:
        """Of one with open names: the model that is asked for where the client leaves the choice, if one is set."""

    def carries(self, request: Request, model: ModelInfo | None) -> frozenset[str]:
        """Which of the request's wishes the upstream carries out by itself: names of Request's members and of
        options. The exchange sees to the others, as far as that can be done from outside."""

    def question(self, request: Request, model: ModelInfo | None) -> Question:
        """Takes its time with a large request. No model means the upstream's default. Raises ProxyError."""

    def failure(self, status: int, headers: Mapping[str, str], body: bytes) -> ProxyError:
        """What an answer other than 200 means."""

    def list_models(self, credential: Credential, page: str | None) -> HttpCall: ...

    def parse_models(self, body: bytes) -> tuple[Catalog, str | None]:
        """One page of models and the token of the next. Raises UpstreamProtocol."""

    def list_profiles(self, credential: Credential) -> Sequence[HttpCall]:
        """The calls that may name the account's profiles, best first; none for a backend without profiles."""

    def parse_profiles(self, body: bytes) -> list[str]: ...


# --- the awaited seams ------------------------------------------------------------------------------------


class Sender(Protocol):
    def __call__(self, call: HttpCall) -> AbstractAsyncContextManager[HttpReply]:
        """Sends; leaving the context drops what is unread. Raises UpstreamError, UpstreamTimeout; so does `chunks`."""


class ImageSource(Protocol):
    async def __call__(self, url: str, param: str) -> bytes:
        """The bytes at a URL that a client named. Raises InvalidValue with `param`."""


class TokenSource(Protocol):
    @property
    def remedy(self) -> str:
        """What the user can do when the service refuses the token: one sentence."""

    async def credential(self, *, rejected: Secret | None = None) -> Credential:
        """A credential that is valid as far as can be told.

        `rejected` is an access token the service just refused: a different one is returned if there is or can be
        one (refreshed once, however many ask), else the same again. Raises LoginRequired.
        """

    async def remember_profile(self, arn: str) -> None:
        """Later credentials carry this profile."""

    async def warm(self) -> None:
        """Reads what is kept, so that the first to ask waits less. Renews nothing, and raises nothing."""

    async def settled(self) -> None:
        """Returns once nothing is under way that may not be stopped halfway, such as the renewal of a token."""
