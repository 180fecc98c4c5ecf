"""Responses are kept for their owner, within bounds."""

from __future__ import annotations

import pytest

from cw_proxy.protocols.openai_responses.store import Kept, Limits, Store


def kept(name: str, size: int = 100) -> Kept:
    return Kept(name, b"x" * (size - 2), (b"i",), (b"o",))


def test_what_is_kept_is_its_owner_s() -> None:
    store = Store()
    store.keep(b"me", kept("a"), 0)
    assert store.find(b"me", "a", 0) == kept("a")
    assert store.find(b"you", "a", 0) is None
    assert store.find(b"me", "b", 0) is None
    assert (store.all_of(b"me", 0), store.all_of(b"you", 0)) == ([kept("a")], [])


def test_the_chat_is_the_input_and_the_output() -> None:
    assert (kept("a", 7).chat, kept("a", 7).size) == ((b"i", b"o"), 7)


def test_what_is_deleted_is_gone() -> None:
    store = Store()
    for name in ("a", "b"):
        store.keep(b"me", kept(name), 0)
    store.delete(b"me", "a")
    store.delete(b"me", "a")
    store.delete(b"you", "a")
    assert (store.find(b"me", "a", 0), len(store), store.size) == (None, 1, 100)
    store.delete(b"me", "b")
    assert (len(store), store.size) == (0, 0)


def test_old_ones_are_unknown_and_go_with_the_next() -> None:
    store = Store(Limits(age=10))
    store.keep(b"me", kept("a"), 0)
    store.keep(b"you", kept("b"), 5)
    assert store.find(b"me", "a", 10) is not None
    assert store.find(b"me", "a", 11) is None
    assert store.all_of(b"me", 11) == []
    store.keep(b"you", kept("c"), 11)
    assert len(store) == 2


@pytest.mark.parametrize("limits", [Limits(number=8, key_share=0.25), Limits(size=800, key_share=0.25)])
def test_one_key_has_its_share_and_no_more(limits: Limits) -> None:
    store = Store(limits)
    store.keep(b"you", kept("y"), 0)
    for number in range(5):
        store.keep(b"me", kept(str(number)), number)
    assert [one.id for one in store.all_of(b"me", 5)] == ["4", "3"]
    assert store.find(b"you", "y", 5) is not None


@pytest.mark.parametrize("limits", [Limits(number=3), Limits(size=300)])
def test_of_all_keys_the_one_that_rested_longest_forgets_first(limits: Limits) -> None:
    store = Store(Limits(limits.number, limits.size, key_share=1))
    for owner, name in ((b"a", "1"), (b"b", "2"), (b"a", "3"), (b"c", "4")):
        store.keep(owner, kept(name), 0)
    assert [len(store.all_of(owner, 0)) for owner in (b"a", b"b", b"c")] == [2, 0, 1]


def test_what_is_larger_than_a_share_is_not_kept() -> None:
    store = Store(Limits(size=800, key_share=0.25))
    store.keep(b"me", kept("large", 201), 0)
    assert (len(store), store.size, store.find(b"me", "large", 0)) == (0, 0, None)


def test_the_same_id_again_replaces() -> None:
    store = Store()
    for size in (100, 50):
        store.keep(b"me", kept("a", size), 0)
    assert (len(store), store.size) == (1, 50)
