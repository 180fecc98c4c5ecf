"""A line for each exchange, as JSON or for people.

In: an Entry. Out: one line. Refuses to know where lines go, and has nothing to hide: an Entry holds no bodies, paths,
query strings and keys. What clients write themselves is escaped, so that it stays within its line.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

import msgspec

from cw_proxy.record import Entry

Form = Literal["off", "text", "json"]

_encode = msgspec.json.Encoder().encode


def as_json(entry: Entry) -> str:
    """Every name is there in every line; `time` is in RFC 3339, UTC."""
    return _encode({**msgspec.structs.asdict(entry), "time": _time(entry)}).decode()


def as_text(entry: Entry) -> str:
    words = [_time(entry), entry.id, entry.method, entry.route, str(entry.status), entry.outcome]
    shown = {
        "key": entry.key,
        "model": _escaped(entry.model),
        "asked": _escaped(entry.model_asked),
        "stream": {True: "yes", False: "no", None: None}[entry.stream],
        "finish": entry.finish,
        "tokens": f"{entry.input_tokens}+{entry.output_tokens} {entry.tokens_source}" if entry.tokens_source else None,
        "queue": _milliseconds(entry.queue_ms),
        "first": _milliseconds(entry.first_ms),
        "total": _milliseconds(entry.total_ms),
        "agent": _escaped(entry.agent),
    }
    return " ".join([*words, *(f"{name}={value}" for name, value in shown.items() if value is not None)])


def _escaped(said: str | None) -> str | None:
    return None if said is None else repr(said)


def _time(entry: Entry) -> str:
    moment = datetime.fromtimestamp(entry.time, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _milliseconds(value: float | None) -> str | None:
    return None if value is None else f"{value:.0f}ms"
