"""An item's content → parts of the model: text, images, documents.

In: a string, a list of content parts, or nothing, and its JSON path. Out: parts. Refuses to know roles and tools.
"""

from __future__ import annotations

from cw_proxy.attachments import blob, file_of, image_at
from cw_proxy.errors import InvalidValue, ProxyError, UnsupportedParameter
from cw_proxy.model import Part, TextPart
from cw_proxy.protocols.openai_responses import shapes

_TEXTS = ("input_text", "output_text", "text", "summary_text", "reasoning_text")
_IMAGES = ("input_image", "image_url")
# Where a part of each type keeps what it is about.
_MEMBERS = {**dict.fromkeys(_TEXTS, "text"), **dict.fromkeys(_IMAGES, "image_url"), "refusal": "refusal"}


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
    if files and part.type in _IMAGES:
        return _image(part, path)
    if files and part.type == "input_file":
        return _file(part, path)
    raise _unsupported(part, path)


def _unsupported(part: shapes.Part, path: str) -> ProxyError:
    # A part of a known type that lacks what it is about: the member is missing, not the type.
    member = _MEMBERS.get(part.type)
    if member is not None and getattr(part, member) is None:
        return InvalidValue(f"This part has no {member!r}.", param=f"{path}.{member}")
    return InvalidValue(f"Content parts of type {part.type[:40]!r} are not supported here.", param=f"{path}.type")


def _image(part: shapes.Part, path: str) -> Part:
    if part.image_url is None:
        raise _elsewhere(part, path, "image_url", ("file_id",))
    said, path = part.image_url, f"{path}.image_url"
    return image_at(said, path) if isinstance(said, str) else image_at(said.url, f"{path}.url")


def _file(part: shapes.Part, path: str) -> Part:
    if not part.file_data:
        raise _elsewhere(part, path, "file_data", ("file_id", "file_url"))
    param = f"{path}.file_data"
    return file_of(blob(part.file_data, param), part.filename or "", param)


def _elsewhere(part: shapes.Part, path: str, wanted: str, others: tuple[str, ...]) -> ProxyError:
    for other in others:
        if getattr(part, other):
            return UnsupportedParameter(
                f"Nothing is fetched or stored here: send {wanted!r} with the data in it.", param=f"{path}.{other}"
            )
    return InvalidValue(f"This part has no {wanted!r}.", param=f"{path}.{wanted}")
