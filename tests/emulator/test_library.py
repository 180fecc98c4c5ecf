"""Every ready-made script compiles, and together they show every event of the service."""

from __future__ import annotations

import pytest

from cw_proxy.emulator.library import SCRIPTS
from cw_proxy.emulator.script import Write, compile_script
from cw_proxy.wire.eventstream import FrameDecoder

EVENTS = (
    "messageMetadataEvent assistantResponseEvent reasoningContentEvent toolUseEvent toolResultEvent codeReferenceEvent "
    "supplementaryWebLinksEvent followupPromptEvent citationEvent documentCitationEvent metadataEvent meteringEvent "
    "contextUsageEvent codeEvent intentsEvent invalidStateEvent dryRunSucceedEvent"
)


@pytest.mark.parametrize("name", SCRIPTS)
def test_compiles(name: str) -> None:
    plan = compile_script(SCRIPTS[name])
    assert plan.refusal or plan.actions or name in ("empty", "tail-only")


def test_all_events() -> None:
    actions = compile_script(SCRIPTS["all-events"]).actions
    frames = FrameDecoder().feed(b"".join(action.data for action in actions if isinstance(action, Write)))
    assert {frame.headers[":event-type"] for frame in frames} == set(EVENTS.split())
