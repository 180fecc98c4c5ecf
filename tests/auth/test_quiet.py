from __future__ import annotations

import logging

from cw_proxy.auth.quiet import TALKATIVE, cap_third_party_loggers


def test_other_peoples_loggers_stay_quiet_whatever_the_root_says():
    root, child = logging.getLogger(), logging.getLogger("botocore.parsers.deep")
    before = root.level
    root.setLevel(logging.DEBUG)
    child.setLevel(logging.DEBUG)
    try:
        cap_third_party_loggers()
        assert not child.isEnabledFor(logging.INFO)
        for name in TALKATIVE:
            assert not logging.getLogger(name).isEnabledFor(logging.INFO)
            assert not logging.getLogger(f"{name}.later").isEnabledFor(logging.INFO)
            assert logging.getLogger(name).isEnabledFor(logging.WARNING)
    finally:
        root.setLevel(before)


def test_a_stricter_level_is_left_alone():
    logger = logging.getLogger("urllib3")
    logger.setLevel(logging.ERROR)
    try:
        cap_third_party_loggers()
        assert logger.level == logging.ERROR
    finally:
        logger.setLevel(logging.WARNING)


def test_asyncio_warns_of_real_trouble_only(caplog):
    cap_third_party_loggers()
    logging.getLogger("asyncio").warning("returning true from eof_received() has no effect when using ssl")
    logging.getLogger("asyncio").error("Task exception was never retrieved")
    assert caplog.messages == ["Task exception was never retrieved"]
