"""Which variables of the environment clients may name as system prompts.

In: the environment, names that the operator lists. Out: the templates by name, or ConfigError for a name that must not
be listed. Refuses to know who asks for them and how.

A client that could name any variable could read keys out of the environment, by asking the model to repeat its
instructions. So only names that look like templates count, and those that look like secrets never do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from cw_proxy.errors import ConfigError
from cw_proxy.secret import Secret

_NAME = re.compile(r"[A-Z0-9_]{1,100}\Z")
_TEMPLATES = ("PROMPT_", "CW_PROMPT_")
# AWS's credentials, and our own settings.
_FORBIDDEN_STARTS = ("AWS_", "CW_PROXY_")
_FORBIDDEN_ENDS = ("KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL")
_FORBIDDEN_WORDS = frozenset({"SECRET", "PRIVATE", "PASSWORD", "PASSWD"})


def prompt_templates(environment: Mapping[str, str], listed: Iterable[str]) -> dict[str, Secret]:
    """Raises ConfigError. An empty variable is as good as none."""
    names = [*listed]
    check_names(names)
    for name in names:
        if not environment.get(name):
            raise ConfigError(f"prompt_templates lists {name}, which is not in the environment.")
    found = (name for name in environment if name.startswith(_TEMPLATES) and _may_be_named(name))
    return {name: _template(name, environment[name]) for name in (*found, *names) if environment[name]}


def check_names(listed: Iterable[str]) -> None:
    """Raises ConfigError."""
    for name in listed:
        if not _may_be_named(name):
            raise ConfigError(
                f"prompt_templates must not list {name[:100]!r}: names have capital letters, digits and underscores, "
                "and none that looks like a secret, such as AWS_… or …_KEY, may be a template."
            )


def _may_be_named(name: str) -> bool:
    secret = name.removesuffix("S").endswith(_FORBIDDEN_ENDS) or _FORBIDDEN_WORDS & {*name.split("_")}
    return bool(_NAME.match(name)) and not name.startswith(_FORBIDDEN_STARTS) and not secret


def _template(name: str, value: str) -> Secret:
    try:
        value.encode()
    except UnicodeEncodeError:
        # Bytes of the environment that are no text come as lone surrogates.
        raise ConfigError(f"The prompt template {name} is not UTF-8.") from None
    return Secret(value)
