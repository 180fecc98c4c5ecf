"""Names and values of settings: what is wrong is one sentence that never repeats what may be a key."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cw_proxy import given
from cw_proxy.errors import ConfigError
from cw_proxy.secret import Secret


class Settings(msgspec.Struct):
    port: int = 0
    keys: list[Secret] = []


def test_names_that_exist() -> None:
    given.check_names(["port", "keys"], ["port", "keys"], "in a file")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("prot", "'prot' in a file is not a setting. Did you mean 'port'?"),
        ("Port", "'Port' in a file is not a setting. Did you mean 'port'?"),
        ("xyzzy", "'xyzzy' in a file is not a setting."),
        (7, "A name in a file is not a setting."),
        ("very-secret-0123456789", "A name in a file is not a setting."),
        ("SUAVERYSECRET", "A name in a file is not a setting."),
        ("a" * 40, "A name in a file is not a setting."),
    ],
)
def test_a_name_that_does_not(name: object, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        given.check_names([name], ["port", "keys"], "in a file")
    assert raised.value.message == said


def test_a_name_within_another() -> None:
    with pytest.raises(ConfigError, match=r"'tls\.kay' here is not a setting\. Did you mean 'tls\.key'\?"):
        given.check_names({"kay": 1}, {"key", "cert"}, "here", "tls.")


def test_values_become_what_they_are() -> None:
    found = given.converted({"port": 1, "keys": [" a-key\n"]}, Settings, "in a file")
    assert (found.port, found.keys) == (1, [Secret("a-key")])


@pytest.mark.parametrize(
    "settings",
    [
        {"port": "very-secret"},
        {"keys": ["very secret"]},
        {"keys": [" "]},
        {"keys": ["very-secret-é"]},
        {"keys": ["very\r\nsecret"]},
        {"keys": [12345]},
        {"keys": "very-secret"},
    ],
)
def test_a_value_that_is_wrong_is_not_repeated(settings: dict[str, Any]) -> None:
    [name] = settings
    with pytest.raises(ConfigError, match=rf"^A setting in a file is wrong: Expected .*{name}") as raised:
        given.converted(settings, Settings, "in a file")
    assert "secret" not in raised.value.message
    assert "12345" not in raised.value.message
