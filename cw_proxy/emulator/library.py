"""The ready-made scripts, by name: every way in which an answer can go right or wrong.

In: nothing. Out: scripts, as the JSON that script.py reads. Refuses to know anything else.
"""

from __future__ import annotations

from typing import Any

Script = list[dict[str, Any]]

_TAIL: Script = [
    {"event": "contextUsageEvent", "payload": {"contextUsagePercentage": 1.25}},
    {"event": "meteringEvent", "payload": {"usage": 0.0123, "unit": "credit", "unitPlural": "credits"}},
    {
        "event": "metadataEvent",
        "payload": {
            "tokenUsage": {
                "uncachedInputTokens": 10,
                "outputTokens": 5,
                "totalTokens": 15,
                "cacheReadInputTokens": 0,
                "cacheWriteInputTokens": 0,
                "contextUsagePercentage": 1.25,
                "normalizedTokenUsage": 0.5,
            }
        },
    },
    {"tail": False},
]
_REFERENCE = {
    "licenseName": "MIT",
    "repository": "example/project",
    "url": "https://example.com/project",
    "recommendationContentSpan": {"start": 0, "end": 5},
}
_WEATHER = {"toolUseId": "tooluse_weather", "name": "get_weather"}
_TIME = {"toolUseId": "tooluse_time", "name": "get_time"}


def _event(name: str, /, **payload: Any) -> dict[str, Any]:
    return {"event": name, "payload": payload}


def _tool(use: dict[str, str], **payload: Any) -> dict[str, Any]:
    return _event("toolUseEvent", **use, **payload)


_REASONING: Script = [
    _event("reasoningContentEvent", text="Let me "),
    _event("reasoningContentEvent", text="think."),
    _event("reasoningContentEvent", signature="c2lnbmF0dXJl"),
    _event("reasoningContentEvent", redactedContent="AAFzZWNyZXQ="),
]
_ALL_EVENTS: Script = [
    _event("messageMetadataEvent", conversationId="conversation-1", utteranceId="utterance-1"),
    *_REASONING,
    _event("assistantResponseEvent", content="Hel", modelId="claude-sonnet-4.5"),
    _event("assistantResponseEvent", content="lo é😀"),
    _event("codeReferenceEvent", references=[_REFERENCE]),
    _event(
        "supplementaryWebLinksEvent",
        supplementaryWebLinks=[{"url": "https://example.com/a", "title": "A page", "snippet": "about it"}],
    ),
    _event("citationEvent", target={"location": 3}, citationText="Hello", citationLink="https://example.com/c"),
    _event(
        "documentCitationEvent",
        source="guide.pdf",
        title="Guide",
        location={"documentPage": {"documentIndex": 0, "start": 1, "end": 2}},
        sourceContent=[{"text": "quoted"}],
    ),
    _event("codeEvent", content="print(1)"),
    _event("intentsEvent", intents={"SUPPORT": {"k": {"string": "v"}}}),
    _event(
        "toolResultEvent",
        toolResult={"toolUseId": "tooluse_server", "content": [{"text": "42"}], "status": "success"},
    ),
    _event("invalidStateEvent", reason="INVALID_TASK_ASSIST_PLAN", message="not a plan"),
    _event("dryRunSucceedEvent"),
    _event("followupPromptEvent", followupPrompt={"content": "And then?", "userIntent": "SHOW_EXAMPLES"}),
    {"tool": _WEATHER, "fragments": ['{"city": "Pa', "ris \\u00", 'e9"}']},
    *_TAIL,
]

SCRIPTS: dict[str, Script] = {
    # Answers as they should be
    "all-events": _ALL_EVENTS,
    "text": [{"text": "Hello from a script, é and 😀 included."}, *_TAIL],
    "reasoning": [*_REASONING, {"text": "Done."}, *_TAIL],
    "tool": [{"text": "Let me check. "}, {"tool": _WEATHER, "fragments": ['{"city"', ': "Par', 'is"}']}, *_TAIL],
    "tool-empty-input": [{"tool": _TIME, "fragments": []}],
    "tools-identical": [
        {"tool": {**_WEATHER, "toolUseId": "tooluse_a"}, "fragments": ['{"city": "Paris"}']},
        {"tool": {**_WEATHER, "toolUseId": "tooluse_b"}, "fragments": ['{"city": "Paris"}']},
    ],
    "tools-interleaved": [
        _tool(_WEATHER),
        _tool(_TIME),
        _tool(_WEATHER, input='{"city": '),
        _tool(_TIME, input='{"zone": "C'),
        _tool(_WEATHER, input='"Paris"}'),
        _tool(_WEATHER, stop=True),
        _tool(_TIME, input='ET"}'),
        _tool(_TIME, stop=True),
    ],
    "one-byte-chunks": [{"chunk": 1}, {"text": "Every byte alone, é and 😀."}],
    "slow": [{"text": "First. "}, {"delay": 0.3}, {"text": "Second."}],
    "long": [{"repeat": 2000, "steps": [_event("assistantResponseEvent", content="lorem ipsum ")]}],
    "unknown-event": [{"text": "a"}, _event("eventOfTomorrow", x=1), {"text": "b"}],
    "unknown-fields": [_event("assistantResponseEvent", content="a", fieldOfTomorrow={"x": [1]})],
    "no-content-type": [{"event": "assistantResponseEvent", "payload": {"content": "a"}, "content_type": None}],
    "repeated-deltas": [_event("assistantResponseEvent", content="ha")] * 3,
    "stop-reason-length": [{"text": "Cut off by the li"}, _event("metadataEvent", stopReason="MAX_TOKENS"), *_TAIL],
    "code-reference": [
        _event("assistantResponseEvent", content="def f(): ..."),
        _event("codeReferenceEvent", references=[_REFERENCE]),
    ],
    "initial-response": [
        {"event": "initial-response", "payload": {"conversationId": "c"}, "content_type": "application/x-amz-json-1.0"},
        {"text": "After the initial response."},
    ],
    # Answers that end too early, or wrong
    "empty": [{"tail": False}],
    "tail-only": [],
    "no-tail": [{"text": "No tail comes."}, {"tail": False}],
    "tool-without-stop": [{"tool": _WEATHER, "fragments": ['{"city": "Pa'], "stop": False}, {"tail": False}],
    "tool-bad-json": [{"tool": _WEATHER, "fragments": ['{"city": "Pa', "ris"]}],
    "bad-payload": [{"text": "a"}, {"event": "assistantResponseEvent", "body": '{"content": '}],
    "cut-in-frame": [{"text": "Before the cut. "}, {"cut": 20}, {"text": "lost"}],
    "abort-in-frame": [{"text": "Before the abort. "}, {"cut": 20, "abort": True}, {"text": "lost"}],
    "drop": [{"text": "Before the drop. "}, {"drop": True}],
    "reset": [{"text": "Before the reset. "}, {"reset": True}],
    "crc-flip": [{"text": "Before. "}, {"flip_crc": True}, {"text": "wrong"}],
    "hang": [{"text": "Then nothing. "}, {"hang": True}],
    "hang-at-once": [{"hang": True}],
    "exception": [
        {"text": "partial"},
        {"exception": "error", "payload": {"message": "boom", "reason": "MODEL_TEMPORARILY_UNAVAILABLE"}},
    ],
    "exception-first": [
        {"exception": "error", "payload": {"message": "boom", "reason": "MODEL_TEMPORARILY_UNAVAILABLE"}}
    ],
    "exception-unmodeled": [
        {"text": "partial"},
        {"exception": "throttlingException", "payload": {"message": "slow", "reason": "INSUFFICIENT_MODEL_CAPACITY"}},
    ],
    "error-frame": [{"text": "partial"}, {"error": ["InternalFailure", "oops"]}],
    # Errors instead of a stream
    "throttled": [{"status": 429, "error": "ThrottlingException", "message": "Too many requests."}],
    "no-capacity": [
        {
            "status": 429,
            "error": "ThrottlingException",
            "reason": "INSUFFICIENT_MODEL_CAPACITY",
            "message": "The model is at capacity.",
        }
    ],
    "quota": [
        {
            "status": 402,
            "error": "ServiceQuotaExceededException",
            "reason": "MONTHLY_REQUEST_COUNT",
            "message": "You have reached the limit for this month.",
        }
    ],
    "quota-as-throttling": [
        {
            "status": 429,
            "error": "ThrottlingException",
            "reason": "MONTHLY_REQUEST_COUNT",
            "message": "You have reached the limit for this month.",
        }
    ],
    "too-long": [
        {
            "status": 400,
            "error": "ValidationException",
            "reason": "CONTENT_LENGTH_EXCEEDS_THRESHOLD",
            "message": "Input is too long.",
        }
    ],
    "feature-not-supported": [
        {
            "status": 403,
            "error": "AccessDeniedException",
            "reason": "FEATURE_NOT_SUPPORTED",
            "message": "This feature is not available for your account.",
        }
    ],
    "server-error": [{"status": 500, "error": "InternalServerException", "message": "An unexpected error."}],
    "unavailable": [{"status": 503, "error": "ServiceUnavailableException", "message": "Try again later."}],
}
