"""Structured output (`response_format`): does an answer satisfy what was asked for?"""

from cw_proxy.structured.check import JsonCheck, unwrapped

__all__ = ["JsonCheck", "unwrapped"]
