"""A client's name and the service's list go in, the service's id comes out."""

from __future__ import annotations

from typing import get_args

import pytest
from anthropic.types import Model

from cw_proxy.catalog import (
    BUILT_IN_ALIASES,
    DEFAULT_NAMES,
    default_name,
    named,
    names,
    needs_catalog,
    require,
    resolve,
    window,
)
from cw_proxy.errors import ModelNotFound
from cw_proxy.interfaces import Catalog, ModelInfo


def catalog(*ids: str) -> Catalog:
    return Catalog(tuple(map(ModelInfo, ids)))


LISTED = catalog(
    "claude-sonnet-4.5",
    "claude-3-5-sonnet-20240620",
    "claude-3-5-sonnet-20241022",
    "CLAUDE_HAIKU_20250101_V1_0",
    "auto-x",
)
ALIASES = {"mine": "claude-sonnet-4.5", "gpt-4": "claude-haiku", "gpt-4o": "auto", "lost": "gone", "empty": ""}

RESOLVED = [
    ("claude-sonnet-4.5", "claude-sonnet-4.5"),
    ("Claude-Sonnet-4-5", "claude-sonnet-4.5"),
    ("claude-sonnet-4-5-20250929", "claude-sonnet-4.5"),
    ("CLAUDE_SONNET_4_5_20250929_V1_0", "claude-sonnet-4.5"),
    ("claude-sonnet-4.5-latest", "claude-sonnet-4.5"),
    ("claude-haiku", "CLAUDE_HAIKU_20250101_V1_0"),
    # Two of one family: an exact name means itself, a short one the first listed.
    ("claude-3-5-sonnet-20240620", "claude-3-5-sonnet-20240620"),
    ("claude-3-5-sonnet-20241022", "claude-3-5-sonnet-20241022"),
    ("claude-3.5-sonnet", "claude-3-5-sonnet-20240620"),
    ("mine", "claude-sonnet-4.5"),
    ("gpt-4", "CLAUDE_HAIKU_20250101_V1_0"),
    ("gpt-4o", None),
    ("gpt-5", None),
    # A family without a version: the newest of it.
    ("haiku", "CLAUDE_HAIKU_20250101_V1_0"),
    ("sonnet", "claude-sonnet-4.5"),
    ("claude-sonnet", "claude-sonnet-4.5"),
    ("auto", None),
    ("Auto", None),
    ("codewhisperer", None),
    ("auto-x", "auto-x"),
]


@pytest.mark.parametrize(("name", "wanted"), RESOLVED)
def test_a_name_means_a_model(name: str, wanted: str | None) -> None:
    model = resolve(name, ALIASES, LISTED)
    assert (model.id if model else None) == wanted
    assert needs_catalog(name, ALIASES) == (wanted is not None)


def test_the_default_needs_no_list() -> None:
    for name in (*DEFAULT_NAMES, *BUILT_IN_ALIASES):
        assert not needs_catalog(name, {})
        assert resolve(name, {}, catalog()) is None


OLDER = ("claude-opus-4-1-20250805", "claude-3-5-haiku-latest", "opus")


@pytest.mark.parametrize("name", [*get_args(get_args(Model)[0]), *OLDER])
def test_a_name_of_claudes_clients_is_never_unknown(name: str) -> None:
    """The official SDK's names, and older ones: what is not listed means the default."""
    assert resolve(name, {}, catalog("auto-x")) is None
    listed = catalog("auto-x", name.removesuffix("-latest").upper())
    assert resolve(name, {}, listed) == listed.models[1]
    assert needs_catalog(name, {})


@pytest.mark.parametrize("name", ["claude-sonet-5", "claude-sonnet-x", "lost", "empty", "", "claude", "é", "\0"])
def test_an_unknown_name_is_a_404_with_near_names(name: str) -> None:
    with pytest.raises(ModelNotFound) as raised:
        resolve(name, ALIASES, LISTED)
    assert (raised.value.status, raised.value.param) == (404, "model")
    assert raised.value.message.partition("Available: ")[2].strip(".")


def test_the_nearest_comes_first() -> None:
    with pytest.raises(ModelNotFound, match=r"Available: claude-sonnet-4\.5"):
        resolve("claude-sonet-4.5", {}, LISTED)


def test_aliases_are_near_names_too_but_not_the_one_that_leads_nowhere() -> None:
    with pytest.raises(ModelNotFound, match="Available: my-favourite"):
        resolve("my-favorite", {"my-favourite": "auto"}, LISTED)
    with pytest.raises(ModelNotFound) as raised:
        resolve("lost", ALIASES, LISTED)
    assert "lost" not in raised.value.message.partition("Available: ")[2]


def test_without_a_list_there_is_the_default() -> None:
    with pytest.raises(ModelNotFound, match="Available: codewhisperer"):
        resolve("x", {}, catalog())


@pytest.mark.timeout(30)
@pytest.mark.parametrize("name", ["x" * 5_000_000, "-20250929" * 500_000, "-20250929-v1" * 500_000, "-1" * 2_000_000])
def test_a_huge_name_is_refused_in_a_short_message(name: str) -> None:
    with pytest.raises(ModelNotFound) as raised:
        resolve(name, {}, LISTED)
    assert len(raised.value.message) < 1000


def test_the_list_for_clients() -> None:
    assert names({"mine": "a", "a": "b"}, catalog("a", "b", "codewhisperer")) == ["codewhisperer", "a", "b", "mine"]


def test_names_that_are_taken_as_they_are() -> None:
    aliases = {"mine": "gpt-5", "usual": "auto"}
    found = [named(name, aliases, "m").id for name in ("gpt-4o", "mine", "auto", "CodeWhisperer", "usual", "a/b:c")]
    assert found == ["gpt-4o", "gpt-5", "m", "m", "m", "a/b:c"]
    with pytest.raises(ModelNotFound, match="openai_model"):
        named("auto", {}, None)


def test_a_name_is_required_where_there_is_a_list() -> None:
    listed = Catalog((ModelInfo("gpt-5"),), default="private")
    for known in ("gpt-5", "private"):
        require(ModelInfo(known), listed)
    require(ModelInfo("any"), Catalog(()))
    with pytest.raises(ModelNotFound, match=r"Available: gpt-5\.$"):
        require(ModelInfo("gpt-6"), listed)


def test_the_name_of_the_default() -> None:
    assert default_name(open_names=False, model=None) == "codewhisperer"
    assert [default_name(open_names=True, model=model) for model in (None, "m")] == [None, "auto"]
    assert names({"mine": "a"}, catalog("a"), None) == ["a", "mine"]


def test_the_window_is_what_the_service_says() -> None:
    listed = Catalog((ModelInfo("a", max_input_tokens=200_000), ModelInfo("b")), default="a")
    assert [window(model, listed) for model in ("a", None, "b", "c")] == [200_000, 200_000, None, None]
    assert window(None, catalog("a")) is None


def test_an_alias_may_name_the_services_default() -> None:
    assert resolve("mine", {"mine": "auto"}, LISTED) is None
    assert not needs_catalog("mine", {"mine": "codewhisperer"})
