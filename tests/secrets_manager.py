"""Moto's Secrets Manager on loopback, and the environment in which AWS's libraries find it.

In: nothing. Out: a URL, variables, a bare client to look with. Refuses to know pytest. What moto cannot prove is said
in tests/auth/test_secretsmanager_boto.py.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
from servers import free_ports, wait_for_port

# A process: in ours its `responses` would be the helper of that name beside this file.
_SERVER = str(Path(sys.executable).parent / "moto_server")


@contextmanager
def secrets_manager() -> Iterator[dict[str, str]]:
    """The variables of a machine whose AWS it is."""
    [port] = free_ports(1)
    server = subprocess.Popen(
        [_SERVER, "-H", "127.0.0.1", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for_port(port, server)
        yield {
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": "eu-central-1",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
    finally:
        server.kill()
        server.wait()


def client(variables: dict[str, str]) -> Any:
    return boto3.client(
        "secretsmanager",
        region_name=variables["AWS_REGION"],
        endpoint_url=variables["AWS_ENDPOINT_URL_SECRETS_MANAGER"],
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )


def fresh_name() -> str:
    return f"cw-proxy/{uuid4().hex}"
