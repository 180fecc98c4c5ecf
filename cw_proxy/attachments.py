"""Images and documents that a client sends → parts of the model, the same in every protocol (rule 11).

In: URLs, base64 or bytes, a file's name, the place in the body. Out: parts, or InvalidValue with the place. Refuses to
know how protocols wrap them. What they are, their bytes say (media.py); an image elsewhere stays a link.
"""

from __future__ import annotations

from cw_proxy.errors import InvalidValue
from cw_proxy.media import Blob, document_format, image_format, is_data_url, read_base64, read_data_url
from cw_proxy.model import DocumentPart, ImageLink, ImagePart


def image_at(url: str, param: str) -> ImagePart | ImageLink:
    return image_of(blob(url, param).data, param) if is_data_url(url) else ImageLink(url, param)


def image_of(data: bytes, param: str) -> ImagePart:
    kind = image_format(data)
    if kind is None:
        raise InvalidValue("The data is no PNG, JPEG, GIF or WebP image.", param=param)
    return ImagePart(kind, data)


def file_of(given: Blob, name: str, param: str) -> ImagePart | DocumentPart:
    """A document, or an image that was sent as a file."""
    if (kind := image_format(given.data)) is not None:
        return ImagePart(kind, given.data)
    kind = document_format(given.data, name, given.media_type)
    if kind is None:
        known = "pdf, docx, xlsx, doc, xls, csv, html, md, txt"
        raise InvalidValue(f"The data is no document of a known format: {known}.", param=param)
    return DocumentPart(name or "document", kind, given.data)


def blob(said: str, param: str, media_type: str = "") -> Blob:
    """A data URL, or bare base64 of this media type."""
    try:
        return read_data_url(said) if is_data_url(said) else Blob(media_type, read_base64(said))
    except ValueError as fault:
        raise InvalidValue(str(fault), param=param) from None
