"""Keys and threads go in, the conversation's id comes out."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from strategies import chats, request, say, texts

from cw_proxy.conversations import THREAD_HEADERS, Conversations, thread_of
from cw_proxy.model import DocumentPart, ImagePart, Message, Part, Request

HELLO = request(say("system", "s"), say("user", "hello"))


class Ids:
    def __init__(self) -> None:
        self.made = 0

    def __call__(self) -> str:
        self.made += 1
        return f"id-{self.made}"


def test_a_key_and_a_thread_have_one_id() -> None:
    conversations, ids = Conversations(), Ids()
    asked = itertools.product([b"me", b"you"], [b"one", b"two"])
    first = {pair: conversations.id_for(*pair, now=0, new_id=ids) for pair in asked}
    assert len(set(first.values())) == 4
    for pair, identity in first.items():
        assert conversations.id_for(*pair, now=1, new_id=ids) == identity
    assert ids.made == len(conversations) == 4


def test_key_and_thread_do_not_run_together() -> None:
    conversations, ids = Conversations(), Ids()
    assert conversations.id_for(b"ab", b"c", now=0, new_id=ids) != conversations.id_for(b"a", b"bc", now=0, new_id=ids)


def test_the_services_own_id_takes_over() -> None:
    conversations, ids = Conversations(), Ids()
    conversations.id_for(b"me", b"one", now=0, new_id=ids)
    conversations.adopt(b"me", b"one", "theirs", now=0)
    assert conversations.id_for(b"me", b"one", now=1, new_id=ids) == "theirs"
    assert conversations.id_for(b"you", b"one", now=1, new_id=ids) == "id-2"


def test_the_least_recently_used_goes_first() -> None:
    conversations, ids = Conversations(capacity=2), Ids()

    def use(thread: bytes) -> str:
        return conversations.id_for(b"me", thread, now=0, new_id=ids)

    assert [use(thread) for thread in (b"a", b"b", b"a", b"c", b"a", b"b")] == [
        *["id-1", "id-2", "id-1"],  # b is the older one now
        *["id-3", "id-1"],
        "id-4",
    ]
    assert len(conversations) == 2


def test_adopting_keeps_the_bound() -> None:
    conversations = Conversations(capacity=3)
    for number in range(100):
        conversations.adopt(b"me", bytes([number]), "x", now=0)
    assert len(conversations) == 3


def test_age_counts_from_the_last_use() -> None:
    conversations, ids = Conversations(max_age=10), Ids()
    at = {now: conversations.id_for(b"me", b"a", now=now, new_id=ids) for now in (0, 10, 20, 31)}
    assert at == {0: "id-1", 10: "id-1", 20: "id-1", 31: "id-2"}
    conversations.id_for(b"me", b"b", now=100, new_id=ids)
    assert len(conversations) == 1


# --- which thread ---


def thread(asked: Request, **headers: str) -> bytes:
    return thread_of(asked, {name.replace("_", "-"): value for name, value in headers.items()})


@given(chats, texts, texts)
def test_a_chat_that_grows_stays_one_thread(asked: Request, answer: str, question: str) -> None:
    if not any(message.role == "user" for message in asked.messages):
        return
    grown = request(*asked.messages, say("assistant", answer), say("user", question))
    assert thread(grown) == thread(asked)


DIFFERENT = [
    HELLO,
    request(say("system", "s"), say("user", "hello!")),
    request(say("system", "s2"), say("user", "hello")),
    request(say("user", "hello")),
    request(say("user", "s"), say("user", "hello")),
    request(say("system", "s"), say("assistant", "hello")),
    request(say("system", "shello"), say("user", "")),
    request(say("system", "s"), say("user", "hello"), thread="k"),
    request(say("system", "s"), say("user", "hello"), thread="l"),
]


def test_different_beginnings_and_names_are_different_threads() -> None:
    named = [thread(HELLO, **{header: name}) for header in THREAD_HEADERS for name in ("k", "l")]
    threads = [*map(thread, DIFFERENT), *named]
    assert len(set(threads)) == len(threads)


def test_the_first_name_counts() -> None:
    body = request(say("user", "a"), thread="k")
    assert thread(body, x_conversation_id="c", session_id="s") == thread(HELLO, x_conversation_id="c")
    assert thread(body, session_id="s") == thread(HELLO, session_id="s")
    assert thread(body, session_id="") == thread(request(say("user", "b"), thread="k"))


@pytest.mark.parametrize("name", ["canary", "é", "caf\udce9", "x" * 100_000])
def test_any_name_is_kept_as_a_hash_only(name: str) -> None:
    assert len(thread(HELLO, session_id=name)) == 32
    assert len(thread(request(say("user", "a"), thread=name))) == 32


def test_chats_that_open_with_different_files_are_different_threads() -> None:
    def opening(*parts: Part) -> bytes:
        return thread_of(request(Message("user", parts)), {})

    image, other = ImagePart("png", b"a" * 10_000), ImagePart("png", b"a" * 9_999 + b"b")
    documents = DocumentPart("one", "pdf", b"a"), DocumentPart("two", "pdf", b"b")
    threads = [opening(part) for part in (image, other, *documents)]
    assert len(set(threads)) == 4
    assert opening(image) == threads[0]
