"""The only door to boto3 for API Gateway's connections and for Lambda. Nothing of botocore's passes it.

In: a message for a connection, an event for this function. Out: an HTTP status, or our own errors. boto3 is imported
with the first call, not with this module; its calls block, and are made in threads.

A post that may have arrived is not made again: a text that comes twice is worse than an answer that breaks off. So
boto3 repeats nothing, and what is repeated here is what AWS has refused for now.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from typing import Any

from cw_proxy import __version__
from cw_proxy.auth.quiet import cap_third_party_loggers
from cw_proxy.errors import ConfigError, UpstreamUnavailable

_CONNECT_SECONDS = 3.0
_READ_SECONDS = 10.0
_TRIES = 5
_PAUSE = 0.05  # seconds, doubled with each try
_THROTTLED = 429


class BotoGateway:
    """`function` is the name of this function, as AWS_LAMBDA_FUNCTION_NAME has it."""

    def __init__(self, function: str, *, tries: int = _TRIES, pause: float = _PAUSE) -> None:
        self._function = function
        self._tries = tries
        self._pause = pause
        self._made: dict[tuple[str, str | None], Any] = {}
        self._making = threading.Lock()

    async def post(self, endpoint: str, connection: str, data: bytes) -> int:
        """The HTTP status, whatever it is; 0 where there is none. Raises ConfigError without AWS credentials."""
        fields = {"ConnectionId": connection, "Data": data}
        status = 0
        for attempt in range(self._tries):
            if attempt:
                await asyncio.sleep(self._pause * 2 ** (attempt - 1))
            status = await self._status("apigatewaymanagementapi", endpoint, "post_to_connection", fields)
            if status != _THROTTLED:
                break
        return status

    def renew(self) -> None:
        """Lambda freezes the machine between invocations: connections that were kept may be dead since."""
        # No lock: others are answered while a client is made, and what is new needs no renewing.
        for client in list(self._made.values()):
            client.close()

    async def invoke(self, payload: bytes) -> None:
        """Raises UpstreamUnavailable, ConfigError."""
        if not self._function:
            raise ConfigError("AWS_LAMBDA_FUNCTION_NAME is not set: there is no function to invoke.")
        fields = {"FunctionName": self._function, "InvocationType": "Event", "Payload": payload}
        status = await self._status("lambda", None, "invoke", fields)
        if status != 202:
            raise UpstreamUnavailable(f"Lambda did not take the question (status {status}).")

    async def _status(self, service: str, endpoint: str | None, operation: str, fields: Mapping[str, Any]) -> int:
        return await asyncio.to_thread(self._blocking, service, endpoint, operation, fields)

    def _blocking(self, service: str, endpoint: str | None, operation: str, fields: Mapping[str, Any]) -> int:
        from botocore import exceptions as boto

        try:
            client = self._client(service, endpoint)
            answer: Mapping[str, Any] = getattr(client, operation)(**fields)
        except boto.ClientError as error:
            # By the status: GoneException where AWS says so, and a nameless 410 where an emulator does.
            answer = error.response
        except (boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError):
            answer = {}
        except (boto.NoRegionError, boto.ProfileNotFound, boto.ConfigParseError, boto.InvalidConfigError):
            answer = {}
        except (boto.BotoCoreError, UnicodeDecodeError):
            return 0
        except ValueError:
            raise ConfigError("The address to post answers to is none: see lambda_socket_endpoint.") from None
        # What botocore's parser raises at the error of a server that is not AWS's, whatever its JSON is.
        except Exception:  # noqa: BLE001 - see above
            return 0
        # Outside the handlers, where botocore's exceptions would be our context.
        if not answer:
            raise ConfigError("There are no AWS credentials here, or no region.")
        return int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))

    def _client(self, service: str, endpoint: str | None) -> Any:
        """Kept: making one takes a tenth of a second. They may be used by several threads, making them may not."""
        with self._making:
            if (service, endpoint) not in self._made:
                cap_third_party_loggers()
                import boto3
                from botocore.config import Config

                config = Config(
                    user_agent_extra=f"cw-proxy/{__version__}",
                    connect_timeout=_CONNECT_SECONDS,
                    read_timeout=_READ_SECONDS,
                    retries={"total_max_attempts": 1, "mode": "standard"},
                )
                session: Any = boto3.Session()
                self._made[service, endpoint] = session.client(service, endpoint_url=endpoint, config=config)
            return self._made[service, endpoint]
