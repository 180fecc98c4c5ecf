"""Options go in, the protocols that a server serves come out."""

from __future__ import annotations

from cw_proxy.interfaces import Options
from cw_proxy.protocols import protocols

ALWAYS = ["openai_chat", "openai_responses", "anthropic_messages", "simple_completions", "plain_text"]


def test_what_is_served_without_being_chosen() -> None:
    assert [made.name for made in protocols()] == ALWAYS


def test_what_is_chosen_comes_too() -> None:
    chosen = protocols(Options(prompt_socket=True, simple_api=True))
    assert [made.name for made in chosen] == [*ALWAYS, "prompt_socket", "simple_api"]


def test_each_server_has_its_own() -> None:
    pairs = zip(protocols(), protocols(), strict=True)
    assert not any(one is other for one, other in pairs)
