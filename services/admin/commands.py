"""Commands of this service: organizations, keys, users, import."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from services.installation import DataDir, adopt

app = typer.Typer()
organization_app = typer.Typer(no_args_is_help=True, help="Make organizations.")
keys_app = typer.Typer(no_args_is_help=True, help="Make, list and revoke API keys.")
users_app = typer.Typer(no_args_is_help=True, help="Make, list and remove users of the console.")
import_app = typer.Typer(no_args_is_help=True, help="Bring data in.")
app.add_typer(organization_app, name="organization")
app.add_typer(keys_app, name="keys")
app.add_typer(users_app, name="users")
app.add_typer(import_app, name="import")

OrganizationOption = Annotated[
    str | None,
    typer.Option("--organization", help="The organization.  [default: the installation's]", show_default=False),
]


@organization_app.command(
    epilog="Example: regulars organization create corner --name 'Corner Shop' --currency INR --time-zone Asia/Kolkata"
)
def create(
    *,
    organization_id: Annotated[str, typer.Argument(help="Its id: a-z, 0-9, _ and -.")],
    name: Annotated[str, typer.Option(help="Its name, as customers read it.")],
    currency: Annotated[str, typer.Option(help="ISO 4217, such as INR.")],
    time_zone: Annotated[str, typer.Option(help="IANA name, such as Asia/Kolkata.")],
    empty: Annotated[bool, typer.Option("--empty", help="Without ready-made segments and campaigns.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Make an organization and print its first keys as JSON. They are shown only this once."""
    from services.admin import organizations

    keys = organizations.create(_database(data_dir), organization_id, name, currency, time_zone, ready_made=not empty)
    typer.echo(json.dumps(keys))


@keys_app.command(
    "create", epilog="Example: regulars keys create --organization corner --role terminal --name 'Till 7'"
)
def create_key(
    role: Annotated[str, typer.Option(help="terminal, viewer, marketer or owner.")],
    organization: OrganizationOption = None,
    name: Annotated[str, typer.Option(help="Where it is used.")] = "",
    data_dir: DataDir = None,
) -> None:
    """Make a key and print it as JSON. The secret is shown only this once."""
    from services.admin import key_commands

    chosen = _organization(organization, data_dir)
    typer.echo(json.dumps(key_commands.create(_database(data_dir), chosen, role, name)))


@keys_app.command("list", epilog="Example: regulars keys list --organization corner")
def list_keys(organization: OrganizationOption = None, data_dir: DataDir = None) -> None:
    """Print all keys, one JSON object a line, revoked ones included."""
    from services.admin import key_commands

    chosen = _organization(organization, data_dir)
    for each in key_commands.entries(_database(data_dir), chosen):
        typer.echo(json.dumps(each))


@keys_app.command("revoke", epilog="Example: regulars keys revoke 3f9a1c52d0b7 --organization corner")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="The key's id, as `regulars keys list` shows it.")],
    organization: OrganizationOption = None,
    data_dir: DataDir = None,
) -> None:
    """End a key; it stops within two seconds."""
    from services.admin import key_commands

    key_commands.revoke(_database(data_dir), _organization(organization, data_dir), key_id)
    typer.echo(f"Key {key_id} is revoked.")


@users_app.command("create", epilog="Example: regulars users create asha@example.com --role owner")
def create_user(
    email: Annotated[str, typer.Argument(help="The address to sign in with.")],
    role: Annotated[str, typer.Option(help="viewer, marketer or owner.")],
    name: Annotated[str, typer.Option(help="As the console shows it.")] = "",
    organization: OrganizationOption = None,
    data_dir: DataDir = None,
) -> None:
    """Make a user of the console and print the password as JSON. It is shown only this once."""
    from services.admin import user_commands

    chosen = _organization(organization, data_dir)
    typer.echo(json.dumps(user_commands.create(_database(data_dir), chosen, email, role, name)))


@users_app.command("list", epilog="Example: regulars users list --organization corner")
def list_users(organization: OrganizationOption = None, data_dir: DataDir = None) -> None:
    """Print all users, one JSON object a line."""
    from services.admin import user_commands

    chosen = _organization(organization, data_dir)
    for each in user_commands.entries(_database(data_dir), chosen):
        typer.echo(json.dumps(each))


@users_app.command("remove", epilog="Example: regulars users remove asha@example.com --organization corner")
def remove_user(
    email: Annotated[str, typer.Argument(help="The user's address.")],
    organization: OrganizationOption = None,
    data_dir: DataDir = None,
) -> None:
    """End a user and their sessions. Who forgot the password is removed and made again."""
    from services.admin import user_commands

    user_commands.remove(_database(data_dir), _organization(organization, data_dir), email)
    typer.echo(f"{email} is removed.")


@import_app.command(
    "customers",
    epilog="Example: regulars import customers people.csv --map customer_id=Id --map email='E-Mail' --dry-run",
)
def import_customers(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="CSV with a header line, UTF-8.")],
    mapping: Annotated[
        list[str] | None, typer.Option("--map", help="field=column; a column of the field's own name needs none.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only judge the rows.")] = False,
    organization: OrganizationOption = None,
    data_dir: DataDir = None,
) -> None:
    """Publish a customer for each row. Refused rows go to stderr with number, field and reason; then exit 1."""
    from services.admin import import_command
    from shared.settings import Settings, load

    chosen = _organization(organization, data_dir)
    if not import_command.run(load(Settings), chosen, file, mapping or [], dry_run=dry_run):
        raise typer.Exit(1)


@import_app.command(
    "suppressions", epilog="Example: regulars import suppressions unsubscribed.csv --column 'E-Mail' --dry-run"
)
def import_suppressions(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="CSV with a header line, UTF-8.")],
    column: Annotated[str, typer.Option(help="The column that holds the address.")] = "email",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only judge the rows.")] = False,
    organization: OrganizationOption = None,
    data_dir: DataDir = None,
) -> None:
    """Suppress the address of each row, for the reason in the column `reason`, else import. Refused rows go to stderr
    with number, field and reason; then exit 1.
    """
    from services.admin import suppressions_command

    chosen = _organization(organization, data_dir)
    if not suppressions_command.run(_database(data_dir), chosen, file, column, dry_run=dry_run):
        raise typer.Exit(1)


def _database(data_dir: Path | None) -> str:
    from shared.settings import Settings, load

    adopt(data_dir)
    return load(Settings).database


def _organization(given: str | None, data_dir: Path | None) -> str:
    """The one given, else that of the installation on this machine."""
    from shared.errors import SetupError

    found = adopt(data_dir)
    if given is not None:
        return given
    if found is None:
        raise SetupError("Say which organization is meant: --organization ID.")
    return found.organization_id
