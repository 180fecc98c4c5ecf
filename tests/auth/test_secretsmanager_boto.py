"""The door to Secrets Manager, against moto's.

Moto proves the calls: names, members, that a label only moves from the version that has it. It cannot prove what AWS
does with two such calls in the same instant, nor that AWS's refusal has the same name; see `swap`, which looks once
more. The lost answer of a won call is played here by asking twice. And after a label was moved, moto's PutSecretValue
leaves it on two versions (5.2.5), which is one more reason for `put` to go by `swap`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore import exceptions as boto
from secrets_manager import client, fresh_name, secrets_manager

from cw_proxy.auth.secret_store import Version
from cw_proxy.auth.secretsmanager_boto import BotoSecrets, translate
from cw_proxy.errors import BrokenState, ConfigError, ProxyError, UpstreamProtocol, UpstreamUnavailable


@pytest.fixture(scope="module")
def machine() -> Iterator[dict[str, str]]:
    with secrets_manager() as variables:
        yield variables


@pytest.fixture
def secrets(machine: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> BotoSecrets:
    for name, value in machine.items():
        monkeypatch.setenv(name, value)
    made = BotoSecrets(fresh_name())
    made.create()
    return made


def stages(machine: dict[str, str], name: str) -> dict[str, list[str]]:
    """The labels of each version that has some."""
    described = client(machine).describe_secret(SecretId=name)
    return {id_: labels for id_, labels in described.get("VersionIdsToStages", {}).items() if labels}


def test_a_new_secret_has_no_version_until_something_is_put(secrets: BotoSecrets):
    assert secrets.read() is None
    secrets.create()
    secrets.put("one")
    first = secrets.read()
    assert first is not None
    assert first.text == "one"
    secrets.put("two")
    second = secrets.read()
    assert second is not None
    assert (second.text, second.id != first.id) == ("two", True)


def test_a_swap_replaces_the_version_it_names_and_no_other(secrets: BotoSecrets, machine: dict[str, str]):
    secrets.put("one")
    one = secrets.read()
    assert one is not None
    two = secrets.swap(one, "two")
    assert two == secrets.read()
    assert two is not None
    assert two.text == "two"
    assert secrets.swap(one, "late") is None
    assert secrets.read() == two
    # Whoever loses leaves no label behind.
    assert sorted(map(sorted, stages(machine, secrets.name).values())) == [["AWSCURRENT"], ["AWSPREVIOUS"]]


def test_a_won_swap_whose_answer_was_lost_is_won(secrets: BotoSecrets):
    """The library asks again, and is refused, since the label has moved already."""
    secrets.put("one")
    one = secrets.read()
    assert one is not None
    made = secrets._client()
    twice = made.update_secret_version_stage

    class Stuttering:
        def __getattr__(self, name: str) -> Any:
            return getattr(made, name)

        def update_secret_version_stage(self, **fields: Any) -> Any:
            twice(**fields)
            return twice(**fields)

    secrets._made = Stuttering()
    two = secrets.swap(one, "two")
    assert two is not None
    assert secrets.read() == two


def test_of_many_swaps_at_a_time_one_wins(secrets: BotoSecrets):
    from concurrent.futures import ThreadPoolExecutor

    secrets.put("begin")
    begin = secrets.read()
    assert begin is not None
    with ThreadPoolExecutor(4) as pool:
        won = [version for version in pool.map(lambda n: secrets.swap(begin, f"by {n}"), range(4)) if version]
    assert [version.text for version in won] == [secrets.read().text]


def test_what_is_not_there_is_said(machine: dict[str, str], monkeypatch: pytest.MonkeyPatch):
    for name, value in machine.items():
        monkeypatch.setenv(name, value)
    missing = BotoSecrets(fresh_name())
    assert missing.read() is None
    for write in (lambda: missing.put("x"), lambda: missing.swap(Version("a" * 32, "x"), "y")):
        with pytest.raises(BrokenState, match="cw-proxy login"):
            write()


def test_a_secret_of_bytes_is_refused(secrets: BotoSecrets, machine: dict[str, str]):
    client(machine).put_secret_value(SecretId=secrets.name, SecretBinary=b"\xff")
    with pytest.raises(BrokenState, match="not a text"):
        secrets.read()


def test_an_arn_says_the_region(machine: dict[str, str], monkeypatch: pytest.MonkeyPatch):
    for name, value in machine.items():
        monkeypatch.setenv(name, value)
    arn = "arn:aws:secretsmanager:ap-south-1:123456789012:secret:cw-proxy-AbCdEf"
    assert BotoSecrets(arn)._client().meta.region_name == "ap-south-1"


def test_a_machine_without_aws_is_told_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path):
    import os

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(ConfigError, match="AWS_REGION"):
        BotoSecrets("a-name").read()
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with pytest.raises(ConfigError, match="credentials"):
        BotoSecrets("a-name").read()


def test_a_secrets_manager_that_is_away_is_said(machine: dict[str, str], monkeypatch: pytest.MonkeyPatch):
    for name, value in machine.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://127.0.0.1:9")
    with pytest.raises(UpstreamUnavailable):
        BotoSecrets("a-name", attempts=1).read()


def refused(code: str) -> boto.ClientError:
    return boto.ClientError({"Error": {"Code": code, "Message": "canary"}}, "PutSecretValue")


FAILURES: list[tuple[BaseException, type[ProxyError], str]] = [
    (refused("AccessDeniedException"), BrokenState, "secretsmanager:PutSecretValue"),
    (refused("EncryptionFailure"), BrokenState, "KMS"),
    (refused("LimitExceededException"), BrokenState, "versions"),
    (refused("ExpiredTokenException"), ConfigError, "credentials"),
    (refused("ThrottlingException"), UpstreamUnavailable, "ThrottlingException"),
    (refused("<html>"), UpstreamUnavailable, "no reason"),
    (boto.NoCredentialsError(), ConfigError, "credentials"),
    (boto.ProfileNotFound(profile="canary"), ConfigError, "AWS_PROFILE"),
    (boto.EndpointConnectionError(endpoint_url="https://canary"), UpstreamUnavailable, "reached"),
    (ValueError("canary"), UpstreamProtocol, "makes no sense"),
]


@pytest.mark.parametrize(("failure", "kind", "words"), FAILURES)
def test_failures_are_ours_and_quote_nothing(failure: BaseException, kind: type[ProxyError], words: str):
    error = translate(failure, "a-name", "put_secret_value")
    assert type(error) is kind
    assert words in str(error)
    assert "canary" not in str(error)
