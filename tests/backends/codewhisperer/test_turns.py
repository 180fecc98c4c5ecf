"""Messages become turns: alternating, every call answered once, nothing lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from strategies import chats, request, say, texts

from cw_proxy.backends.codewhisperer.turns import (
    ACKNOWLEDGEMENT,
    CALLING,
    CANCELLED,
    CONTINUE,
    GO_ON,
    NO_OUTPUT,
    NO_TEXT,
    Turn,
    _distinct_documents,
    turns,
)
from cw_proxy.errors import InvalidRequest
from cw_proxy.model import DocumentPart, ImagePart, Message, Part, Request, TextPart, ToolResultPart, ToolUsePart


def spoken(asked: Request) -> list[tuple[str, str]]:
    return [(turn.role, turn.text) for turn in turns(asked)]


def has_text(asked: Request) -> bool:
    return any(message.role != "system" or message.text.strip() for message in asked.messages)


@given(chats)
def test_nothing_to_say_is_refused_and_everything_else_is_not(asked: Request) -> None:
    if has_text(asked):
        assert turns(asked)
        return
    with pytest.raises(InvalidRequest) as raised:
        turns(asked)
    assert raised.value.param == "messages"


USER, ASSISTANT = "user", "assistant"
SYSTEM = [(USER, "be brief"), (ASSISTANT, ACKNOWLEDGEMENT)]
SHAPES: dict[str, tuple[list[Message], list[tuple[str, str]]]] = {
    "one question": ([say("user", "a")], [(USER, "a")]),
    "a system text": ([say("system", "be brief"), say("user", "a")], [*SYSTEM, (USER, "a")]),
    "two system texts, one late": (
        [say("system", "be"), say("user", "a"), say("assistant", "b"), say("system", "brief"), say("user", "c")],
        [(USER, "be\n\nbrief"), (ASSISTANT, ACKNOWLEDGEMENT), (USER, "a"), (ASSISTANT, "b"), (USER, "c")],
    ),
    "nothing but a system text": ([say("system", "be brief")], [(USER, "be brief")]),
    "a blank system text": ([say("system", " \n"), say("user", "a")], [(USER, "a")]),
    "the assistant first": (
        [say("assistant", "hi"), say("user", "a")],
        [(USER, NO_TEXT), (ASSISTANT, "hi"), (USER, "a")],
    ),
    "the assistant last": (
        [say("user", "a"), say("assistant", "b")],
        [(USER, "a"), (ASSISTANT, "b"), (USER, CONTINUE)],
    ),
    "the assistant alone": ([say("assistant", "b")], [(USER, NO_TEXT), (ASSISTANT, "b"), (USER, CONTINUE)]),
    "a system text and the assistant": (
        [say("system", "be brief"), say("assistant", "b")],
        [*SYSTEM, (USER, NO_TEXT), (ASSISTANT, "b"), (USER, CONTINUE)],
    ),
    "two of the user in a row": ([say("user", "a"), say("user", "b")], [(USER, "a\n\nb")]),
    "two of the user around a system text": (
        [say("user", "a"), say("system", "be brief"), say("user", "b")],
        [*SYSTEM, (USER, "a\n\nb")],
    ),
    "two of the assistant in a row": (
        [say("user", "a"), say("assistant", "b"), say("assistant", ""), say("assistant", "c"), say("user", "d")],
        [(USER, "a"), (ASSISTANT, "b\n\nc"), (USER, "d")],
    ),
    "several parts": ([say("user", "a", "b")], [(USER, "a\n\nb")]),
    "a turn without text": (
        [say("user", ""), say("assistant"), say("user", " ")],
        [(USER, NO_TEXT), (ASSISTANT, NO_TEXT), (USER, NO_TEXT)],
    ),
    "blanks around text stay": ([say("user", "  a\n")], [(USER, "  a\n")]),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(shape: str) -> None:
    messages, wanted = SHAPES[shape]
    assert spoken(request(*messages)) == wanted


@given(chats.filter(has_text), texts, texts)
def test_a_chat_that_grows_keeps_its_beginning(asked: Request, answer: str, question: str) -> None:
    """What a cache of prefixes needs: every turn but the current one comes back as it was."""
    grown = request(*asked.messages, say("assistant", answer), say("user", question))
    before, after = spoken(asked), spoken(grown)
    if asked.messages[-1].role == "user":
        assert after[: len(before)] == before
    if len(before) > 1 and before[1] == (ASSISTANT, ACKNOWLEDGEMENT) and has_system(asked):
        assert after[:2] == before[:2]


def has_system(asked: Request) -> bool:
    return any(message.role == "system" and message.text.strip() for message in asked.messages)


# --- calls and their results ---


def use(identity: str, name: str = "ls", **given: str) -> ToolUsePart:
    return ToolUsePart(identity, name, given)


def result(identity: str, text: str = "ok", is_error: bool = False) -> ToolResultPart:
    return ToolResultPart(identity, text, is_error)


def asked(*parts: Part) -> Message:
    return Message("user", parts)


def called(*parts: Part) -> Message:
    return Message("assistant", parts)


TOOL_TURNS: dict[str, tuple[list[Message], list[Turn]]] = {
    "one call": (
        [called(use("1")), asked(result("1"))],
        [Turn("assistant", CALLING, uses=(use("1"),)), Turn("user", "", results=(result("1"),))],
    ),
    "words beside both": (
        [called(TextPart("I look."), use("1")), asked(result("1")), asked(TextPart("And?"))],
        [Turn("assistant", "I look.", uses=(use("1"),)), Turn("user", "And?", results=(result("1"),))],
    ),
    "parallel calls in two messages, answered the other way round": (
        [called(use("1")), called(use("2")), asked(result("2", "b")), asked(result("1", "a"))],
        [
            Turn("assistant", CALLING, uses=(use("1"), use("2"))),
            Turn("user", "", results=(result("2", "b"), result("1", "a"))),
        ],
    ),
    "no result": (
        [called(use("1"), use("2")), asked(result("2"), TextPart("go on"))],
        [
            Turn("assistant", CALLING, uses=(use("1"), use("2"))),
            Turn("user", "go on", results=(result("2"), result("1", CANCELLED, True))),
        ],
    ),
    "a call at the end": (
        [called(use("1"))],
        [
            Turn("assistant", CALLING, uses=(use("1"),)),
            Turn("user", CONTINUE, results=(result("1", CANCELLED, True),)),
        ],
    ),
    "an empty result": (
        [called(use("1")), asked(result("1", " "))],
        [Turn("assistant", CALLING, uses=(use("1"),)), Turn("user", "", results=(result("1", NO_OUTPUT),))],
    ),
    "an orphan": (
        [called(TextPart("a")), asked(TextPart("b"), result("9", "late"), TextPart("c"))],
        [Turn("assistant", "a"), Turn("user", "b\n\n[Result of the tool call 9]\nlate\n\nc")],
    ),
    "a repeated result, and another of the same call": (
        [called(use("1")), asked(result("1"), result("1"), result("1", "no, this"))],
        [
            Turn("assistant", CALLING, uses=(use("1"),)),
            Turn("user", "[Result of the tool call 1]\nno, this", results=(result("1"),)),
        ],
    ),
    "an orphan that is repeated, and another of the same id": (
        [called(TextPart("a")), asked(result("9"), result("9"), result("9", "no, this"), result("9"))],
        [
            Turn("assistant", "a"),
            Turn("user", "[Result of the tool call 9]\nok\n\n[Result of the tool call 9]\nno, this"),
        ],
    ),
    "an orphan that failed": (
        [called(TextPart("a")), asked(result("9", "no", True))],
        [Turn("assistant", "a"), Turn("user", "[Failed result of the tool call 9]\nno")],
    ),
    "a result before its call": (
        [called(TextPart("a")), asked(result("1")), called(use("1")), asked(TextPart("b"))],
        [
            Turn("assistant", "a"),
            Turn("user", "[Result of the tool call 1]\nok"),
            Turn("assistant", CALLING, uses=(use("1"),)),
            Turn("user", "b", results=(result("1", CANCELLED, True),)),
        ],
    ),
    "a result two turns after its call": (
        [called(use("1")), asked(TextPart("b")), called(TextPart("c")), asked(result("1"))],
        [
            Turn("assistant", CALLING, uses=(use("1"),)),
            Turn("user", "b", results=(result("1", CANCELLED, True),)),
            Turn("assistant", "c"),
            Turn("user", "[Result of the tool call 1]\nok"),
        ],
    ),
    "a repeated call": (
        [called(use("1"), use("1")), asked(result("1"))],
        [Turn("assistant", CALLING, uses=(use("1"),)), Turn("user", "", results=(result("1"),))],
    ),
    "equal calls under two ids": (
        [called(use("1"), use("2")), asked(result("1"), result("2"))],
        [Turn("assistant", CALLING, uses=(use("1"), use("2"))), Turn("user", "", results=(result("1"), result("2")))],
    ),
}


@pytest.mark.parametrize("case", TOOL_TURNS)
def test_tool_turns(case: str) -> None:
    messages, wanted = TOOL_TURNS[case]
    assert turns(request(say("user", "q"), *messages)) == [Turn("user", "q"), *wanted]


def test_calls_that_share_an_id_are_told_apart() -> None:
    chat = [called(use("1", path="a"), use("1", path="b")), asked(result("1", "A"), result("1", "B"))]
    _, assistant, user = turns(request(say("user", "q"), *chat))
    assert [part.input["path"] for part in assistant.uses] == ["a", "b"]
    assert [part.text for part in user.results] == ["A", "B"]
    ids = [part.id for part in assistant.uses]
    assert ids == [part.tool_use_id for part in user.results]
    assert len(set(ids)) == 2


EQUAL_CALLS: dict[str, tuple[list[ToolUsePart], list[ToolResultPart], list[str | None], list[str]]] = {
    "as many results": ([use("")] * 2, [result("", "A"), result("", "B")], [None, None], ["A", "B"]),
    "with one word": ([use("")] * 2, [result("")] * 2, [None, None], ["ok", "ok"]),
    "fewer results": ([use("")] * 3, [result("", "A"), result("", "B")], [None, None], ["A", "B"]),
    "another call among them": (
        [use(""), use("", path="b"), use("")],
        [result("", text) for text in "ABC"],
        [None, "b", None],
        ["A", "B", "C"],
    ),
    "another call that has no result": (
        [use(""), use(""), use("", path="b")],
        [result("", "A")],
        [None, "b"],
        ["A", CANCELLED],
    ),
}


@pytest.mark.parametrize("case", EQUAL_CALLS)
def test_equal_calls_under_one_id_are_as_many_as_have_results(case: str) -> None:
    uses, results, paths, answers = EQUAL_CALLS[case]
    _, assistant, user = turns(request(say("user", "q"), called(*uses), asked(*results)))
    assert [part.input.get("path") for part in assistant.uses] == paths
    assert [part.text for part in user.results] == answers
    assert [part.id for part in assistant.uses] == [part.tool_use_id for part in user.results]
    assert len({part.id for part in assistant.uses}) == len(paths)
    assert user.text == ""


def test_ids_that_the_service_does_not_take() -> None:
    long = "call|" + "x" * 80
    _, assistant, user = turns(request(say("user", "q"), called(use(long)), asked(result(long))))
    [name] = [part.id for part in assistant.uses]
    assert name == user.results[0].tool_use_id != long
    assert len(name) <= 64


def test_results_before_any_call_are_text() -> None:
    [turn] = turns(request(asked(result("1", "early"))))
    assert turn == Turn("user", "[Result of the tool call 1]\nearly")


def test_images_and_documents_of_merged_turns_are_united() -> None:
    png, gif = ImagePart("png", b"1"), ImagePart("gif", b"2")
    one, two = DocumentPart("a", "md", b"1"), DocumentPart("a", "pdf", b"2")
    [turn] = turns(request(asked(png, one), asked(gif, two)))
    assert turn == Turn("user", NO_TEXT, (png, gif), (one, DocumentPart("a (2)", "pdf", b"2")))


def pictures(*numbers: int) -> list[Part]:
    return [ImagePart("png", str(number).encode()) for number in numbers]


def test_more_images_than_a_turn_takes_go_on_in_another() -> None:
    six, other_six = pictures(*range(6)), pictures(*range(6, 12))
    chat = request(asked(TextPart("these"), *six), asked(*other_six, TextPart("same?")))
    assert turns(chat) == [
        Turn("user", "[Images 1 to 10 of 12 in one message.]\n\nthese", (*six, *other_six[:4])),
        Turn("assistant", GO_ON),
        Turn("user", "[Images 11 to 12 of 12 in one message.]\n\nsame?", (*other_six[4:],)),
    ]


def test_ten_images_are_one_turn() -> None:
    ten = pictures(*range(10))
    assert turns(request(asked(*ten[:5], TextPart("a")), asked(*ten[5:]))) == [Turn("user", "a", (*ten,))]


def test_results_stand_next_to_their_calls_however_many_images_come_with_them() -> None:
    images, document = pictures(*range(21)), DocumentPart("a", "md", b"1")
    chat = request(say("user", "q"), called(use("1")), asked(*images, result("1"), TextPart("a"), document))
    _, _, first, *others = turns(chat)
    assert (first.results, first.images) == ((result("1"),), (*images[:10],))
    assert [turn.role for turn in others] == ["assistant", "user", "assistant", "user"]
    assert others[-1] == Turn("user", "[Images 21 to 21 of 21 in one message.]\n\na", (images[20],), (document,))


def test_instructions_stand_behind_the_system_text() -> None:
    first, second, _ = turns(request(say("system", "s"), say("user", "a")), ["# Tool x"])
    assert (first.text, second.text) == ("s\n\n# Tool x", ACKNOWLEDGEMENT)
    assert turns(request(say("user", "a")), ["# Tool x"])[0].text == "# Tool x"


def test_thousands_of_calls_take_no_quadratic_time() -> None:
    uses = [use(str(number % 2), path=str(number)) for number in range(20_000)]
    results = [result(part.id, part.input["path"]) for part in uses]
    _, assistant, user = turns(request(say("user", "q"), called(*uses), asked(*results)))
    assert len({part.id for part in assistant.uses}) == 20_000
    answers = {part.tool_use_id: part.text for part in user.results}
    assert all(answers[part.id] == part.input["path"] for part in assistant.uses)


@pytest.mark.timeout(30)
def test_many_documents_of_one_name_are_told_apart_in_linear_time() -> None:
    """Quadratic work would take hours."""
    parts = tuple(DocumentPart("a.txt", "txt", b"x") for _ in range(30_000))
    names = [document.name for document in _distinct_documents(parts)]
    assert len(set(names)) == 30_000
