"""The models there are: from the name a client uses to the id the service knows (conversion.md, "Parameters", model).

In: the service's list, aliases, a name. Out: an id, None for the service's default, or ModelNotFound with near names.
Refuses to know how the list was fetched and how old it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from operator import itemgetter

from cw_proxy.errors import ModelNotFound
from cw_proxy.interfaces import Catalog, ModelInfo

# Answered by whatever the service takes by default.
DEFAULT_NAMES = ("codewhisperer", "auto")
# Names that tools insist on. An alias to "auto" is the service's default.
BUILT_IN_ALIASES: Mapping[str, str] = {
    "gpt-4": "auto",
    "gpt-4o": "auto",
    "gpt-4o-mini": "auto",
    "gpt-4.1": "auto",
    "gpt-4-turbo": "auto",
    "gpt-4-turbo-preview": "auto",
    "gpt-5": "auto",
    "gpt-3.5-turbo": "auto",
}

# Claude's families, before or after the version. Claude's own clients insist on such names, and on newer ones every few
# weeks: what the service does not list is answered by its default, so that they work.
_CLAUDE = re.compile(r"(?:claude-)?(?:\d+-)*(fable|haiku|mythos|opus|sonnet)(?:-\d+)*(?:-preview)?")

_DATE = re.compile(r"-20\d{6}(?:-v\d+(?:-\d+)*)?$|-latest$")


def needs_catalog(name: str, aliases: Mapping[str, str]) -> bool:
    """Whether the name can only be resolved with the service's list at hand."""
    return _aliased(name, aliases).lower() not in DEFAULT_NAMES


def resolve(name: str, aliases: Mapping[str, str], catalog: Catalog) -> ModelInfo | None:
    """The service's model for a client's name; None is its default. Raises ModelNotFound."""
    wanted = _aliased(name, aliases)
    if wanted.lower() in DEFAULT_NAMES:
        return None
    listed = {model.id: model for model in catalog.models}
    if wanted in listed:
        return listed[wanted]
    plain = _plain(wanted)
    found = next((model for model in catalog.models if _plain(model.id) == plain), None)
    if found is not None:
        return found
    if claude := _CLAUDE.fullmatch(plain):
        return _newest(claude[1], catalog) if plain.removeprefix("claude-") == claude[1] else None
    others = [alias for alias in aliases if alias != name]
    raise ModelNotFound(_unknown(name[:100], [*listed, *others]), param="model")


def _newest(family: str, catalog: Catalog) -> ModelInfo | None:
    """Of the listed models of a family the one with the highest version."""
    versions = [
        ([int(number) for number in re.findall(r"\d{1,4}", plain)], model)
        for model in catalog.models
        if family in (plain := _plain(model.id)).split("-")
    ]
    return max(versions, key=itemgetter(0))[1] if versions else None


def named(name: str, aliases: Mapping[str, str], default: str | None) -> ModelInfo:
    """The model for a client's name where the service takes names as they are. Raises ModelNotFound for a name that
    leaves the choice, where there is none."""
    wanted = aliases.get(name) or name
    if wanted.lower() not in DEFAULT_NAMES:
        return ModelInfo(wanted)
    if default is None:
        raise ModelNotFound(
            f"No model is set for the name {name!r}: name one of the OpenAI upstream's, or set openai_model.",
            param="model",
        )
    return ModelInfo(default)


def require(model: ModelInfo, catalog: Catalog) -> None:
    """Raises ModelNotFound for a model that is not on the service's list, if it has one."""
    listed = [known.id for known in catalog.models]
    if listed and model.id not in (*listed, catalog.default):
        raise ModelNotFound(_unknown(model.id[:100], listed, ()), param="model")


def default_name(*, open_names: bool, model: str | None) -> str | None:
    """What GET /v1/models calls the default, if there is one."""
    if open_names:
        return DEFAULT_NAMES[1] if model else None
    return DEFAULT_NAMES[0]


def window(model: str | None, catalog: Catalog) -> int | None:
    """How many tokens the model with this id takes, as far as the service says; None is its default."""
    wanted = model or catalog.default
    return next((listed.max_input_tokens for listed in catalog.models if listed.id == wanted), None)


def names(aliases: Mapping[str, str], catalog: Catalog, default: str | None = DEFAULT_NAMES[0]) -> list[str]:
    """What GET /v1/models lists: the default's name, the service's ids, the configured aliases."""
    ids = [*([default] if default else []), *(model.id for model in catalog.models), *aliases]
    return list(dict.fromkeys(ids))


def _aliased(name: str, aliases: Mapping[str, str]) -> str:
    return aliases.get(name) or BUILT_IN_ALIASES.get(name.lower()) or name


def _plain(name: str) -> str:
    """claude-sonnet-4-5-20250929, CLAUDE_SONNET_4_5_20250929_V1_0 and claude-sonnet-4.5 are one model."""
    return _DATE.sub("", name.lower().replace("_", "-").replace(".", "-"))


def _unknown(name: str, listed: list[str], defaults: Sequence[str] = DEFAULT_NAMES) -> str:
    known = list(dict.fromkeys([*listed, *defaults]))
    near = get_close_matches(name.lower(), known, n=3, cutoff=0.4)
    choices = near or [*defaults[:1], *listed]
    return f"The model {name!r} does not exist or you have no access to it. Available: {', '.join(choices[:8])}."
