"""What the reference says and the code cannot: when, why, what for. Each key is checked against the code."""

from __future__ import annotations

EXIT_CODES = {
    0: "done",
    1: "failure; also every error that is not named below",
    2: "wrong use: an unknown option, a wrong setting, an address that cannot be had",
    3: "files in the home folder that cannot be read or written",
    4: "no login, or a login that the service does not accept",
    5: "the service cannot be reached, failed, or has no quota left",
    6: "the NATS server cannot be reached, or the connection to it is gone for good",
    7: "the NATS server and we do not accept each other: an nkey, a certificate, a permission",
}

ENDPOINTS = {
    "/v1/chat/completions": "One chat completion, streamed or whole. See [chat completions](chat-completions.md).",
    "/v1/responses": "One response, streamed or whole; GET opens a WebSocket. See [responses](responses.md).",
    "/v1/responses/{id}": "A kept response; counting tokens. See [responses](responses.md#kept-responses).",
    "/v1/completions": "The older API: one prompt, no roles. See [completions](completions.md).",
    "/v1/messages": "One message in Anthropic's API, streamed or whole. See [messages](messages.md).",
    "/v1/messages/count_tokens": "An estimate of a prompt's tokens. See [messages](messages.md#counting-tokens).",
    "/v1/models": "The names a client may use: `codewhisperer`, the service's own ids, your aliases.",
    "/v1/models/{id}": "The same for one name; 404 `model_not_found` with near names if there is none.",
    "/ws": "A WebSocket that answers prompts in plain text; only with `prompt_socket`. See "
    "[the prompt socket](../how-to/prompt-socket.md).",
    "/api/completions": "A whole answer of the simple API; only with `simple_api`. See "
    "[the simple API](../how-to/simple-api.md).",
    "/api/completions/stream": "The same, streamed.",
    "/api/health": "The same as `/health/ready`; only with `simple_api`.",
    "/metrics": "With the setting `metrics`: numbers for Prometheus. Wants a client key where one is demanded.",
    "/health": 'Always `{"status":"ok"}`. Needs no client key and asks nothing of the service.',
    "/health/live": "The same.",
    "/health/ready": '`{"status":"ok"}`, or 503 `{"status":"draining"}` between SIGTERM and the end.',
}

# Classes that no HTTP client ever sees: they end a command; a parent only.
NEVER_SENT = {"ConfigError", "NatsRefused", "NatsUnavailable", "UpstreamError"}

ERRORS = {
    "ProxyError": "A fault of the proxy. The log has more under the request id.",
    "InvalidRequest": "There is no text to answer, or the bytes are not HTTP.",
    "InvalidJson": "The body is not JSON, not UTF-8, or nested too deep.",
    "InvalidValue": "A field has the wrong type or a value that is not taken; `param` is its path.",
    "UnsupportedParameter": "A parameter asks for something that does not exist here; `param` names it.",
    "UpstreamRejected": "The service calls the request invalid. `code` is its reason in lower case, if it gives one.",
    "ContextLengthExceeded": "The chat is longer than the model's window, or the body larger than `max_payload_bytes`.",
    "UpstreamProfileRequired": "The service wants a profile, and none was found for this account.",
    "InvalidApiKey": "`api_keys` is set, and the client's key is missing or wrong. Carries `WWW-Authenticate`.",
    "OriginRefused": "A web page of an origin that is not listed in `cors_origins`.",
    "NotFound": "Nothing is served at this path. The message lists what is.",
    "ModelNotFound": "Neither a model of the service nor an alias. The message names near ones.",
    "MethodNotAllowed": "The path exists, the method does not. Carries `Allow`.",
    "RequestTimeout": "The body took longer than `read_timeout`.",
    "RequestTooLarge": "The body is larger than `max_body_bytes`.",
    "UnsupportedMediaType": "The body is not `application/json`, or it is compressed.",
    "HostRefused": "The `Host` header names a server that this is not. See `allowed_hosts`.",
    "UpgradeRequired": "There is only a WebSocket at this path.",
    "SocketLimit": "A WebSocket has all the turns, lanes or time it may have (`websocket_stream_limit_reached`, "
    "`websocket_connection_limit_reached`).",
    "UnsupportedEndpoint": "OpenAI has something at this path, the service has not: embeddings, audio, images.",
    "LoginRequired": "Nobody is signed in, or the sign-in has ended. The message names the command to run.",
    "UpstreamAccessDenied": "The service denies this account. The message is the service's own.",
    "UpstreamTokenRefused": "The service still denies access after one refresh of the token, and gives no reason.",
    "RateLimited": "The service throttles. Carries `Retry-After` and `retry-after-ms`.",
    "TooManyRequests": "The client has sent `rate_limit_max` requests in a window. Carries `Retry-After` and "
    "`x-ratelimit-*`.",
    "ConcurrencyLimited": "The client has `max_streams_per_key` requests under way. Carries `Retry-After`.",
    "InsufficientQuota": "The account's quota at the service is used up. Waiting some seconds does not help.",
    "UpstreamUnavailable": "The service cannot be reached, or failed with a 5xx. Tried three times before you see it.",
    "UpstreamTls": "The service's certificate or handshake was not accepted.",
    "UpstreamProtocol": "The service sent bytes that its contract does not have.",
    "UpstreamTruncated": "The answer stopped before its end, or came damaged.",
    "DemandUnmet": "The model did not call a tool, or did not answer with the JSON asked for, in two tries: "
    "`tool_choice_unmet`, `invalid_structured_output`. On the prompt socket `no_bracketed_value`, `answer_incomplete`.",
    "EmptyUpstreamResponse": "The service ended its answer without any content. Tried twice before you see it.",
    "UpstreamTimeout": "The service was silent for `stall_timeout`, or an answer took longer than `request_timeout`.",
    "TimeIsUp": "On Lambda: the answer would not be complete within the function's timeout.",
    "AnswerTooLarge": "On Lambda: an answer in one piece has more than 6 MB, or headers of more than 16 KB.",
    "ShuttingDown": "SIGTERM has come: open streams end, new requests are refused. Carries `Retry-After`.",
    "Overloaded": "`max_streams` requests are being answered. Carries `Retry-After`.",
    "BrokenState": "The login's files cannot be read or written. The message names the file.",
    "OrderViolation": "A bug: events came in an order that [the table](events.md) does not have.",
}

PARAMETERS = {
    "model": "See [models](#models).",
    "messages": "Roles `system`, `developer`, `user`, `assistant`, `tool`. See [messages](#messages).",
    "stream": "`true` streams server-sent events.",
    "stream_options": "`include_usage: true` puts `usage` on a last chunk of its own.",
    "stop": "At most four. Found by the proxy, also across deltas; the call to the service is then broken off.",
    "prompt_cache_key": "Names the conversation, unless a header does. See [conversations](#conversations).",
    "n": "Answers, each a call of its own; at most `max_choices`. See [several answers](#several-answers).",
    "max_tokens": "The older name of `max_completion_tokens`.",
    "max_completion_tokens": "See [length](#length).",
    "response_format": "`text`, `json_object`, `json_schema`. See [structured output](#structured-output).",
    "reasoning_effort": "Passed on where the model takes it; else named in `x-cw-proxy-ignored`.",
    "parallel_tool_calls": "With `false` the first call comes out, and no other. See [tools](#tools).",
    "logprobs": "Only `false`.",
    "top_logprobs": "Only 0.",
    "modalities": 'Only `["text"]`.',
    "audio": "",
    "tools": "Functions, with any name and any schema of an object. See [tools](#tools).",
    "tool_choice": "`auto`, `none`, `required`, a tool, or `allowed_tools`. See [tools](#tools).",
    "functions": "The older form of `tools`. An empty list is taken.",
    "function_call": "The older form of `tool_choice`.",
}

ADDED_TEXTS = {
    "ACKNOWLEDGEMENT": "As the assistant's answer to the system text, which is sent as the first user turn.",
    "NO_TEXT": "As a turn that has no text, and as the first user turn when the chat begins with the assistant.",
    "CALLING": "As an assistant turn that calls tools and says nothing.",
    "CONTINUE": "As the last user turn when the chat ends with the assistant.",
    "GO_ON": "As the assistant's turn between the parts of a message with more than ten images.",
    "IMAGES": "At the beginning of each of these parts, with its numbers.",
    "CANCELLED": "As the result of a call that has none, with the status `error`.",
    "STUB": "As the description of a tool that the history names and the request does not offer.",
    "SHORTENED": "At the end of a tool's description that is too long; the whole stands in the system text.",
    "NO_OUTPUT": "As a tool's result that has no text.",
    "CALL_ONE": "At the end of the current turn, when `tool_choice` leaves one tool to call.",
    "CALL_ANY": "The same, when it leaves several.",
    "JSON_OBJECT": "At the end of the current turn, for `json_object`.",
    "JSON_SCHEMA": "At the end of the current turn, for `json_schema`; the schema follows.",
    "CALL_AGAIN": "As the next user turn, when the model called no tool though it had to.",
    "JSON_AGAIN": "As the next user turn, when the answer was not the JSON asked for.",
}

EVENTS = {
    "Begin": "The service has begun to answer; its conversation id, if it names one.",
    "Fail": "The answer ended with an error.",
    "Text": "A piece of text.",
    "Thought": "A piece of reasoning, its signature, or an opaque block.",
    "Note": "What comes beside the text: code references, web links, citations, follow-ups.",
    "Usage": "Tokens, per cent of the window, credits. Later numbers overrule earlier ones.",
    "ToolOpen": "A tool call begins.",
    "End": "The answer is whole.",
    "ToolInput": "A piece of the call's JSON text.",
    "ToolClose": "The call is whole, and its text is a JSON object.",
}

CONTROL = {
    ("GET", "/_emulator/stats"): "Counters, and the last request; the bearer token is masked.",
    ("GET", "/_emulator/settings"): "The switches as they are.",
    ("POST", "/_emulator/settings"): "Changes the switches named in a JSON object; answers all of them.",
    ("POST", "/_emulator/expire"): "Expires every access token.",
    ("GET", "/_emulator/scripts"): "The names of the scripts.",
    ("POST", "/_emulator/scripts/{name}"): "Adds or replaces a script: a JSON list of steps, checked at once.",
    ("POST", "/_emulator/reset"): "Switches, counters and scripts as at the start. Sign-ins stay.",
}

SWITCHES = {
    "auto_approve": "Approve sign-ins without the page.",
    "strict_tokens": "Accept only tokens that this emulator has issued.",
    "token_lifetime": "Seconds an access token lives.",
    "registration_lifetime": "Seconds a client registration lives.",
    "device_interval": "Seconds between two polls during a sign-in.",
    "device_lifetime": "Seconds a sign-in's code lives.",
    "next_token_errors": "Errors for the next token calls, one each, such as `slow_down` or `invalid_grant`.",
    "omit_refresh_token": "Refresh without a new refresh token.",
    "piece_size": "Characters of one text event.",
    "fragment_size": "Characters of one piece of a tool call's input.",
    "piece_delay": "Seconds before each event.",
    "message_metadata": "Begin with a `messageMetadataEvent`.",
    "tail": "End with `contextUsageEvent` and `meteringEvent`.",
    "token_usage": "Count tokens in a last `metadataEvent`.",
    "stop_reason": "Name the stop reason in a last `metadataEvent`.",
    "initial_response": "In the awsJson1.0 form, begin with an `initial-response` frame.",
    "default_script": "Play this script when the user's text names none.",
    "check_requests": "Check requests by the service's rules.",
    "overflow_threshold": "Characters of a chat above which it is too long.",
    "profile_arn_required": "Insist on a profile ARN.",
    "feature_not_supported": "Deny every call with the reason `FEATURE_NOT_SUPPORTED`.",
    "models": "The ids of the models.",
    "profiles": "How many profiles the account has.",
    "openai_models": "The ids of the OpenAI upstream's models.",
}

# Kind of sentence → an example, and what the emulator answers.
SENTENCES = {
    "count": ("count from 1 to 5", "`1 2 3 4 5`"),
    "say": ("reply with exactly the token PONG", "`PONG`"),
    "reverse": ("reply with the reversed token abc", "`cba`"),
    "json": ('answer with the json {"a": 1}', '`{"a":1}`'),
    "recall": ("list every remembered token", "the tokens of all user turns that said `remember the token X`"),
    "system": ("state the system token", "the token of a turn that said `the system token is X`"),
    "fault": ("fault 503 times 1 id A", "an error of that status, so many times for this id; then `recovered-A`"),
    "break": ("break the stream after 3 pieces by drop", "the rest of the answer breaks off (`drop`, or `error`)"),
    "image": ("describe the attached image", "number, format, size and digest of the images"),
    "weather": ("what is the weather in Paris", "a call of the weather tool"),
    "create": ("create file a.txt with content x", "a call of a tool that writes files"),
    "read": ("read file a.txt and repeat its content", "a call of a tool that reads files"),
    "run": ("run command `ls` and repeat its output", "a call of a tool that runs commands"),
    "call": ('call tool get_time with {"zone": "UTC"}', "a call of that tool"),
}
