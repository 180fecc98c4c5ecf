"""The only door to boto3 for Secrets Manager. Nothing of botocore's passes it: no exception, no traceback, no log line.

In: a secret's name. Out: its versions, or our own errors. boto3 is imported with the first call, not with this module.

To replace a version is atomic in one call only: UpdateSecretVersionStage moves the label AWSCURRENT to a version from
the one it is told, and fails when the label is not there any more. So the new version is written beside the current
one first, under a label of its own. PutSecretValue alone moves the label whatever has happened meanwhile.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from uuid import uuid4

from cw_proxy import __version__
from cw_proxy.auth.quiet import cap_third_party_loggers
from cw_proxy.auth.secret_store import Version
from cw_proxy.errors import BrokenState, ConfigError, ProxyError, UpstreamProtocol, UpstreamUnavailable

CURRENT = "AWSCURRENT"
_ARN = re.compile(r"arn:aws[a-z-]*:secretsmanager:([a-z0-9-]{1,40}):\d{12}:secret:.+")
_CONNECT_SECONDS, _READ_SECONDS, _ATTEMPTS = 5.0, 10.0, 5
_TRIES = 5


class _Missing(Exception):
    """No such secret, or no version of it."""


class _Refused(Exception):
    """The request does not fit what is there."""


class BotoSecrets:
    """One secret by its name or ARN. Credentials, and the region of a name, are what AWS's tools would take."""

    def __init__(self, name: str, *, attempts: int = _ATTEMPTS) -> None:
        self._name = name
        self._attempts = attempts
        self._made: Any = None

    @property
    def name(self) -> str:
        return self._name

    def read(self) -> Version | None:
        with suppress(_Missing):
            reply = self._ask("get_secret_value", VersionStage=CURRENT)
            if not isinstance(reply.get("SecretString"), str):
                raise BrokenState(f"The secret {self._name} is not a text.")
            return Version(reply["VersionId"], reply["SecretString"])
        return None

    def create(self) -> None:
        try:
            self._ask("describe_secret")
        except _Missing:
            self._call("create_secret", Name=self._name, Description="The sign-in of cw-proxy, and who renews it.")

    def put(self, text: str) -> None:
        """By `swap` too, so that there is one way in which the current version changes."""
        for _ in range(_TRIES):
            current = self.read()
            if current is None:
                return self._write(str(uuid4()), text, CURRENT)
            if self.swap(current, text):
                return None
        raise BrokenState(f"The secret {self._name} is being written by too many others.")

    def swap(self, old: Version, text: str) -> Version | None:
        id_ = str(uuid4())
        stage = f"cw-proxy-{id_}"
        self._write(id_, text, stage)
        try:
            self._ask(
                "update_secret_version_stage", VersionStage=CURRENT, MoveToVersionId=id_, RemoveFromVersionId=old.id
            )
            won = True
        except (_Missing, _Refused):
            # Lost; or won, and the answer was lost, so that the same was asked once more.
            current = self.read()
            won = current is not None and current.id == id_
        # A version without labels is for AWS to delete; a label that stays is harmless.
        with suppress(ProxyError, _Missing, _Refused):
            self._ask("update_secret_version_stage", VersionStage=stage, RemoveFromVersionId=id_)
        return Version(id_, text) if won else None

    def _ask(self, operation: str, **fields: Any) -> Mapping[str, Any]:
        return self._call(operation, SecretId=self._name, **fields)

    def _call(self, operation: str, **fields: Any) -> Mapping[str, Any]:
        failure: BaseException
        try:
            call: Callable[..., Mapping[str, Any]] = getattr(self._client(), operation)
            return call(**fields)
        except _foreign() as error:
            failure = error
        # Outside the handler: inside it botocore's error, whose frames hold the secret, would be our context.
        raise translate(failure, self._name, operation)

    def _write(self, id_: str, text: str, stage: str) -> None:
        """The id makes writing twice the same as writing once."""
        try:
            self._ask("put_secret_value", SecretString=text, ClientRequestToken=id_, VersionStages=[stage])
        except (_Missing, _Refused):
            missing = f"There is no secret {self._name} to write to. Run `cw-proxy login --store secretsmanager:NAME`."
        else:
            return
        raise BrokenState(missing)

    def _client(self) -> Any:
        if self._made is None:
            cap_third_party_loggers()
            import boto3
            from botocore.config import Config

            arn = _ARN.fullmatch(self._name)
            options: dict[str, Any] = {
                "user_agent_extra": f"cw-proxy/{__version__}",
                "connect_timeout": _CONNECT_SECONDS,
                "read_timeout": _READ_SECONDS,
                "retries": {"total_max_attempts": self._attempts, "mode": "standard"},
            }
            region = arn[1] if arn else None
            self._made = boto3.Session().client("secretsmanager", region_name=region, config=Config(**options))
        return self._made


# --- what went wrong ----------------------------------------------------------------------------------------


def _foreign() -> tuple[type[BaseException], ...]:
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    # botocore's parsers let the last four escape on a body of the wrong shape.
    return BotoCoreError, ClientError, ResponseParserError, ValueError, TypeError, KeyError, AttributeError


def translate(failure: BaseException, name: str, operation: str) -> Exception:
    """One of botocore's exceptions as our own; its texts may hold what was sent, and are not shown."""
    from botocore import exceptions as boto

    match failure:
        case boto.ClientError():
            return _answered(str(failure.response.get("Error", {}).get("Code") or ""), name, operation)
        case boto.NoCredentialsError() | boto.PartialCredentialsError() | boto.CredentialRetrievalError():
            return ConfigError("There are no AWS credentials for Secrets Manager here.")
        case boto.NoRegionError():
            return ConfigError(f"Which region is the secret {name} in? Set AWS_REGION, or name it by its ARN.")
        case boto.ProfileNotFound() | boto.ConfigParseError():
            return ConfigError("AWS's own settings (AWS_PROFILE, ~/.aws) cannot be used.")
        case boto.ConnectionError() | boto.HTTPClientError():
            return UpstreamUnavailable("Secrets Manager cannot be reached.")
        case _:
            return UpstreamProtocol("Secrets Manager sent an answer that makes no sense.")


def _answered(code: str, name: str, operation: str) -> Exception:
    action = "".join(word.title() for word in operation.split("_"))
    match code:
        case "ResourceNotFoundException":
            return _Missing()
        case "InvalidParameterException" | "InvalidRequestException":
            return _Refused()
        case "AccessDeniedException" | "AccessDenied":
            return BrokenState(f"AWS does not let us use the secret {name}: grant secretsmanager:{action}.")
        case "DecryptionFailure" | "EncryptionFailure":
            return BrokenState(f"AWS does not let us use the KMS key of the secret {name}: grant it.")
        case "LimitExceededException":
            return BrokenState(f"The secret {name} has as many versions as it may have. Try again tomorrow.")
        case "UnrecognizedClientException" | "ExpiredTokenException" | "InvalidSignatureException":
            return ConfigError("Secrets Manager refuses the AWS credentials that are set here.")
        case _:
            return UpstreamUnavailable(f"Secrets Manager failed ({code if code.isalnum() else 'no reason'}).")
