"""Which store a setting names.

In: the setting `store`, the home folder. Out: a TokenStore. What a store needs is imported with it.
"""

from __future__ import annotations

from pathlib import Path

from cw_proxy.auth.store import Keep, Store, TokenStore

SECRETS_MANAGER = "secretsmanager:"


def open_store(setting: str | None, home: Path) -> TokenStore:
    """`files` and `keyring` are one place, since a keyring only holds what the files leave out."""
    if setting is None or not setting.startswith(SECRETS_MANAGER):
        return Store(home)
    from cw_proxy.auth.secret_store import SecretStore
    from cw_proxy.auth.secretsmanager_boto import BotoSecrets

    return SecretStore(BotoSecrets(setting.removeprefix(SECRETS_MANAGER)))


def keep_of(setting: str | None) -> Keep | None:
    """Where in the home folder secrets go, if the setting says."""
    return "files" if setting == "files" else "keyring" if setting == "keyring" else None
