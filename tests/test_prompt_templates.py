"""An environment goes in; out come the variables that clients may name, and never one that looks like a secret."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cw_proxy.errors import ConfigError
from cw_proxy.prompt_templates import check_names, prompt_templates

FORBIDDEN = [
    "AWS_SECRET_ACCESS_KEY",
    "AWS_REGION",
    "AWS_",
    "CW_PROXY_UPSTREAM_PROXY",
    *(f"PROMPT_{word}" for word in ("KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL", "KEYS", "CREDENTIALS")),
    "CW_PROMPT_API_KEY",
    "PROMPT_APIKEY",
    "PROMPT_DB_PASSWD",
    "PROMPT_PRIVATE_KEY_PEM",
    "PROMPT_SECRET_OF_MINE",
    "OPENAI_API_KEY",
    "TOKEN",
    "prompt_a",
    "PROMPT_a",
    "PROMPT_Ä",
    "PROMPT-A",
    "PROMPT_A\n",
    "__proto__",
    "",
    "PROMPT_" + "A" * 100,
]


@pytest.mark.parametrize("name", FORBIDDEN)
def test_what_looks_like_a_secret_is_no_template_listed_or_not(name: str) -> None:
    assert prompt_templates({name: "canary"}, []) == {}
    with pytest.raises(ConfigError, match="must not list") as raised:
        prompt_templates({name: "canary"}, [name])
    assert "canary" not in raised.value.message
    with pytest.raises(ConfigError):
        check_names([name])


def test_what_is_named_like_a_template_or_listed_is_one() -> None:
    environment = {
        "PROMPT_A": "a",
        "CW_PROMPT_B": "b",
        "MINE": "é\n",
        "PATH": "/bin",
        "PROMPT_KEYNOTE": "k",
        "PROMPT_": "x",
    }
    found = prompt_templates(environment, ["MINE"])
    texts = {name: text.reveal() for name, text in found.items()}
    assert texts == {"PROMPT_A": "a", "CW_PROMPT_B": "b", "MINE": "é\n", "PROMPT_KEYNOTE": "k", "PROMPT_": "x"}
    assert "é" not in repr(found)


def test_an_empty_variable_is_none() -> None:
    assert prompt_templates({"PROMPT_A": ""}, []) == {}


@pytest.mark.parametrize("environment", [{}, {"MINE": ""}])
def test_what_is_listed_must_be_there(environment: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="MINE, which is not in the environment"):
        prompt_templates(environment, ["MINE"])


def test_bytes_that_are_no_text_are_told_by_name() -> None:
    with pytest.raises(ConfigError, match=r"PROMPT_A is not UTF-8\.$"):
        prompt_templates({"PROMPT_A": "canary\udcff"}, [])


@given(st.text(max_size=20), st.sampled_from(["_KEY", "_TOKEN", "_SECRET", "_PASSWORD", "_CREDENTIALS"]))
def test_no_name_with_such_an_end_gets_through(start: str, end: str) -> None:
    assert prompt_templates({f"{prefix}{start}{end}": "canary" for prefix in ("", "PROMPT_")}, []) == {}
