"""A message's content → parts of the model: text, images, documents.

In: a string, a list of content parts, or nothing, and its JSON path. Out: parts. Refuses to know roles and tools.
"""

from __future__ import annotations

from cw_proxy.errors import InvalidValue, ProxyError
from cw_proxy.model import Part, TextPart
from cw_proxy.protocols.openai_chat import shapes

_TEXTS = ("text", "input_text", "output_text", "error")


def read_content(said: str | list[shapes.Part] | None, path: str, *, files: bool) -> tuple[Part, ...]:
    """`files`: whether images and documents may stand here. Raises InvalidValue with the part's path."""
    if said is None:
        return ()
    if isinstance(said, str):
        return (TextPart(said),)
    return tuple(_part(part, f"{path}[{at}]", files) for at, part in enumerate(said))


def _part(part: shapes.Part, path: str, files: bool) -> Part:
    if part.type in _TEXTS and part.text is not None:
        return TextPart(part.text)
    if part.type == "refusal" and part.refusal is not None:
        return TextPart(part.refusal)
    raise _unsupported(part, path)


def _unsupported(part: shapes.Part, path: str) -> ProxyError:
    return InvalidValue(f"Content parts of type {part.type[:40]!r} are not supported here.", param=f"{path}.type")
