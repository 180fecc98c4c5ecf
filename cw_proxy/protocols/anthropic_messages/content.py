"""Content blocks → parts of the model: texts, images, documents, calls and their results.

In: a string or a list of blocks, whose turn it is, and its JSON path. Out: parts. Refuses to know parameters.

Thinking of earlier turns is left out: the service has no place for it. What Anthropic's servers did in earlier turns
(searches, code) is told as text, so that the chat stays whole.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from cw_proxy.attachments import blob, file_of, image_at, image_of
from cw_proxy.errors import InvalidValue, ProxyError, UnsupportedParameter
from cw_proxy.media import Blob
from cw_proxy.model import Part, Role, TextPart, ToolResultPart, ToolUsePart
from cw_proxy.protocols.anthropic_messages import shapes

Reader = Callable[[shapes.Block, str], tuple[Part, ...]]


def read_content(said: str | list[shapes.Block], path: str, role: Role) -> tuple[Part, ...]:
    """Raises InvalidValue or UnsupportedParameter, with the block's path."""
    if isinstance(said, str):
        return (TextPart(said),)
    return tuple(part for at, block in enumerate(said) for part in _parts(block, f"{path}[{at}]", role))


def _parts(block: shapes.Block, path: str, role: Role) -> tuple[Part, ...]:
    if role not in _STAND_WITH.get(block.type, (role,)):
        raise InvalidValue(f"A block of type {block.type!r} does not stand in a {role} turn.", param=f"{path}.type")
    reader = _READERS.get(block.type) or (_server_block if _is_servers(block.type) else None)
    if reader is None:
        raise InvalidValue(f"Blocks of type {block.type[:40]!r} are not supported here.", param=f"{path}.type")
    return reader(block, path)


# --- texts ------------------------------------------------------------------------------------------------


def _text(block: shapes.Block, path: str) -> tuple[Part, ...]:
    if block.text is None:
        raise _missing("text", path)
    return (TextPart(block.text),)


def _nothing(block: shapes.Block, path: str) -> tuple[Part, ...]:
    return ()


def _summary(block: shapes.Block, path: str) -> tuple[Part, ...]:
    """What a compaction made of the turns before it."""
    return (TextPart(block.content),) if isinstance(block.content, str) else ()


def _tool_reference(block: shapes.Block, path: str) -> tuple[Part, ...]:
    """Every tool is offered all the time: a search has found what is there already."""
    return (TextPart(f"The tool {block.tool_name} is available."),)


def _search_result(block: shapes.Block, path: str) -> tuple[Part, ...]:
    source = block.source if isinstance(block.source, str) else None
    return _joined(block.title, source, _gist(block.content))


def _is_servers(kind: str) -> bool:
    return kind in ("server_tool_use", "mcp_tool_use") or kind.endswith("_tool_result")


def _server_block(block: shapes.Block, path: str) -> tuple[Part, ...]:
    said = _gist(block.input) if block.content is None else _gist(block.content)
    return (TextPart(f"[{block.name or block.type}] {said}"),)


def _gist(content: str | list[shapes.Block] | dict[str, object] | None) -> str:
    if isinstance(content, list):
        return "\n".join(" ".join(filter(None, (one.title, one.url, one.text))) for one in content)
    if isinstance(content, dict):
        return msgspec.json.encode(content).decode()
    return content or ""


def _joined(*texts: str | None) -> tuple[Part, ...]:
    text = "\n\n".join(filter(None, texts))
    return (TextPart(text),) if text else ()


# --- images and documents ---------------------------------------------------------------------------------


def _image(block: shapes.Block, path: str) -> tuple[Part, ...]:
    source = _source(block, path)
    if source.type == "url" and source.url is not None:
        return (image_at(source.url, f"{path}.source.url"),)
    if source.type != "base64":
        raise _unsupported_source(source, path)
    return (image_of(_data(source, path).data, f"{path}.source.data"),)


def _document(block: shapes.Block, path: str) -> tuple[Part, ...]:
    source = _source(block, path)
    if source.type == "text":
        return _joined(block.title, block.context, source.data)
    if source.type == "content":
        return (
            *_joined(block.title, block.context),
            *read_content(source.content or [], f"{path}.source.content", "user"),
        )
    if source.type != "base64":
        raise _unsupported_source(source, path)
    return (*_joined(block.context), file_of(_data(source, path), block.title or "", f"{path}.source.data"))


def _source(block: shapes.Block, path: str) -> shapes.Source:
    if not isinstance(block.source, shapes.Source):
        raise _missing("source", path)
    return block.source


def _data(source: shapes.Source, path: str) -> Blob:
    return blob(source.data or "", f"{path}.source.data", source.media_type or "")


def _unsupported_source(source: shapes.Source, path: str) -> ProxyError:
    advice = "send the data as base64"
    return UnsupportedParameter(
        f"Sources of type {source.type[:40]!r} are not supported here: {advice}.", param=f"{path}.source.type"
    )


# --- calls ------------------------------------------------------------------------------------------------


def _tool_use(block: shapes.Block, path: str) -> tuple[Part, ...]:
    if block.id is None:
        raise _missing("id", path)
    if block.name is None:
        raise _missing("name", path)
    return (ToolUsePart(block.id, block.name, block.input or {}),)


def _tool_result(block: shapes.Block, path: str) -> tuple[Part, ...]:
    """A tool's result, and what it holds beside text, which the service takes in the user's turn only."""
    if block.tool_use_id is None:
        raise _missing("tool_use_id", path)
    said = block.content
    if isinstance(said, dict):
        raise InvalidValue("A result is a text or a list of blocks.", param=f"{path}.content")
    parts = read_content(said or [], f"{path}.content", "user")
    texts = [part.text for part in parts if isinstance(part, TextPart)]
    # Rule 17: texts are joined, never glued.
    result = ToolResultPart(block.tool_use_id, "\n\n".join(texts), bool(block.is_error))
    return (result, *(part for part in parts if not isinstance(part, TextPart)))


def _missing(member: str, path: str) -> InvalidValue:
    return InvalidValue(f"This block has no {member!r}.", param=f"{path}.{member}")


_READERS: dict[str, Reader] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "search_result": _search_result,
    "tool_use": _tool_use,
    "tool_result": _tool_result,
    "tool_reference": _tool_reference,
    "compaction": _summary,
    "thinking": _nothing,
    "redacted_thinking": _nothing,
    "fallback": _nothing,
}
# Blocks that only some turns may hold; the others may stand anywhere.
_STAND_WITH: dict[str, tuple[Role, ...]] = {
    "image": ("user",),
    "document": ("user",),
    "tool_use": ("assistant",),
    "tool_result": ("user",),
}
