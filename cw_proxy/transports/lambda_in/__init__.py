"""AWS Lambda as a transport: invocations in from the Runtime API, answers out as they come.

AWS's own runtime for Python hands an answer on in one piece only. The day it streams, this package goes.
"""

from cw_proxy.transports.lambda_in.loop import LambdaRuntime
from cw_proxy.transports.lambda_in.runtime_api import RuntimeApi, RuntimeApiError

__all__ = ["LambdaRuntime", "RuntimeApi", "RuntimeApiError"]
