"""Images that a request only names: fetched, where that is allowed, before anybody is asked.

In: a Request, a source of bytes. Out: the Request with the images in it, or InvalidValue with the image's place.
Refuses to know how bytes are fetched and from where they may be.
"""

from __future__ import annotations

import asyncio

import msgspec

from cw_proxy.errors import InvalidValue
from cw_proxy.interfaces import ImageSource
from cw_proxy.media import image_format
from cw_proxy.model import ImageLink, ImagePart, Message, Part, Request

MAX_LINKS = 20


async def with_images(request: Request, fetch: ImageSource | None) -> Request:
    """Each URL is fetched once, however often it stands in the chat."""
    links = {part.url: part for message in request.messages for part in message.parts if isinstance(part, ImageLink)}
    if not links:
        return request
    if fetch is None:
        raise InvalidValue(
            "Images come as data URLs: fetching them from elsewhere is not enabled (setting fetch_images).",
            param=next(iter(links.values())).param,
        )
    if len(links) > MAX_LINKS:
        param = list(links.values())[MAX_LINKS].param
        raise InvalidValue(f"At most {MAX_LINKS} images are fetched for one request.", param=param)
    tasks = {url: asyncio.ensure_future(_fetched(link, fetch)) for url, link in links.items()}
    try:
        await asyncio.gather(*tasks.values())
    finally:
        # The first that fails, or a client that leaves, ends them all.
        for task in tasks.values():
            task.cancel()
    images = {url: task.result() for url, task in tasks.items()}
    return msgspec.structs.replace(request, messages=tuple(_filled(message, images) for message in request.messages))


async def _fetched(link: ImageLink, fetch: ImageSource) -> ImagePart:
    data = await fetch(link.url, link.param)
    kind = image_format(data)
    if kind is None:
        raise InvalidValue("What the URL leads to is no PNG, JPEG, GIF or WebP image.", param=link.param)
    return ImagePart(kind, data)


def _filled(message: Message, images: dict[str, ImagePart]) -> Message:
    parts: list[Part] = [images[part.url] if isinstance(part, ImageLink) else part for part in message.parts]
    return msgspec.structs.replace(message, parts=tuple(parts))
