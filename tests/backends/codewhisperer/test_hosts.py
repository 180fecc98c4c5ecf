"""A credential goes in, the host that serves it comes out."""

from __future__ import annotations

import pytest

from cw_proxy.backends.codewhisperer.hosts import PROFILE_REGIONS, Hosts, region_of, regional_url
from cw_proxy.errors import ConfigError
from cw_proxy.interfaces import Credential
from cw_proxy.secret import Secret

US = "https://codewhisperer.us-east-1.amazonaws.com"
EU = "https://q.eu-central-1.amazonaws.com"


@pytest.mark.parametrize(
    ("hosts", "region", "streaming", "runtime"),
    [
        (Hosts(), "us-east-1", US, US),
        (Hosts(), "eu-central-1", EU, EU),
        (Hosts(region="eu-central-1"), "us-east-1", EU, EU),
        (Hosts(streaming="http://localhost:1"), "us-east-1", "http://localhost:1", US),
        (Hosts(runtime="http://localhost:2", region="eu-central-1"), "us-east-1", EU, "http://localhost:2"),
    ],
)
def test_the_region_picks_the_host_unless_it_is_overridden(
    hosts: Hosts, region: str, streaming: str, runtime: str
) -> None:
    credential = Credential(Secret("t"), region)
    assert (hosts.streaming_url(credential), hosts.runtime_url(credential)) == (streaming, runtime)


@pytest.mark.parametrize("region", ["evil.example/", "", "us-east-1.evil", "US EAST", "x" * 41])
def test_no_token_goes_to_a_host_that_a_region_could_spell(region: str) -> None:
    with pytest.raises(ConfigError):
        regional_url(region)


def test_profiles_are_looked_for_where_they_may_live() -> None:
    assert Hosts().profile_urls() == [regional_url(region) for region in PROFILE_REGIONS] == [US, EU]
    assert Hosts(runtime="http://localhost:2").profile_urls() == ["http://localhost:2"]


@pytest.mark.parametrize(
    ("arn", "region"),
    [
        ("arn:aws:codewhisperer:eu-central-1:000000000000:profile/EXAMPLE", "eu-central-1"),
        ("arn:aws:codewhisperer::000000000000:profile/EXAMPLE", None),
        ("arn:aws:codewhisperer:eu-central-1", None),
        ("", None),
    ],
)
def test_a_profile_names_its_region(arn: str, region: str | None) -> None:
    assert region_of(arn) == region
