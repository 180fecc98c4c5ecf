"""`cw-proxy login`, `logout`, `status`: who the proxy is to the service.

In: switches and a person with a browser. Out: files in the home folder, lines on the terminal. Never shows a token.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from cw_proxy.cli import settings

if TYPE_CHECKING:
    from cw_proxy.auth.flow import Place, ShowCode, SignedIn
    from cw_proxy.auth.records import Login
    from cw_proxy.auth.store import TokenStore
    from cw_proxy.config import Config


@click.command()
@click.option("--start-url", metavar="URL", help="Your organisation's start URL.  [default: AWS Builder ID]")
@click.option("--region", metavar="REGION", help="The region of your organisation's sign-in.  [default: us-east-1]")
@click.option("--no-browser", is_flag=True, help="Only show the address; open it on any device.")
@click.option("--store", "place", metavar="PLACE", help="files, keyring or secretsmanager:NAME.  [default: files]")
def login(start_url: str | None, region: str | None, no_browser: bool, place: str | None) -> None:
    """Sign in with AWS Builder ID or IAM Identity Center.

    Shows a code to confirm in the browser and waits until that is done. Signing in again replaces the sign-in.
    A secret of AWS's Secrets Manager is for machines that share a sign-in, such as Lambda's.
    """
    from cw_proxy.auth.stores import keep_of

    config = settings.load(store=place)
    store, keep = _store(config), keep_of(config.store)
    # Before the person is sent to the browser: is the home writable, and what is there readable?
    store.load()
    with store.writing() as files:
        files.rehearse(keep)
    done = _sign_in(store, _place(start_url, region), opens_browser=not no_browser)
    with store.writing() as files:
        files.save_registration(done.registration, keep)
        files.save(done.login, keep)
    click.echo(f"Signed in to {_name(done.login)}. Try it: cw-proxy serve")


@click.command()
def logout() -> None:
    """Forget the sign-in: tokens and registration are removed from this machine."""
    from cw_proxy.auth.stores import SECRETS_MANAGER
    from cw_proxy.config import home

    config = settings.load()
    store = _store(config)
    if not home().is_dir() and not (config.store or "").startswith(SECRETS_MANAGER):
        click.echo("Not signed in.")
        return
    with store.writing() as files:
        files.remove()
    click.echo("Signed out.")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="The same for programs.")
def status(as_json: bool) -> None:
    """Show who is signed in, where, and for how long. Exit code 4: nobody is."""
    import json
    import time

    from cw_proxy.auth.renewer import ended, not_signed_in

    config = settings.load()
    if config.access_token is not None:
        click.echo(json.dumps({"signed_in": True, "store": "settings"}) if as_json else _WITHOUT_LOGIN)
        return
    store, now = _store(config), time.time()
    login = store.load()
    facts = _facts(store, login, now)
    if as_json:
        click.echo(json.dumps(facts))
    if login is None:
        raise not_signed_in()
    if not facts["signed_in"]:
        raise ended(login)
    if not as_json:
        click.echo(_described(login, facts, now))


_WITHOUT_LOGIN = "Signed in with the access token from the settings (CW_PROXY_ACCESS_TOKEN); it is not renewed."


# --- settings -----------------------------------------------------------------------------------------------


def _store(config: Config) -> TokenStore:
    from cw_proxy.auth.stores import open_store
    from cw_proxy.config import home

    return open_store(config.store, home())


# --- signing in ---------------------------------------------------------------------------------------------


def _place(start_url: str | None, region: str | None) -> Place:
    from cw_proxy.auth.flow import Place
    from cw_proxy.auth.records import BUILDER_ID_REGION, BUILDER_ID_START_URL

    if region and not start_url:
        raise click.UsageError("--region is your organisation's: it needs --start-url. Builder ID has one region.")
    if start_url and not start_url.startswith("https://"):
        raise click.UsageError("--start-url is an https:// address, such as https://example.awsapps.com/start.")
    return Place(start_url or BUILDER_ID_START_URL, region or BUILDER_ID_REGION)


def _sign_in(store: TokenStore, place: Place, *, opens_browser: bool) -> SignedIn:
    import time

    from cw_proxy.auth.driver import drive
    from cw_proxy.auth.flow import sign_in
    from cw_proxy.auth.oidc_boto import BotoOidc

    config = settings.load()
    door = BotoOidc(place.region, endpoint_url=config.oidc_url, proxy=config.upstream_proxy)
    steps = sign_in(place, store.load_registration(), time.time())

    def show(step: ShowCode) -> None:
        _show(step)
        if opens_browser:
            _open_browser(step.verification_uri_complete)

    return drive(steps, door, clock=time.time, wait=time.sleep, show=show)


def _show(step: ShowCode) -> None:
    """On stderr, where a person looks and no pipe leads."""
    from rich.console import Console
    from rich.panel import Panel
    from rich.text import Text

    text = Text()
    text.append("Open this address:  ")
    text.append(_printable(step.verification_uri_complete), style="bold cyan")
    text.append("\nand confirm this code:  ")
    text.append(_printable(step.user_code), style="bold")
    minutes = max(1, round(step.expires_in / 60))
    console = Console(stderr=True)
    # Off a terminal a frame would break the address into lines that no program can read.
    console.print(Panel(text, title="cw-proxy login", expand=False) if console.is_terminal else text, soft_wrap=True)
    console.print(f"Waiting, at most {minutes} minute{'' if minutes == 1 else 's'}. Ctrl-C gives up.")


def _printable(text: str) -> str:
    # What a service sends must not move the cursor.
    return "".join(character for character in text if character.isprintable())


def _open_browser(address: str) -> None:
    import webbrowser

    # Only what a sign-in page can be: browsers also open files and start programs.
    if address.startswith(("https://", "http://127.0.0.1:", "http://localhost:")) and _has_display():
        webbrowser.open(address)


def _has_display() -> bool:
    """Without one, webbrowser starts a text browser in the middle of our lines."""
    import sys

    if sys.platform == "darwin":
        return "SSH_CONNECTION" not in os.environ
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))


# --- telling ------------------------------------------------------------------------------------------------


def _facts(store: TokenStore, login: Login | None, now: float) -> dict[str, Any]:
    from datetime import UTC, datetime

    from cw_proxy.auth.records import TIME_FORMAT

    if login is None or not login.signed_in(now):
        return {"signed_in": False}
    return {
        "signed_in": True,
        "start_url": login.start_url,
        "region": login.region,
        "expires_at": datetime.fromtimestamp(login.expires_at, UTC).strftime(TIME_FORMAT),
        "renews_itself": login.refreshable,
        "store": store.kept(),
        "profile_arn": login.profile_arn,
    }


def _described(login: Login, facts: dict[str, Any], now: float) -> str:
    from cw_proxy.auth.store import TOKENS
    from cw_proxy.config import home

    end = "renewed when needed" if login.refreshable else "then sign in again"
    kept = facts["store"]
    place = home() / TOKENS if kept in ("files", "keyring") else kept
    lines = [
        f"Signed in to  {_name(login)}",
        f"Access token  {in_words(login.expires_at - now)}, {end}",
        f"Kept in       {place}" + (", secrets in the keyring" if kept == "keyring" else ""),
    ]
    if login.profile_arn:
        lines.append(f"Profile       {login.profile_arn}")
    return "\n".join(lines)


def _name(login: Login) -> str:
    from cw_proxy.auth.records import BUILDER_ID_START_URL

    kind = "AWS Builder ID" if login.start_url == BUILDER_ID_START_URL else "IAM Identity Center"
    return f"{kind} ({login.start_url}, {login.region})"


def in_words(seconds: float) -> str:
    if seconds <= 0:
        return "expired"
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"expires in {count} {unit}{'' if count == 1 else 's'}"
    return "expires in less than a minute"
