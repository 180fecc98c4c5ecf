"""An error for clients who are to learn nothing of what stands behind the server.

In: any error. Out: one of the same status, type and retry advice in our own words; what the original said is logged
for the operator. Refuses to know protocols.

An upstream's words name its models and its account, and may repeat the system prompt. What a client itself did wrong it
is told as it is.
"""

from __future__ import annotations

import logging

from cw_proxy import errors
from cw_proxy.errors import ProxyError

log = logging.getLogger(__name__)

_BEHIND = "The server cannot answer for now: its log says why."
# The first class that fits. Not here: what is about the request alone, in words of ours.
_WORDS: tuple[tuple[type[ProxyError], str], ...] = (
    (errors.ContextLengthExceeded, "The chat is too long for the model."),
    (errors.UpstreamRejected, "The question was refused by the service behind this server."),
    (errors.ModelNotFound, "This model is not available here."),
    (errors.RequestTooLarge, "The request is too large."),
    (errors.LoginRequired, _BEHIND),
    (errors.UpstreamAccessDenied, _BEHIND),
    (errors.RateLimited, "There are too many requests: try again later."),
    (errors.InsufficientQuota, "The server's quota is used up."),
    (errors.UpstreamTruncated, "The answer broke off."),
    (errors.UpstreamTimeout, "The answer took too long."),
    (errors.UpstreamError, _BEHIND),
    (errors.BrokenState, _BEHIND),
)


# What this server says of itself, or of a client.
_OURS = (errors.DemandUnmet, errors.TooManyRequests, errors.ConcurrencyLimited)


def public(error: ProxyError) -> ProxyError:
    """What the upstream calls things (code, param) is left out as well."""
    words = next((words for kind, words in _WORDS if isinstance(error, kind)), None)
    if words is None or isinstance(error, _OURS):
        return error
    log.warning("a client is told %r; the reason: %s (%s)", words, error.message, error.code)
    # Its class holds status and type. `hold` is for the exchange, which has seen the original.
    return type(error)(words, retry_after=error.retry_after)
