"""A message's content → parts of the model: text, images, documents.

In: a string, a list of content parts, or nothing, and its JSON path. Out: parts. Refuses to know roles and tools.
"""

from __future__ import annotations

from cw_proxy.attachments import blob, file_of, image_at
from cw_proxy.errors import InvalidValue, ProxyError, UnsupportedParameter
from cw_proxy.model import Part, TextPart
from cw_proxy.protocols.openai_chat import shapes

_TEXTS = ("text", "input_text", "output_text", "error")
_IMAGES = ("image_url", "input_image")
# Where a part of each type keeps what it is about.
_MEMBERS = {
    **dict.fromkeys(_TEXTS, "text"),
    **dict.fromkeys(_IMAGES, "image_url"),
    "refusal": "refusal",
    "file": "file",
}


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
    if files and part.type in _IMAGES and part.image_url is not None:
        return _image(part.image_url, f"{path}.image_url")
    if files and part.type == "file" and part.file is not None:
        return _file(part.file, f"{path}.file")
    raise _unsupported(part, path)


def _unsupported(part: shapes.Part, path: str) -> ProxyError:
    # A part of a known type that lacks what it is about: the member is missing, not the type.
    member = _MEMBERS.get(part.type)
    if member is not None and getattr(part, member) is None:
        return InvalidValue(f"This part has no {member!r}.", param=f"{path}.{member}")
    return InvalidValue(f"Content parts of type {part.type[:40]!r} are not supported here.", param=f"{path}.type")


def _image(said: str | shapes.Url, path: str) -> Part:
    return image_at(said, path) if isinstance(said, str) else image_at(said.url, f"{path}.url")


def _file(said: shapes.File, path: str) -> Part:
    if not said.file_data:
        if said.file_id:
            raise UnsupportedParameter(
                "Files are sent as 'file_data': nothing is stored here.", param=f"{path}.file_id"
            )
        raise InvalidValue("The file has no data.", param=f"{path}.file_data")
    param = f"{path}.file_data"
    return file_of(blob(said.file_data, param), said.filename or "", param)
