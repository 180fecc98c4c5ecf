"""Structured output: does an answer satisfy what was asked for, and if not, why?

In: a JSON Schema or none, and answers as text. Out: nothing, or one sentence about the first fault. Refuses to know
who asked and what is done about a fault. What the libraries behind it raise ends here.
"""

from __future__ import annotations

from typing import Any

from cw_proxy.errors import InvalidValue
from cw_proxy.structured.schema import Schema, sentence
from cw_proxy.structured.values import Unfit, clipped, parsed

MAX_FAULT = 300


class JsonCheck:
    """What one request asked for: a schema, or any JSON object when there is none. Raises InvalidValue."""

    def __init__(self, schema: dict[str, Any] | None, param: str) -> None:
        try:
            self._schema = None if schema is None else Schema(schema)
        except Unfit as fault:
            why = str(fault)
        except RecursionError:
            why = "It refers to itself without end."
        except Exception as error:  # noqa: BLE001 - the edge to libraries, which raise what they like on odd schemas
            why = f"It is out of the ordinary: {type(error).__name__}."
        else:
            return
        raise InvalidValue(clipped(f"The schema cannot be used. {why}", MAX_FAULT), param=param)

    def fault(self, text: str) -> str | None:
        """Why `text` is not exactly one JSON value as asked; None when it is."""
        try:
            return self._fault(parsed(text))
        except Unfit as fault:
            return clipped(str(fault), MAX_FAULT)
        except RecursionError:
            return "$: the answer is nested too deeply, or the schema refers to itself without end"
        except Exception as error:  # noqa: BLE001 - the edge to libraries, which raise what they like on odd values
            return f"$: the answer cannot be checked against the schema: {type(error).__name__}"

    def _fault(self, value: Any) -> str | None:
        if self._schema is None:
            return None if isinstance(value, dict) else clipped(f"$: {value!r} is not of type 'object'", MAX_FAULT)
        error = self._schema.best_error(value)
        return None if error is None else sentence(error)


def unwrapped(text: str) -> str | None:
    """The inside of the one Markdown fence that is the whole answer; None for anything else."""
    opening, newline, rest = text.strip().partition("\n")
    if not newline or opening.strip().lower() not in ("```", "```json") or not rest.endswith("```"):
        return None
    inside = rest[:-3].rstrip(" \t")
    if inside and not inside.endswith("\n"):
        return None
    return None if any(line.lstrip().startswith("```") for line in inside.split("\n")) else inside
