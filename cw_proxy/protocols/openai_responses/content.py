"""An item's content → parts of the model: text, images, documents.

In: a string, a list of content parts, or nothing, and its JSON path. Out: parts. Refuses to know roles and tools.
"""

from __future__ import annotations

from cw_proxy.errors import InvalidValue, ProxyError, UnsupportedParameter
from cw_proxy.media import Blob, document_format, image_format, is_data_url, read_base64, read_data_url
from cw_proxy.model import DocumentPart, ImageLink, ImagePart, Part, TextPart
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


def _image(part: shapes.Part, path: str) -> ImagePart | ImageLink:
    if part.image_url is None:
        raise _elsewhere(part, path, "image_url", ("file_id",))
    said, path = part.image_url, f"{path}.image_url"
    url, path = (said, path) if isinstance(said, str) else (said.url, f"{path}.url")
    if not is_data_url(url):
        return ImageLink(url, path)
    data = _blob(url, path).data
    kind = image_format(data)
    if kind is None:
        raise InvalidValue("The data is no PNG, JPEG, GIF or WebP image.", param=path)
    return ImagePart(kind, data)


def _file(part: shapes.Part, path: str) -> Part:
    if not part.file_data:
        raise _elsewhere(part, path, "file_data", ("file_id", "file_url"))
    blob = _blob(part.file_data, f"{path}.file_data")
    if (kind := image_format(blob.data)) is not None:
        return ImagePart(kind, blob.data)
    name = part.filename or ""
    kind = document_format(blob.data, name, blob.media_type)
    if kind is None:
        raise InvalidValue(
            "The data is no document of a known format: pdf, docx, xlsx, doc, xls, csv, html, md, txt.",
            param=f"{path}.file_data",
        )
    return DocumentPart(name or "document", kind, blob.data)


def _elsewhere(part: shapes.Part, path: str, wanted: str, others: tuple[str, ...]) -> ProxyError:
    for other in others:
        if getattr(part, other):
            return UnsupportedParameter(
                f"Nothing is fetched or stored here: send {wanted!r} with the data in it.", param=f"{path}.{other}"
            )
    return InvalidValue(f"This part has no {wanted!r}.", param=f"{path}.{wanted}")


def _blob(said: str, path: str) -> Blob:
    try:
        return read_data_url(said) if is_data_url(said) else Blob("", read_base64(said))
    except ValueError as fault:
        raise InvalidValue(str(fault), param=path) from None
