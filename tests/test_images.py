"""Requests and a source of bytes go in; requests with their images come out."""

from __future__ import annotations

import pytest
from strategies import request, say

from cw_proxy.errors import InvalidValue
from cw_proxy.images import MAX_LINKS, with_images
from cw_proxy.model import ImageLink, ImagePart, Message, Request, TextPart

GIF = b"GIF89a" + bytes(20)


class Source:
    def __init__(self, **found: bytes) -> None:
        self.found = found
        self.asked: list[str] = []

    async def __call__(self, url: str, param: str) -> bytes:
        self.asked.append(url)
        if url not in self.found:
            raise InvalidValue("Not there.", param=param)
        return self.found[url]


def linking(*urls: str) -> Request:
    parts = (TextPart("Look."), *(ImageLink(url, f"messages[0].content[{at + 1}]") for at, url in enumerate(urls)))
    return request(Message("user", parts), say("user", "And?"))


async def test_images_take_the_place_of_links() -> None:
    source = Source(a=GIF)
    filled = await with_images(linking("a", "a"), source)
    image = ImagePart("gif", GIF)
    assert filled.messages == (Message("user", (TextPart("Look."), image, image)), say("user", "And?"))
    assert source.asked == ["a"]


async def test_a_request_without_links_needs_nothing() -> None:
    asked = request(say("user", "hello"))
    assert await with_images(asked, None) is asked


@pytest.mark.parametrize(
    ("asked", "source", "place"),
    [
        (linking("a"), None, 1),
        (linking("a", "b"), Source(a=GIF), 2),
        (linking("a"), Source(a=b"<html>"), 1),
        (linking("a"), Source(a=b""), 1),
        (linking(*map(str, range(MAX_LINKS + 1))), Source(), MAX_LINKS + 1),
    ],
)
async def test_what_cannot_be_had_is_refused_with_its_place(asked: Request, source: Source | None, place: int) -> None:
    with pytest.raises(InvalidValue) as raised:
        await with_images(asked, source)
    assert raised.value.param == f"messages[0].content[{place}]"
