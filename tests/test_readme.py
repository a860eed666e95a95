"""The commands, settings, fields and make targets that the README names exist."""

import re
import tomllib
from pathlib import Path

import click
import pytest

from data.config.settings import Settings
from serving.cli.main import main
from serving.store.schema import SCORE_COLUMNS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "mlflow/README.md", ROOT / "notebooks/README.md"]
COMMANDS = sorted(set(re.findall(r"(?:`|bin/)expansion ([\w-]+)([^\n`|]*)", README)))
# Every command by the words that a user types: "score", "crm send".
COMMANDS_BY_PATH = {
    " ".join(words): command
    for name, outer in main.commands.items()
    for words, command in (
        [((name, inner), command) for inner, command in outer.commands.items()]
        if isinstance(outer, click.Group)
        else [((name,), outer)]
    )
}
SNIPPETS = re.findall(r"```toml\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize(("name", "rest"), COMMANDS)
def test_every_command_the_readme_names_exists_with_its_options(name: str, rest: str) -> None:
    subcommand = re.match(rf"{name} ([\w-]+)", f"{name}{rest}")
    path = f"{name} {subcommand[1]}" if name not in COMMANDS_BY_PATH and subcommand else name
    command = COMMANDS_BY_PATH[path]
    options = {option for parameter in command.params for option in parameter.opts}

    assert set(re.findall(r"(?<!\S)--?[a-z][\w-]*", rest)) <= options


@pytest.mark.parametrize("name", sorted(COMMANDS_BY_PATH))
def test_the_readme_names_every_command(name: str) -> None:
    assert f"`expansion {name}" in README


@pytest.mark.parametrize("command", COMMANDS_BY_PATH.values(), ids=COMMANDS_BY_PATH)
def test_every_command_has_json_output_and_a_config_option(command: click.Command) -> None:
    options = {option for parameter in command.params for option in parameter.opts}

    assert "--json" in options
    assert command.name == "simulate" or {"-c", "--config"} <= options


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_target_a_page_names_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))

    mentioned = set(re.findall(r"^\s+make ([a-z-]+)", page.read_text("utf-8"), flags=re.MULTILINE))

    assert mentioned <= targets


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_every_settings_example_is_valid(snippet: str) -> None:
    assert Settings(**tomllib.loads(snippet))


def test_every_setting_the_readme_names_exists() -> None:
    for section, name in re.findall(r"`([a-z]+)\.(?!db`)([a-z_]+)`", README):
        if section in Settings.model_fields:
            assert hasattr(getattr(Settings(), section), name), f"{section}.{name}"


def test_every_crm_field_is_described() -> None:
    described = set(re.findall(r"`(\w+)`", README.split("Where the CRM fields are")[1]))

    assert set(SCORE_COLUMNS) - described == {"name", "csm"}


def test_ci_calls_the_makefile() -> None:
    assert "make test" in (ROOT / ".ci/run").read_text(encoding="utf-8")
