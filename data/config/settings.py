"""Settings from ``expansion.toml`` and the environment, loaded once into frozen models.

An unknown setting is rejected with the nearest known name. Secrets are never written in the
file: a value may name an environment variable as ``${NAME}``.
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

from data.config.base import MONTH_DAYS, ConfigSection
from data.config.delivery import (
    CrmConfig,
    DatabaseConfig,
    DigestConfig,
    EpisodesConfig,
    SlackConfig,
)
from data.config.inputs import (
    AdoptionConfig,
    ColumnsConfig,
    EngineConfig,
    RolesConfig,
    SeatsConfig,
    SqlQuery,
    TablesConfig,
)
from data.config.scoring import Playbook, Scoring
from data.config.server import AlertsConfig, WebConfig, WebhooksConfig
from data.config.training import (
    BacktestConfig,
    EligibilityConfig,
    EvaluationConfig,
    GateConfig,
    ModelConfig,
    OutcomeConfig,
    RegistryConfig,
    TeamConfig,
)
from data.errors import SettingsError

__all__ = [
    "MONTH_DAYS",
    "RENAMED_SETTINGS",
    "AdoptionConfig",
    "AlertsConfig",
    "BacktestConfig",
    "ColumnsConfig",
    "CrmConfig",
    "DatabaseConfig",
    "DigestConfig",
    "EligibilityConfig",
    "EngineConfig",
    "EpisodesConfig",
    "EvaluationConfig",
    "GateConfig",
    "ModelConfig",
    "OutcomeConfig",
    "Playbook",
    "RegistryConfig",
    "RolesConfig",
    "Scoring",
    "SeatsConfig",
    "Settings",
    "SlackConfig",
    "SqlQuery",
    "TablesConfig",
    "TeamConfig",
    "WebConfig",
    "WebhooksConfig",
    "list_setting_names",
    "load_settings",
]

_PASSWORD_IN_URL = re.compile(
    r"://[^/\s:@]*:(?!\$\{\w+\}@|\d+/)[^\s@]+@|[?&;](password|pwd)=(?!\$\{)", re.IGNORECASE
)
_SOURCE_SETTINGS = ("tables.events", "tables.subscriptions", "tables.accounts", "tables.users")
# Union branches that pydantic adds to the path of an error.
_UNION_BRANCHES = {
    "str",
    "tuple[str, ...]",
    "SqlQuery",
    "date",
    "literal['today','data end']",
}
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_SECRET_SETTINGS = {"api_key", "token", "tokens"}  # must name a variable
RENAMED_SETTINGS = {
    "tables.stable": "tables.time_invariant_attributes",
    "adoption.advanced": "adoption.advanced_features",
    "outcome.min_rise": "outcome.min_increase",
    "eligibility.silent_days": "eligibility.max_inactive_days",
    "model.members": "model.ensemble_size",
    "model.rounds": "model.n_estimators",
    "model.leaves": "model.num_leaves",
    "model.min_leaf_rows": "model.min_child_samples",
    "model.l2": "model.reg_lambda",
    "model.ridge": "model.ridge_penalty",
    "model.linear_accounts": "model.blend_prior_accounts",
    "model.unseen_spread": "model.residual_logit_sd",
    "model.held": "model.monotone_features",
    "evaluation.resamples": "evaluation.n_bootstrap",
    "backtest.rest_days": "backtest.cooldown_days",
    "backtest.caught_within_days": "backtest.detection_window_days",
    "backtest.rule_share": "backtest.rule_utilization",
    "scoring.phrases": "scoring.ui_strings",
    "scoring.sentences": "scoring.reason_templates",
    "registry.search_url": "registry.tuning_url",
    "playbook.rest_days": "playbook.cooldown_days",
    "playbook.seat_share": "playbook.seat_utilization",
    "playbook.usage_share": "playbook.usage_utilization",
    "playbook.limit_share": "playbook.limit_utilization",
    "playbook.plateau_share": "playbook.plateau_utilization",
    "playbook.buyers": "playbook.contact_roles",
    "playbook.minutes": "playbook.motion_minutes",
    "crm.url": "database.url",
    "crm.shadow": "crm.hold_first_run",
    "crm.odoo.make_partners": "crm.odoo.create_partners",
    "crm.hubspot.make_companies": "crm.hubspot.create_companies",
    "crm.salesforce.make_accounts": "crm.salesforce.create_accounts",
    "episodes.relief_days": "episodes.clear_after_days",
    "web.names": "web.allowed_hosts",
    "web.header": "web.auth_header",
    "web.proxies": "web.trusted_proxies",
    "web.leads": "web.managers",
    "web.csms": "web.user_portfolios",
    "web.hooks_per_minute": "web.webhook_requests_per_minute",
    "webhooks.shape": "webhooks.payload_format",
    "webhooks.keep_days": "webhooks.retention_days",
    "alerts.release": "alerts.clear_threshold",
    "alerts.relief_days": "alerts.clear_after_days",
    "triggers": "alerts",
}


class Settings(ConfigSection):
    """All settings of ``expansion.toml``."""

    as_of: date | Literal["today", "data end"] = Field(
        "today", description="As-of date if --as-of is not given."
    )
    state: str = Field(
        "data/local",
        description="Folder of the cache, database and models; relative to the settings file.",
    )
    tables: TablesConfig = TablesConfig()
    columns: ColumnsConfig = ColumnsConfig()
    roles: RolesConfig = RolesConfig()
    seats: SeatsConfig = SeatsConfig()
    adoption: AdoptionConfig = AdoptionConfig()
    outcome: OutcomeConfig = OutcomeConfig()
    eligibility: EligibilityConfig = EligibilityConfig()
    model: ModelConfig = ModelConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    team: TeamConfig = TeamConfig()
    gate: GateConfig = GateConfig()
    backtest: BacktestConfig = BacktestConfig()
    scoring: Scoring = Scoring()
    playbook: Playbook = Playbook()
    database: DatabaseConfig = DatabaseConfig()
    crm: CrmConfig = CrmConfig()
    digest: DigestConfig = DigestConfig()
    episodes: EpisodesConfig = EpisodesConfig()
    slack: SlackConfig = SlackConfig()
    web: WebConfig = WebConfig()
    webhooks: WebhooksConfig = WebhooksConfig()
    alerts: AlertsConfig = AlertsConfig()
    registry: RegistryConfig = RegistryConfig()
    engine: EngineConfig = EngineConfig()
    base: Path = Field(Path(), exclude=True, description="Folder of the settings file.")

    def __repr__(self) -> str:
        """Return the settings that differ from the defaults; passwords are masked."""
        changed = (
            f"{name}={_mask_password(value)}"
            for name, value in _iter_changed_settings(self, Settings())
        )
        return f"Settings({', '.join(changed)})"

    __str__ = __repr__

    @property
    def state_folder(self) -> Path:
        """Resolved folder of everything the program writes."""
        return (self.base / self.state).resolve()

    @property
    def database_url(self) -> str:
        """URL of the application database: ``database.url``, else a file in the state folder."""
        return self.database.url or f"sqlite:///{self.state_folder / 'crm.db'}"

    @property
    def reason_templates_file(self) -> Path | None:
        """Resolved path of the company's own reason templates; None for the built-in ones."""
        template_file = self.scoring.reason_templates
        return None if template_file is None else (self.base / template_file).resolve()


def load_settings(path: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """Load a settings file and substitute environment variables.

    Parameters
    ----------
    path : pathlib.Path
        The ``expansion.toml``; relative paths in it start at its own folder.
    environment : mapping of str to str, optional
        Variables for ``${NAME}``; the process's own by default.

    Returns
    -------
    Settings
        Frozen, validated settings.

    Raises
    ------
    SettingsError
        If the file is missing, is not TOML, names an unknown setting or a variable that is not
        set, holds a password, or has a value out of bounds.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(
            f"no settings file at {path}. Pass one with -c, or create a synthetic company:"
            " expansion simulate --out DIR."
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path} cannot be read as TOML: {error}. Fix that line.") from None
    substituted = _substitute_variables(raw, os.environ if environment is None else environment)
    try:
        return Settings(**{**substituted, "base": path.resolve().parent})
    except ValidationError as error:
        raise SettingsError(f"{path.name}: {_format_validation_error(error)}") from None


def _substitute_variables(value: Any, environment: Mapping[str, str]) -> Any:  # noqa: ANN401 - any TOML value
    """Replace ``${NAME}`` in every string; raise for a password written in plain text."""
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
            " ${ITS_NAME} instead."
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
        secret = section[name]
        values = secret.values() if isinstance(secret, dict) else [secret]
        if any(isinstance(text, str) and not _VARIABLE.fullmatch(text) for text in values):
            raise SettingsError(
                f"the settings hold {name} in plain text; put it in an environment variable and"
                " write ${ITS_NAME} instead."
            )


def _escape_secret(text: str, followed_by: str) -> str:
    """Percent-encode a value that is used as the password in a URL."""
    return quote(text, safe="") if followed_by.startswith("@") else text


def _format_validation_error(error: ValidationError) -> str:
    """Return the most specific error: an unknown setting, else the most deeply nested one."""
    errors = error.errors(include_url=False)
    worst = max(errors, key=lambda item: (item["type"] == "extra_forbidden", len(item["loc"])))
    setting = (
        ".".join(str(part) for part in worst["loc"] if part not in _UNION_BRANCHES) or "settings"
    )
    if worst["type"] == "extra_forbidden" and setting in RENAMED_SETTINGS:
        return f"unknown setting {setting}; it is now {RENAMED_SETTINGS[setting]}."
    if worst["type"] == "extra_forbidden":
        return f"unknown setting {setting}. Did you mean {_suggest_setting(setting)}?"
    message = worst["msg"].removeprefix("Value error, ").replace("valid tuple", "valid list")
    if setting in _SOURCE_SETTINGS:
        message = "expected a path, a list of paths, or url and query"
    return f"{setting}: {message}{_format_found(worst['input'])}."


def _suggest_setting(name: str) -> str:
    """Return the setting of that name in another section, else the closest match."""
    settings = list_setting_names(Settings)
    same_name = [item for item in settings if item.rpartition(".")[2] == name.rpartition(".")[2]]
    return (same_name or difflib.get_close_matches(name, settings, n=1, cutoff=0.0))[0]


def _format_found(value: object) -> str:
    """Format the value found, unless it may contain a secret."""
    is_public = not isinstance(value, Mapping) and "://" not in str(value)
    return f"; found {value!r}" if is_public else ""


def _iter_changed_settings(
    section: BaseModel, default: BaseModel, prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    """Yield name and value of every setting that differs from its default."""
    for name, field in type(section).model_fields.items():
        value, default_value = getattr(section, name), getattr(default, name)
        if field.exclude or value == default_value:
            continue
        if type(value) is type(default_value) and isinstance(value, BaseModel):
            yield from _iter_changed_settings(value, default_value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _mask_password(value: object) -> str:
    masked = re.sub(r"//[^/@\s]*@", "//", repr(value))
    return re.sub(r"([?&;](?:password|pwd)=)[^&;'\s]*", r"\1...", masked, flags=re.IGNORECASE)


def list_setting_names(section: type[BaseModel], prefix: str = "") -> list[str]:
    """Return the dotted names of all settings of a section."""
    names = []
    for name, field in section.model_fields.items():
        if field.exclude:
            continue
        for annotation in (field.annotation, *get_args(field.annotation)):
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                names += list_setting_names(annotation, f"{prefix}{name}.")
        names.append(f"{prefix}{name}")
    return names
