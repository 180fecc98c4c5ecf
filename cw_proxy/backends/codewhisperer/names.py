"""Names the service takes (rule 7), for names it does not: reversible, and the same from turn to turn.

In: names as clients made them. Out: names of at most 64 letters, digits, `_` and `-`. Refuses to know schemas, turns
and what a tool is. A legal name stays; any other keeps its readable head and gets a hash of the whole.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container, Iterable, Mapping
from typing import Any

MOST = 64
_TOOL = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]{0,63}")
_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_PROPERTY = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
_FOREIGN = re.compile(r"[^a-zA-Z0-9_-]+")
_NO_DOCUMENT = re.compile(r"[^\w\-()\[\] ]+", re.ASCII)
_HASH_DIGITS = 10


def hashed(name: str) -> str:
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_DIGITS]
    head = _FOREIGN.sub("_", name)
    if not head[:1].isalpha():
        head = "x" + head
    return f"{head[: MOST - _HASH_DIGITS - 1]}_{digest}"


def tool_name(name: str) -> str:
    return name if _TOOL.fullmatch(name) else hashed(name)


def call_id(name: str) -> str:
    return name if _ID.fullmatch(name) else hashed(name)


def document_name(name: str) -> str:
    """Without its extension, which the format says, and with the signs that models' services allow."""
    stem = name.rpartition("/")[2].rpartition(".")[0] or name
    return " ".join(_NO_DOCUMENT.sub("-", stem).split())[:200].strip() or "document"


def is_property(name: str) -> bool:
    return _PROPERTY.fullmatch(name) is not None


def legal_properties(names: Iterable[str]) -> dict[str, str]:
    """For each name that the service does not take another, which no other property has."""
    said = dict.fromkeys(names)
    taken = set(said)
    legal: dict[str, str] = {}
    for name in said:
        if not is_property(name):
            salt = name
            while (upstream := hashed(salt)) in taken:
                salt += "\0"
            taken.add(upstream)
            legal[name] = upstream
    return legal


class ToolNames:
    """What every tool of a chat is called upstream: those offered, then those that only its history names.

    The service compares without regard to case (rule 5): a use in another spelling is the offered tool's, and of two
    tools that differ in case alone the second gets a hash. `unoffered` are the names that no offered tool answers to.
    """

    def __init__(self, offered: Iterable[str], used: Iterable[str]) -> None:
        self._upstream: dict[str, str] = {}
        self._by_lower: dict[str, str] = {}
        self._taken: set[str] = set()
        self.unoffered: list[str] = []
        for name in offered:
            self._add(name)
        for name in used:
            if name in self._upstream:
                continue
            if known := self._by_lower.get(name.lower()):
                self._upstream[name] = known
            else:
                self._add(name)
                self.unoffered.append(name)

    def _add(self, name: str) -> None:
        upstream = tool_name(name)
        salt = name
        while upstream.lower() in self._taken:
            upstream = hashed(salt)
            salt += "\0"
        self._taken.add(upstream.lower())
        self._upstream[name] = upstream
        self._by_lower.setdefault(name.lower(), upstream)

    def upstream(self, name: str) -> str:
        return self._upstream[name]

    def changed(self) -> dict[str, str]:
        """Upstream name → the client's, where they differ; the offered spelling wins."""
        clients: dict[str, str] = {}
        for name, upstream in self._upstream.items():
            clients.setdefault(upstream, name)
        return {upstream: name for upstream, name in clients.items() if upstream != name}


def renamed(value: Any, names: Mapping[str, str]) -> Any:
    """The same JSON value, its keys replaced wherever they stand, but where two would become one."""
    if isinstance(value, dict):
        kept = value.keys()
        return {_free(key, names, kept): renamed(inner, names) for key, inner in value.items()}
    if isinstance(value, list):
        return [renamed(inner, names) for inner in value]
    return value


def _free(key: str, names: Mapping[str, str], kept: Container[str]) -> str:
    name = names.get(key, key)
    return key if name in kept else name
