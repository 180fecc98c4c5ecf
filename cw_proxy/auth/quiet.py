"""Keeps other people's loggers quiet: at DEBUG botocore prints all four OAuth secrets, aiohttp raw header lines.

In: nothing. Out: the named loggers capped at WARNING, and asyncio's without what means nothing. Holds under `--debug`
too, which is for our own lines.
"""

from __future__ import annotations

import logging

TALKATIVE = ("aiohttp", "boto3", "botocore", "keyring", "nats", "s3transfer", "urllib3")


def cap_third_party_loggers() -> None:
    """Raises each logger's own level, and that of its children, whatever the root's is."""
    for name in TALKATIVE:
        _cap(logging.getLogger(name))
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and name.startswith(tuple(f"{top}." for top in TALKATIVE)):
            # A child with a level of its own does not ask its parent.
            _cap(logger, unset=logging.NOTSET)

    logging.getLogger("asyncio").addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    """Event loops warn of each TLS connection that the other side ends: it is about the loop, and nothing is wrong."""
    return "eof_received" not in str(record.msg)


def _cap(logger: logging.Logger, unset: int | None = None) -> None:
    if logger.level != unset and logger.level < logging.WARNING:
        logger.setLevel(logging.WARNING)
