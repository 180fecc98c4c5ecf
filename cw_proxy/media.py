"""Images and documents by what they are, not by what they are called.

In: data URLs, bytes, file names. Out: bytes, and one of the formats that models know. Refuses to know who sent them
and where they stand. Nothing is fetched: a URL that is no data URL is not for this file.
"""

from __future__ import annotations

import base64
import binascii
import re

import msgspec

_DATA_URL = re.compile(r"data:([^,;]*)((?:;[^,;]*)*),", re.IGNORECASE)
_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_IN_ZIP = {"docx": b"word/", "xlsx": b"xl/"}
_IN_OLE = ("doc", "xls")
_BY_EXTENSION = {
    **{name: name for name in ("csv", "doc", "docx", "html", "md", "pdf", "txt", "xls", "xlsx")},
    "htm": "html",
    "markdown": "md",
}
_BY_MEDIA_TYPE = {
    "application/msword": "doc",
    "application/pdf": "pdf",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "text/csv": "csv",
    "text/html": "html",
    "text/markdown": "md",
    "text/plain": "txt",
}
_TEXTS = ("csv", "html", "md", "txt")


class Blob(msgspec.Struct, frozen=True):
    media_type: str
    data: bytes


def is_data_url(url: str) -> bool:
    return url[:5].lower() == "data:"


def read_data_url(url: str) -> Blob:
    """Raises ValueError with a sentence."""
    head = _DATA_URL.match(url)
    if head is None or not head[2].lower().endswith(";base64"):
        raise ValueError("This is not a data URL with base64 data.")
    return Blob(head[1].lower(), read_base64(url[head.end() :]))


def read_base64(text: str) -> bytes:
    """Strictly: no other letters, no missing or extra padding (rule 11). Raises ValueError with a sentence."""
    try:
        data = base64.b64decode(text, validate=True) if len(text) % 4 == 0 else None
    except (binascii.Error, ValueError):
        data = None
    if data is None:
        raise ValueError("The data is not valid base64.")
    if not data:
        raise ValueError("There is no data.")
    return data


def image_format(data: bytes) -> str | None:
    """png, jpeg, gif or webp by the first bytes; None for anything else."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    return "webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def document_format(data: bytes, name: str, media_type: str) -> str | None:
    """By the first bytes where the format has some, else by name and media type; any other text is txt."""
    named = _BY_EXTENSION.get(name.rpartition(".")[2].lower()) or _BY_MEDIA_TYPE.get(media_type)
    if data.startswith(b"%PDF-"):
        return "pdf"
    if data.startswith(_ZIP):
        return next((kind for kind, folder in _IN_ZIP.items() if named == kind or folder in data), None)
    if data.startswith(_OLE):
        return named if named in _IN_OLE else None
    if not _is_text(data):
        return None
    if named is None:
        return "txt"
    return named if named in _TEXTS else None


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return b"\0" not in data
