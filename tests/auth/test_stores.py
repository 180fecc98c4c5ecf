from __future__ import annotations

from pathlib import Path

import pytest

from cw_proxy.auth.secret_store import SecretStore
from cw_proxy.auth.store import Store
from cw_proxy.auth.stores import keep_of, open_store


@pytest.mark.parametrize(
    ("setting", "keep", "kind"),
    [
        (None, None, Store),
        ("files", "files", Store),
        ("keyring", "keyring", Store),
        ("secretsmanager:cw-proxy/login", None, SecretStore),
    ],
)
def test_each_setting_names_a_store(setting: str | None, keep: str | None, kind: type, tmp_path: Path):
    store = open_store(setting, tmp_path)
    assert type(store) is kind
    assert keep_of(setting) == keep
    if kind is SecretStore:
        assert store.kept() == setting
