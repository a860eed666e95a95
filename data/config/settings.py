"""``expansion.toml`` and the environment, read once into frozen settings.

What may be set stands in :mod:`data.config.sections`. An unknown setting is refused with the nearest name
we know. Secrets are never written in the file: a value may name an environment variable as
``${NAME}``.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import quote

from pydantic import BaseModel, Field, ValidationError

from data.config.delivery import CrmConfig, DigestConfig, Episodes, Slack
from data.config.playbook import ContactRoles, MotionMinutes, Playbook
from data.config.sections import (
    MONTH_DAYS,
    AdoptionConfig,
    BacktestConfig,
    ColumnsConfig,
    ConfigSection,
    Eligibility,
    EngineConfig,
    EvaluationConfig,
    Gate,
    ModelConfig,
    Outcome,
    RegistryConfig,
    Roles,
    Scoring,
    Seats,
    SqlQuery,
    TablesConfig,
    Team,
)
from data.config.server import Web
from data.config.webhooks import Alerts, Webhooks
from data.errors import SettingsError

__all__ = [
    "MONTH_DAYS",
    "AdoptionConfig",
    "Alerts",
    "BacktestConfig",
    "ColumnsConfig",
    "ContactRoles",
    "CrmConfig",
    "DigestConfig",
    "Eligibility",
    "EngineConfig",
    "Episodes",
    "EvaluationConfig",
    "Gate",
    "ModelConfig",
    "MotionMinutes",
    "Outcome",
    "Playbook",
    "RegistryConfig",
    "Roles",
    "Scoring",
    "Seats",
    "Settings",
    "Slack",
    "SqlQuery",
    "TablesConfig",
    "Team",
    "Web",
    "Webhooks",
    "load_settings",
]

_PASSWORD_IN_URL = re.compile(
    r"://[^/\s:@]*:(?!\$\{\w+\}@|\d+/)[^\s@]+@|[?&;](password|pwd)=(?!\$\{)", re.IGNORECASE
)
_SOURCE_SETTINGS = ("tables.events", "tables.subscriptions", "tables.accounts", "tables.users")
# How pydantic names the branches of a union, between the names that a user wrote.
_UNION_BRANCHES = {"str", "tuple[str, ...]", "Query", "date", "literal['today','data end']"}
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_SECRET_SETTINGS = {
    "api_key",
    "token",
    "tokens",
}  # whose values are secrets, and so never in the file


class Settings(ConfigSection):
    """Everything ``expansion.toml`` may say."""

    as_of: date | Literal["today", "data end"] = Field(
        "today", description="When no --as-of is given."
    )
    state: str = Field(
        "data/local",
        description="Folder of all we write: cache, CRM, models; relative to the settings file.",
    )
    tables: TablesConfig = TablesConfig()
    columns: ColumnsConfig = ColumnsConfig()
    roles: Roles = Roles()
    seats: Seats = Seats()
    adoption: AdoptionConfig = AdoptionConfig()
    outcome: Outcome = Outcome()
    eligibility: Eligibility = Eligibility()
    model: ModelConfig = ModelConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    team: Team = Team()
    gate: Gate = Gate()
    backtest: BacktestConfig = BacktestConfig()
    scoring: Scoring = Scoring()
    playbook: Playbook = Playbook()
    crm: CrmConfig = CrmConfig()
    digest: DigestConfig = DigestConfig()
    episodes: Episodes = Episodes()
    slack: Slack = Slack()
    web: Web = Web()
    webhooks: Webhooks = Webhooks()
    alerts: Alerts = Alerts()
    registry: RegistryConfig = RegistryConfig()
    engine: EngineConfig = EngineConfig()
    base: Path = Field(Path(), exclude=True, description="Set by load(): the file's own folder.")

    def __repr__(self) -> str:
        """What differs from the defaults, under the names it has in the file; no password."""
        told = (
            f"{name}={_mask_password(value)}"
            for name, value in _iter_changed_settings(self, Settings())
        )
        return f"Settings({', '.join(told)})"

    __str__ = __repr__

    @property
    def state_folder(self) -> Path:
        """Where everything we write goes, resolved."""
        return (self.base / self.state).resolve()

    @property
    def database_url(self) -> str:
        """The embedded CRM's database: the one named, else a file in the state folder."""
        return self.crm.url or f"sqlite:///{self.state_folder / 'crm.db'}"

    @property
    def reason_templates_file(self) -> Path | None:
        """The company's own words for the reasons, resolved; None: those of the program."""
        own = self.scoring.reason_templates
        return None if own is None else (self.base / own).resolve()


def load_settings(path: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """Read a settings file and fill in the environment's variables.

    Parameters
    ----------
    path : pathlib.Path
        The ``expansion.toml``; relative paths in it start at its own folder.
    environment : mapping of str to str, optional
        Variables for ``${NAME}``; the process's own by default.

    Returns
    -------
    Settings
        Frozen settings, every value checked.

    Raises
    ------
    SettingsError
        If the file is missing, is not TOML, names an unknown setting or a variable that is not
        set, holds a password, or gives a value out of bounds.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(
            f"no settings file at {path}. Name one with -c, or make a company to try with:"
            " expansion simulate --out DIR."
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path} cannot be read as TOML: {error}. Mend that line.") from None
    filled = _substitute_variables(raw, os.environ if environment is None else environment)
    try:
        return Settings(**{**filled, "base": path.resolve().parent})
    except ValidationError as error:
        raise SettingsError(f"{path.name}: {_format_validation_error(error)}") from None


def _substitute_variables(value: Any, environment: Mapping[str, str]) -> Any:  # noqa: ANN401 - any TOML value
    """Replace ``${NAME}`` in every string, and refuse a password written in the clear."""
    if isinstance(value, dict):
        _reject_plain_secrets(value)
        return {key: _substitute_variables(item, environment) for key, item in value.items()}
    if isinstance(value, list):
        return [_substitute_variables(item, environment) for item in value]
    if not isinstance(value, str):
        return value
    if _PASSWORD_IN_URL.search(value):
        raise SettingsError(
            "a URL in the settings holds a password; put it in an environment variable and write"
            " ${ITS_NAME} in its place."
        )
    missing = sorted(set(_VARIABLE.findall(value)) - set(environment))
    if missing:
        raise SettingsError(
            f"the settings name the environment variable(s) {', '.join(missing)}, which are not"
            " set; export them and run again."
        )
    return _VARIABLE.sub(
        lambda match: _escape_secret(environment[match[1]], value[match.end() :]), value
    )


def _reject_plain_secrets(section: Mapping[str, Any]) -> None:
    for name in _SECRET_SETTINGS & section.keys():
        told = section[name]
        values = told.values() if isinstance(told, dict) else [told]
        if any(isinstance(each, str) and not _VARIABLE.fullmatch(each) for each in values):
            raise SettingsError(
                f"the settings hold {name} in the clear; put it in an environment variable and"
                " write ${ITS_NAME} in its place."
            )


def _escape_secret(text: str, followed_by: str) -> str:
    """In a URL's password place, the characters that would part the URL are escaped."""
    return quote(text, safe="") if followed_by.startswith("@") else text


def _format_validation_error(error: ValidationError) -> str:
    """The most telling fault: a name we do not know, else the one furthest inside."""
    faults = error.errors(include_url=False)
    fault = max(faults, key=lambda item: (item["type"] == "extra_forbidden", len(item["loc"])))
    where = (
        ".".join(str(part) for part in fault["loc"] if part not in _UNION_BRANCHES) or "settings"
    )
    if fault["type"] == "extra_forbidden":
        return f"unknown setting {where}. Did you mean {_suggest_setting(where)}?"
    told = fault["msg"].removeprefix("Value error, ")
    if where in _SOURCE_SETTINGS:
        told = "expected a path, a list of paths, or url and query"
    return f"{where}: {told}{_format_found(fault['input'])}."


def _suggest_setting(name: str) -> str:
    """The setting of that name in another section, else the one written most alike."""
    known = _list_settings(Settings)
    same = [name for name in known if name.rpartition(".")[2] == name.rpartition(".")[2]]
    return (same or difflib.get_close_matches(name, known, n=1, cutoff=0.0))[0]


def _format_found(value: object) -> str:
    """What was written, unless a secret may have been filled into it."""
    is_open = not isinstance(value, Mapping) and "://" not in str(value)
    return f"; found {value!r}" if is_open else ""


def _iter_changed_settings(
    section: BaseModel, default: BaseModel, prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    """Name and value of every setting that is not as it is by default."""
    for name, field in type(section).model_fields.items():
        value, usual = getattr(section, name), getattr(default, name)
        if field.exclude or value == usual:
            continue
        if type(value) is type(usual) and isinstance(value, BaseModel):
            yield from _iter_changed_settings(value, usual, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _mask_password(value: object) -> str:
    bare = re.sub(r"//[^/@\s]*@", "//", repr(value))
    return re.sub(r"([?&;](?:password|pwd)=)[^&;'\s]*", r"\1...", bare, flags=re.IGNORECASE)


def _list_settings(section: type[BaseModel], prefix: str = "") -> list[str]:
    names = []
    for name, field in section.model_fields.items():
        if field.exclude:
            continue
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                names += _list_settings(kind, f"{prefix}{name}.")
        names.append(f"{prefix}{name}")
    return names
