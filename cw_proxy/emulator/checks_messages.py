"""The fields of a user's and of an assistant's message.

In: one message. Out: nothing, or a Refusal raised. Refuses to know the messages around it. (upstream.md §1.3)
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence

from cw_proxy.emulator.checks_tools import check_tool_results, check_tool_uses, check_tools
from cw_proxy.emulator.fields import (
    Object,
    at,
    length,
    matching,
    one_of,
    optional_list,
    optional_object,
    optional_text,
    required_object,
    required_text,
)
from cw_proxy.emulator.loose import as_object
from cw_proxy.emulator.refusal import improper

_MOST_TEXT = 10_000_000
_MOST_BYTES = 10_000_000
_ORIGINS = frozenset(
    "AI_EDITOR CHATBOT CLI CONSOLE DOCUMENTATION GITLAB IDE INLINE_CHAT KIRO_CLI KIRO_WEB MARKETING MD MD_CE MD_IDE "  # noqa: SIM905 - a list of one-word names reads best as words
    "MOBILE OPENSEARCH_DASHBOARD Q_DEV_BEXT SAGE_MAKER SERVICE_INTERNAL SM_AI_STUDIO_IDE UNIFIED_SEARCH UNKNOWN".split()
)
_INTENTS = frozenset(
    "APPLY_COMMON_BEST_PRACTICES CITE_SOURCES CODE_GENERATION EXPLAIN_CODE_SELECTION EXPLAIN_LINE_BY_LINE "  # noqa: SIM905 - as above
    "GENERATE_CLOUDFORMATION_TEMPLATE GENERATE_UNIT_TESTS IMPROVE_CODE SHOW_EXAMPLES "
    "SUGGEST_ALTERNATE_IMPLEMENTATION".split()
)
_IMAGE_STARTS: Mapping[str, tuple[bytes, ...]] = {
    "png": (b"\x89PNG",),
    "jpeg": (b"\xff\xd8\xff",),
    "gif": (b"GIF87a", b"GIF89a"),
    "webp": (b"RIFF",),
}
_DOCUMENT_FORMATS = frozenset({"csv", "doc", "docx", "html", "md", "pdf", "txt", "xls", "xlsx"})
_SYSTEMS = frozenset({"macos", "linux", "windows"})


def check_user(message: Object, path: str, models: Sequence[str]) -> None:
    content = required_text(message, "content", path)
    length(content, 0, _MOST_TEXT, f"{path}.content")
    context = optional_object(message, "userInputMessageContext", path) or {}
    if not content.strip() and not context.get("toolResults"):
        raise improper(f"{path}.content is blank and there are no tool results")
    one_of(message, "origin", _ORIGINS, path)
    one_of(message, "userIntent", _INTENTS, path)
    _check_model(message, path, models)
    _check_images(message, path)
    _check_documents(message, path)
    _check_cache_point(message, path)
    _check_context(context, f"{path}.userInputMessageContext")


def _check_model(message: Object, path: str, models: Sequence[str]) -> None:
    named = optional_text(message, "modelId", path)
    if named is not None and named not in models:
        raise improper(f"{path}.modelId {named!r} is not listed", "INVALID_MODEL_ID")


def _check_images(message: Object, path: str) -> None:
    images = optional_list(message, "images", path)
    if len(images) > 10:
        raise improper(f"{path}.images has {len(images)} entries, at most 10 are allowed", "IMAGE_COUNT_EXCEEDED")
    for index, image in enumerate(images):
        where = f"{path}.images[{index}]"
        kind = required_text(as_object(image), "format", where)
        if kind not in _IMAGE_STARTS:
            raise improper(f"{where}.format is {kind!r}", "IMAGE_FORMAT_UNSUPPORTED")
        raw = _bytes_of(as_object(image), where, "IMAGE_SIZE_EXCEEDED")
        if not raw.startswith(_IMAGE_STARTS[kind]):
            raise improper(f"{where} is not a {kind}", "IMAGE_MIME_MISMATCH")


def _check_documents(message: Object, path: str) -> None:
    names: set[str] = set()
    for index, document in enumerate(optional_list(message, "documents", path)):
        where = f"{path}.documents[{index}]"
        name = required_text(as_object(document), "name", where)
        if name in names:
            raise improper(f"{where}.name {name!r} is taken", "DOCUMENT_DUPLICATE_NAME")
        names.add(name)
        required_text(as_object(document), "format", where)
        one_of(as_object(document), "format", _DOCUMENT_FORMATS, where)
        _bytes_of(as_object(document), where, "DOCUMENT_SIZE_EXCEEDED")


def _bytes_of(owner: Object, path: str, too_large: str) -> bytes:
    encoded = required_text(required_object(owner, "source", path), "bytes", f"{path}.source")
    try:
        raw = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as fault:
        raise improper(f"{path}.source.bytes is not base64") from fault
    if not raw:
        raise improper(f"{path}.source.bytes is empty")
    if len(raw) > _MOST_BYTES:
        raise improper(f"{path}.source.bytes holds {len(raw)} bytes", too_large)
    return raw


def _check_cache_point(message: Object, path: str) -> None:
    point = optional_object(message, "cachePoint", path)
    if point is not None and point.get("type") != "default":
        raise improper(f"{path}.cachePoint.type is not default")


def _check_context(context: Object, path: str) -> None:
    check_tools(optional_list(context, "tools", path), f"{path}.tools")
    check_tool_results(optional_list(context, "toolResults", path), f"{path}.toolResults")
    optional_list(context, "additionalContext", path, most=20)
    if (environment := optional_object(context, "envState", path)) is not None:
        _check_environment(environment, f"{path}.envState")
    editor = optional_object(context, "editorState", path) or {}
    optional_list(editor, "relevantDocuments", f"{path}.editorState", most=30)
    optional_list(editor, "workspaceFolders", f"{path}.editorState", most=100)


def _check_environment(environment: Object, path: str) -> None:
    one_of(environment, "operatingSystem", _SYSTEMS, path)
    matching(environment, "currentWorkingDirectory", r"(?s).+", path, most=256)
    optional_list(environment, "environmentVariables", path, most=100)
    offset = environment.get("timezoneOffset")
    if offset is not None and not (isinstance(offset, int) and -1440 <= offset <= 1440):
        raise improper(f"{at(path, 'timezoneOffset')} is {offset!r}")


def check_assistant(message: Object, path: str) -> None:
    length(required_text(message, "content", path), 0, _MOST_TEXT, f"{path}.content")
    length(optional_text(message, "messageId", path) or "", 0, 128, f"{path}.messageId")
    _check_cache_point(message, path)
    check_tool_uses(optional_list(message, "toolUses", path), f"{path}.toolUses")
