"""What bytes are, whatever they are called."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cw_proxy.media import Blob, document_format, image_format, is_data_url, read_base64, read_data_url

PNG = b"\x89PNG\r\n\x1a\n"
ZIP, OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (PNG, "png"),
        (b"\xff\xd8\xff\xe0JFIF", "jpeg"),
        (b"GIF89a..", "gif"),
        (b"GIF87a..", "gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "webp"),
        (b"RIFF\0\0\0\0WAVEfmt ", None),
        (b"\x89PNG", None),
        (b"BM", None),
        (b"", None),
        (b"<svg>", None),
    ],
)
def test_images(data: bytes, kind: str | None) -> None:
    assert image_format(data) == kind


@pytest.mark.parametrize(
    ("data", "name", "media_type", "kind"),
    [
        (b"%PDF-1.7", "", "", "pdf"),
        (b"%PDF-1.7", "a.txt", "text/plain", "pdf"),
        (b"text", "a.pdf", "", None),
        (ZIP + b"..word/document.xml", "", "", "docx"),
        (ZIP + b"..xl/workbook.xml", "a.bin", "", "xlsx"),
        (ZIP, "a.DOCX", "", "docx"),
        (ZIP, "a.zip", "application/zip", None),
        (b"text", "a.docx", "", None),
        (OLE, "a.doc", "", "doc"),
        (OLE, "", "application/vnd.ms-excel", "xls"),
        (OLE, "a.msi", "", None),
        (b"a,b", "a.csv", "", "csv"),
        (b"a,b", "", "text/csv", "csv"),
        (b"<p>", "a.htm", "", "html"),
        (b"# a", "a.markdown", "", "md"),
        (b"print()", "a.py", "text/x-python", "txt"),
        ("é".encode(), "", "", "txt"),
        (b"\xff\xfe", "a.txt", "", None),
        (b"a\0", "a.txt", "", None),
    ],
)
def test_documents(data: bytes, name: str, media_type: str, kind: str | None) -> None:
    assert document_format(data, name, media_type) == kind


@given(st.binary(min_size=1))
def test_base64_there_and_back(data: bytes) -> None:
    written = base64.b64encode(data).decode()
    assert read_base64(written) == data
    assert read_data_url(f"data:image/PNG;base64,{written}") == Blob("image/png", data)


@pytest.mark.parametrize("text", ["", "QQ", "QQ=", "QUJD=", "QQ===", "Q Q=", "QQ==\n", "Q-_=", "é", "=QQ=", "QQ==QQ=="])
def test_what_is_not_base64(text: str) -> None:
    with pytest.raises(ValueError, match=r"base64|no data"):
        read_base64(text)


@pytest.mark.parametrize("url", ["data:", "data:,a", "data:text/plain,QUJD", "data:;charset=utf-8,QUJD", "http://x/a"])
def test_what_is_no_data_url(url: str) -> None:
    with pytest.raises(ValueError, match="data URL"):
        read_data_url(url)


def test_data_urls_with_parameters_and_capitals() -> None:
    assert read_data_url("DATA:text/plain;charset=utf-8;BASE64,QUJD") == Blob("text/plain", b"ABC")
    assert is_data_url("DATA:x")
    assert not is_data_url("https://example.org/data:")
