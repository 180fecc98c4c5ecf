"""Prompts over a WebSocket at `/ws`: a template's name and the chat go in, text comes out (transports.md §2).

In: JSON frames `{"prompt_template", "messages", "response_type"}`; events. Out: Asks; frames of plain text, and
`{"error": {…}}` for what went wrong. Refuses to know sockets, the environment and the model's side.

Clients learn nothing of what stands behind the server: the template's text is the system prompt, the model is the
server's choice, and an error tells of neither.

Plain text has no types. In a stream no delta looks like the end or like an error, because one that would is sent in two
frames. What `full` and `string` give in their one frame is the model's, whatever it looks like.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Literal, NoReturn, get_args

import msgspec

from cw_proxy import body
from cw_proxy.errors import DemandUnmet, InvalidValue, ProxyError
from cw_proxy.events import MAX_CHARACTERS, End, Event, Fail, FinishReason, Reply, Text
from cw_proxy.interfaces import (
    DEFAULTS,
    NOBODY,
    Ask,
    Binding,
    Caller,
    Encoder,
    ErrorReply,
    Later,
    Options,
    Stamp,
    WebSocket,
)
from cw_proxy.model import Message, Request, TextPart
from cw_proxy.public_errors import public
from cw_proxy.secret import Secret
from cw_proxy.wire import sse

PATH = "/ws"
END = "<END>"
MAX_MESSAGES = 10_000

Answer = Literal["int", "string", "full", "stream"]
# A number that is longer is none that a client could use. Possessive: nothing is tried twice.
_INTEGER = re.compile(r"\[\[([+-]?+[0-9]{1,100}+)\]\]")
_ERROR = '{"error"'


class _Message(msgspec.Struct):
    role: Literal["user", "assistant"]
    content: str


class _Body(msgspec.Struct):
    messages: list[_Message]
    response_type: Answer | None = None
    prompt_template: str | None = None


_body = msgspec.json.Decoder(_Body)
_text = msgspec.json.Decoder(str)
_json = msgspec.json.Encoder().encode


class PromptSocket:
    name = "prompt_socket"
    bindings: Sequence[Binding] = (WebSocket(PATH, lanes=1, ordered=True),)

    def __init__(self, options: Options = DEFAULTS) -> None:
        self._options = options

    def session(self, caller: Caller = NOBODY) -> PromptSession:
        return PromptSession(self._options)

    def socket(self, caller: Caller) -> PromptSession:
        return PromptSession(self._options)

    def error(self, error: ProxyError) -> ErrorReply:
        error = public(error)
        return ErrorReply(error.status, error.headers(), error.body())


class PromptSession:
    """Remembers nothing: every frame is a whole question."""

    def __init__(self, options: Options) -> None:
        self._options = options

    def receive(self, frame: bytes) -> Sequence[Later]:
        try:
            asked = self._ask(frame)
        except ProxyError as error:
            # It is told in its turn: answers come in the order of the questions.
            return [Later(None, partial(_refuse, error))]
        return [Later(None, lambda: [asked])]

    def frame(self, data: bytes) -> bytes:
        return _text.decode(data).encode()

    def failure(self, error: ProxyError, lane: str | None) -> bytes:
        return public(error).body()

    def _ask(self, frame: bytes) -> Ask:
        said = body.parse(frame, _body)
        if said.response_type is None:
            raise InvalidValue(f"This is one of {', '.join(get_args(Answer))}.", param="response_type")
        if not 1 <= len(said.messages) <= MAX_MESSAGES:
            raise InvalidValue(f"There are 1 to {MAX_MESSAGES} messages.", param="messages")
        chat = tuple(Message(message.role, (TextPart(message.content),)) for message in said.messages)
        system = _system(said.prompt_template, self._options.templates)
        return PromptAsk(Request(model=self._options.default_model, messages=(*system, *chat)), said.response_type)


def _refuse(error: ProxyError) -> NoReturn:
    raise error


def _system(name: str | None, templates: Mapping[str, Secret]) -> tuple[Message, ...]:
    """No name, no system prompt. One error for all others: it must not tell which variables there are."""
    if not name:
        return ()
    template = templates.get(name)
    if template is None:
        raise InvalidValue("There is no such prompt template.", param="prompt_template")
    return (Message("system", (TextPart(template.reveal()),)),)


class PromptAsk(msgspec.Struct, frozen=True):
    request: Request
    answer: Answer

    @property
    def stream(self) -> bool:
        return self.answer == "stream"

    def encoder(self, stamp: Stamp) -> Encoder:
        return DeltaEncoder() if self.stream else WholeEncoder(self.answer)

    def render(self, replies: Sequence[Reply], stamp: Stamp) -> bytes:
        [reply] = replies
        return whole(self.answer, reply.text, reply.finish_reason).encode()


# --- the answer -------------------------------------------------------------------------------------------


class DeltaEncoder:
    """Texts as they come, then `<END>`; an error stands in its place."""

    ended = False
    ping = b""

    def feed(self, events: Sequence[Event]) -> bytes:
        return b"".join(sse.data(_json(frame)) for event in events for frame in self._frames(event))

    def _frames(self, event: Event) -> Iterator[str]:
        if isinstance(event, Text):
            yield from unmistakable(event.text)
        elif isinstance(event, End):
            self.ended = True
            cut = _cut_off(event.finish_reason)
            yield _told(cut) if cut else END
        elif isinstance(event, Fail):
            self.ended = True
            yield _told(public(event.error))


class WholeEncoder:
    """One frame at the end."""

    ended = False
    ping = b""

    def __init__(self, answer: Answer) -> None:
        self._answer: Answer = answer
        self._texts: list[str] = []
        self._characters = 0

    def feed(self, events: Sequence[Event]) -> bytes:
        return b"".join(sse.data(_json(frame)) for event in events for frame in self._frames(event))

    def _frames(self, event: Event) -> Iterator[str]:
        if isinstance(event, Text):
            self._keep(event.text)
        elif isinstance(event, End):
            self.ended = True
            yield self._whole(event.finish_reason)
        elif isinstance(event, Fail):
            self.ended = True
            yield _told(public(event.error))

    def _keep(self, text: str) -> None:
        self._characters += len(text)
        if self._characters > MAX_CHARACTERS:
            raise DemandUnmet(f"The answer has more than {MAX_CHARACTERS} characters.", code="answer_incomplete")
        self._texts.append(text)

    def _whole(self, reason: FinishReason) -> str:
        try:
            return whole(self._answer, "".join(self._texts), reason)
        except ProxyError as error:
            return _told(error)


def whole(answer: Answer, text: str, reason: FinishReason) -> str:
    """What is asked for out of a whole text. Raises DemandUnmet.

    A value in brackets is complete however the text went on; a text that stops at a limit is not `full`.
    """
    cut = _cut_off(reason)
    if answer not in ("int", "string"):
        if cut is not None:
            raise cut
        return text
    found = first_integer(text) if answer == "int" else first_bracketed(text)
    if found is None:
        what = "integer" if answer == "int" else "text"
        raise cut or DemandUnmet(f"The model's answer has no {what} in double brackets.", code="no_bracketed_value")
    return found


def _cut_off(reason: FinishReason) -> ProxyError | None:
    """A model that calls a tool, though none is offered, has said what it had to say."""
    ends = {"length": "stops at the model's limit of length", "content_filter": "was ended by a content filter"}
    return DemandUnmet(f"The answer {ends[reason]}.", code="answer_incomplete") if reason in ends else None


def _told(error: ProxyError) -> str:
    return error.body().decode()


def unmistakable(delta: str) -> Iterator[str]:
    """The text in frames none of which is the end's or could be an error's; an empty text is no frame."""
    if delta == END or delta.startswith(_ERROR):
        yield delta[:1]
        delta = delta[1:]
    if delta:
        yield delta


def first_bracketed(text: str) -> str | None:
    """What stands before the first `]]` that has a `[[` before it, and after the nearest one of these."""
    opened = text.find("[[")
    closed = text.find("]]", opened + 2) if opened >= 0 else -1
    return text[text.rfind("[[", opened, closed) + 2 : closed] if closed >= 0 else None


def first_integer(text: str) -> str | None:
    """The first whole number in double brackets, as it is written: ASCII digits, perhaps with a sign."""
    # Where nothing is closed, there is nothing to look through.
    found = _INTEGER.search(text, 0, text.rfind("]]") + 2) if "]]" in text else None
    return found[1] if found else None
