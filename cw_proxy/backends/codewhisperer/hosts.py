"""Which host serves whom (upstream.md §1.1): from a credential's region or profile to a base URL.

In: overrides and a credential. Out: URLs without a trailing slash. Refuses to know what is asked there.
A credential's region is the one that serves it: us-east-1 for Builder ID, the profile's for IAM Identity Center.
"""

from __future__ import annotations

import re

import msgspec

from cw_proxy.errors import ConfigError
from cw_proxy.interfaces import Credential

# The hosts real clients use; any other region follows the second form.
_KNOWN = {"us-east-1": "https://codewhisperer.us-east-1.amazonaws.com"}
_REGION = re.compile(r"[a-z0-9-]{1,40}")
# Where an account's profiles may live.
PROFILE_REGIONS = ("us-east-1", "eu-central-1")


class Hosts(msgspec.Struct, frozen=True):
    """`streaming` and `runtime` override the host of every region; `region` overrides the credential's."""

    streaming: str | None = None
    runtime: str | None = None
    region: str | None = None

    def streaming_url(self, credential: Credential) -> str:
        return self.streaming or regional_url(self._region(credential))

    def runtime_url(self, credential: Credential) -> str:
        return self.runtime or regional_url(self._region(credential))

    def profile_urls(self) -> list[str]:
        if self.runtime:
            return [self.runtime]
        return [regional_url(region) for region in PROFILE_REGIONS]

    def _region(self, credential: Credential) -> str:
        return self.region or credential.region


def region_of(profile_arn: str) -> str | None:
    """The fourth field of `arn:aws:codewhisperer:REGION:…`."""
    fields = profile_arn.split(":")
    return fields[3] or None if len(fields) > 4 else None


def regional_url(region: str) -> str:
    """Raises ConfigError for what cannot be a region: a bearer token goes to this host."""
    if not _REGION.fullmatch(region):
        raise ConfigError(f"{region!r} is not the name of an AWS region.")
    return _KNOWN.get(region, f"https://q.{region}.amazonaws.com")
