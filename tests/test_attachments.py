"""URLs and bytes go in; parts of the model come out, or the place of what is wrong."""

from __future__ import annotations

from base64 import b64encode

import pytest

from cw_proxy.attachments import blob, file_of, image_at, image_of
from cw_proxy.errors import InvalidValue
from cw_proxy.media import Blob
from cw_proxy.model import DocumentPart, ImageLink, ImagePart

GIF = b"GIF89a" + bytes(20)


def url(data: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{b64encode(data).decode()}"


def test_an_image_is_what_its_bytes_say() -> None:
    assert image_at(url(GIF), "p") == image_of(GIF, "p") == ImagePart("gif", GIF)


def test_an_image_elsewhere_stays_a_link() -> None:
    assert image_at("https://example.org/a.png", "p") == ImageLink("https://example.org/a.png", "p")


def test_a_file_is_a_document_or_an_image() -> None:
    assert file_of(Blob("", GIF), "a.pdf", "p") == ImagePart("gif", GIF)
    assert file_of(Blob("", b"%PDF-1.7"), "", "p") == DocumentPart("document", "pdf", b"%PDF-1.7")
    assert file_of(Blob("text/csv", b"a,b"), "x", "p") == DocumentPart("x", "csv", b"a,b")


def test_base64_may_stand_bare() -> None:
    assert blob(b64encode(b"a").decode(), "p", "text/plain") == Blob("text/plain", b"a")
    assert blob(url(b"a", "text/csv"), "p", "text/plain") == Blob("text/csv", b"a")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: image_at("data:image/png;base64,????", "p"),
        lambda: image_at(url(b"%PDF-1"), "p"),
        lambda: image_of(b"", "p"),
        lambda: file_of(Blob("", b"\0"), "x", "p"),
        lambda: blob("?", "p"),
    ],
)
def test_what_is_wrong_is_named_by_its_place(wrong: object) -> None:
    assert callable(wrong)
    with pytest.raises(InvalidValue) as raised:
        wrong()
    assert raised.value.param == "p"
