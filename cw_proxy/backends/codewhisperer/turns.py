"""A chat's messages → the turns the service wants (rules 1 to 4, 11, 17 to 20).

In: a Request, and what else the system text must say. Out: alternating turns, the first and the last the user's.
Refuses to know JSON. Nothing the client said is dropped on the way: what has no place of its own becomes text.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from itertools import groupby

import msgspec

from cw_proxy.backends.codewhisperer.names import call_id, document_name, hashed
from cw_proxy.errors import InvalidRequest
from cw_proxy.model import DocumentPart, ImagePart, Message, Part, Request, TextPart, ToolResultPart, ToolUsePart

# Rule 20: the same from turn to turn, so that a cache of prefixes can work.
ACKNOWLEDGEMENT = "Understood. I will follow these instructions."
# Rule 3: where a turn has no text and the service wants some.
NO_TEXT = "(no text)"
# Rule 3: the assistant said nothing but called tools; short, so that it does not learn to say it.
CALLING = "."
# The chat ends with the assistant's words: the service must be asked something.
CONTINUE = "Continue."
# Rule 11: what the assistant says between two turns that are one message with too many images for one turn.
GO_ON = "Go on."
# Rule 11: each of these turns says what it is a part of.
IMAGES = "[Images {} to {} of {} in one message.]"
# Rule 4: a call without a result.
CANCELLED = "The call was cancelled: it has no result."
# Rule 18: a result without text.
NO_OUTPUT = "(no output)"
MOST_IMAGES = 10
_BETWEEN = "\n\n"


class Turn(msgspec.Struct, frozen=True):
    """Tool uses have ids that the service takes, each once in its turn; results stand in the turn after it."""

    role: str  # user or assistant
    text: str
    images: tuple[ImagePart, ...] = ()
    documents: tuple[DocumentPart, ...] = ()
    uses: tuple[ToolUsePart, ...] = ()
    results: tuple[ToolResultPart, ...] = ()


def turns(request: Request, instructions: Sequence[str] = ()) -> list[Turn]:
    """Raises InvalidRequest when there is nothing to answer."""
    texts = [message.text for message in request.messages if message.role == "system"]
    system = _BETWEEN.join([*texts, *instructions])
    chat = _merged([message for message in request.messages if message.role != "system"])
    if not chat:
        if not any(text.strip() for text in texts):
            raise InvalidRequest("There is nothing to answer: no message has any text.", param="messages")
        return [Turn("user", system)]
    if chat[0][0] == "assistant":
        chat.insert(0, ("user", []))
    if chat[-1][0] == "assistant":
        chat.append(("user", [TextPart(CONTINUE)]))
    preamble = [Turn("user", system), Turn("assistant", ACKNOWLEDGEMENT)] if system.strip() else []
    return [*preamble, *_settled(chat)]


def _merged(messages: list[Message]) -> list[tuple[str, list[Part]]]:
    """Rule 2: adjacent turns of one role are one, with the parts of all."""
    runs = groupby(messages, key=lambda message: message.role)
    return [(role, [part for message in run for part in message.parts]) for role, run in runs]


def _settled(chat: list[tuple[str, list[Part]]]) -> list[Turn]:
    """The last of the chat is the user's."""
    settled: list[Turn] = []
    calls = _Calls((), ())
    for at, (role, parts) in enumerate(chat):
        if role == "assistant":
            answers = [part for part in chat[at + 1][1] if isinstance(part, ToolResultPart)]
            calls = _Calls([part for part in parts if isinstance(part, ToolUsePart)], answers)
            uses = calls.uses
            settled.append(Turn("assistant", _text(parts) or (CALLING if uses else NO_TEXT), uses=uses))
        else:
            settled += _users_turns(parts, calls)
    return settled


def _users_turns(parts: list[Part], calls: _Calls) -> list[Turn]:
    """One, but where it has more images than the service takes in a turn."""
    # A result that answers no call of the turn before becomes text where it stands (rule 4).
    told = [calls.tell(part) if isinstance(part, ToolResultPart) else part for part in parts]
    first, *others = _pieces([part for part in told if part is not None])
    made = [_users_turn(first, calls.results())]
    for piece in others:
        made += [Turn("assistant", GO_ON), _users_turn(piece, ())]
    return made


def _pieces(parts: Sequence[Part]) -> list[list[Part]]:
    """The parts in their order, cut before each image that would be one too many."""
    total = sum(isinstance(part, ImagePart) for part in parts)
    if total <= MOST_IMAGES:
        return [[*parts]]
    pieces: list[list[Part]] = [[TextPart(_place(0, total))]]
    images = 0
    for part in parts:
        if isinstance(part, ImagePart):
            if images and images % MOST_IMAGES == 0:
                pieces.append([TextPart(_place(images, total))])
            images += 1
        pieces[-1].append(part)
    return pieces


def _place(before: int, total: int) -> str:
    return IMAGES.format(before + 1, min(before + MOST_IMAGES, total), total)


def _users_turn(parts: list[Part], results: tuple[ToolResultPart, ...]) -> Turn:
    text = _text(parts) or ("" if results else NO_TEXT)
    images = tuple(part for part in parts if isinstance(part, ImagePart))
    return Turn("user", text, images, _distinct_documents(parts), (), results)


def _text(parts: Sequence[Part]) -> str:
    """Rule 17: joined, never glued. Nothing where it would be blank."""
    text = _BETWEEN.join(part.text for part in parts if isinstance(part, TextPart) and part.text)
    return text if text.strip() else ""


def _distinct_documents(parts: Sequence[Part]) -> tuple[DocumentPart, ...]:
    """The service wants different names in a turn."""
    documents: dict[str, DocumentPart] = {}
    numbers: dict[str, int] = {}
    for part in parts:
        if isinstance(part, DocumentPart):
            stem = name = document_name(part.name)
            while name in documents:
                numbers[stem] = numbers.get(stem, 1) + 1
                name = f"{stem} ({numbers[stem]})"
            documents[name] = DocumentPart(name, part.format, part.data)
    return tuple(documents.values())


def _without_repeats(uses: Sequence[ToolUsePart], answers: Sequence[ToolResultPart]) -> list[ToolUsePart]:
    """The same call twice under one id is one call, unless there are results for both."""
    calls = [(use.id, use.name, msgspec.json.encode(use.input)) for use in uses]
    spare = Counter(answer.tool_use_id for answer in answers)
    spare.subtract(identity for identity, _, _ in set(calls))
    seen: set[tuple[str, str, bytes]] = set()
    kept: list[ToolUsePart] = []
    for use, call in zip(uses, calls, strict=True):
        if call in seen:
            if spare[use.id] <= 0:
                continue
            spare[use.id] -= 1
        seen.add(call)
        kept.append(use)
    return kept


class _Calls:
    """The calls of one turn and their results: each call has exactly one (rule 4)."""

    def __init__(self, uses: Sequence[ToolUsePart], answers: Sequence[ToolResultPart]) -> None:
        self._results: dict[str, ToolResultPart] = {}
        self._open: defaultdict[str, deque[str]] = defaultdict(deque)
        self._told: set[ToolResultPart] = set()
        self.uses = tuple(map(self._identified, _without_repeats(uses, answers)))

    def _identified(self, use: ToolUsePart) -> ToolUsePart:
        """Different calls may come under one id, and under ids that the service does not take."""
        others = len(self._open[use.id])
        name = hashed(f"{use.id}#{others}") if others else call_id(use.id)
        self._open[use.id].append(name)
        return ToolUsePart(name, use.name, use.input)

    def tell(self, result: ToolResultPart) -> TextPart | None:
        """Takes the result; what it cannot take comes back as text, but for a mere repeat."""
        if self._open[result.tool_use_id]:
            name = self._open[result.tool_use_id].popleft()
            text = result.text if result.text.strip() else NO_OUTPUT
            self._results[name] = ToolResultPart(name, text, result.is_error)
        elif result not in self._told:
            self._told.add(result)
            said = "Failed result" if result.is_error else "Result"
            return TextPart(f"[{said} of the tool call {result.tool_use_id}]\n{result.text}")
        self._told.add(result)
        return None

    def results(self) -> tuple[ToolResultPart, ...]:
        """In the client's order; then those that are missing."""
        missing = (name for names in self._open.values() for name in names)
        return (*self._results.values(), *(ToolResultPart(name, CANCELLED, is_error=True) for name in missing))
