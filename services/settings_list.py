"""`regulars settings`: every setting, its present value, its default, its meaning."""

from __future__ import annotations

import os
import re

import typer
from pydantic import SecretStr

from shared.errors import SetupError
from shared.settings import SERVICES, Settings, load, variable_of


def show(service: str | None) -> None:
    """Print the settings of one service, or those that all share and then each one's own.

    A wrong one does not keep the others from being shown; SetupError tells of it at the end.
    """
    if service is not None and service not in SERVICES:
        raise SetupError(f"There is no service {service!r}: give one of {', '.join(SERVICES)}.")
    chosen = {service: SERVICES[service]} if service else {"every service": Settings} | SERVICES
    wrong: SetupError | None = None
    for name, kind in chosen.items():
        try:
            present: Settings | None = load(kind)
        except SetupError as error:
            present, wrong = None, error
        typer.secho(f"{name}", bold=True)
        for setting in kind.model_fields:
            if service or kind is Settings or setting not in Settings.model_fields:
                _print(kind, setting, present)
    if wrong:
        raise wrong


def _print(kind: type[Settings], name: str, present: Settings | None) -> None:
    field, variable = kind.model_fields[name], variable_of(kind, name)
    default = _shown(field.default)
    given: object = getattr(present, name) if present else os.environ.get(variable, field.default)
    if isinstance(field.default, SecretStr) and not isinstance(given, SecretStr):
        given = SecretStr(str(given))
    value = _shown(given)
    typer.echo(
        f"  {typer.style(variable, fg='cyan')} = {value}" + (f"  (default: {default})" if value != default else "")
    )
    typer.echo(f"      {field.description}")


def _shown(value: object) -> str:
    if isinstance(value, SecretStr):
        return "********" if value.get_secret_value() else "(none)"
    # An address may hold a password between colon and @.
    return re.sub(r"(://[^:/@]*:)[^@/]*@", r"\1********@", str(value)) or "(none)"
