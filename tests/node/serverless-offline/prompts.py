"""The function, as serverless-offline finds it."""

from cw_proxy.lambda_handler import handler

__all__ = ["handler"]
