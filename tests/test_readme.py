"""What the README says can be done, can be done."""

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
# Every command by what is typed: "score", "crm send".
TYPED = {
    " ".join(words): command
    for name, outer in main.commands.items()
    for words, command in (
        [((name, inner), below) for inner, below in outer.commands.items()]
        if isinstance(outer, click.Group)
        else [((name,), outer)]
    )
}
SNIPPETS = re.findall(r"```toml\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize(("name", "rest"), COMMANDS)
def test_every_command_the_readme_names_exists_with_its_options(name: str, rest: str) -> None:
    within = re.match(rf"{name} ([\w-]+)", f"{name}{rest}")
    command = TYPED[name] if name in TYPED else TYPED[f"{name} {within[1]}" if within else name]
    known = {option for parameter in command.params for option in parameter.opts}

    assert set(re.findall(r"(?<!\S)--?[a-z][\w-]*", rest)) <= known


@pytest.mark.parametrize("name", sorted(TYPED))
def test_the_readme_names_every_command(name: str) -> None:
    assert f"`expansion {name}" in README


@pytest.mark.parametrize("command", TYPED.values(), ids=TYPED)
def test_every_command_answers_in_json_and_takes_a_config(command: click.Command) -> None:
    known = {option for parameter in command.params for option in parameter.opts}

    assert "--json" in known
    assert command.name == "simulate" or {"-c", "--config"} <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_target_a_page_names_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))

    named = set(re.findall(r"^\s+make ([a-z-]+)", page.read_text("utf-8"), flags=re.MULTILINE))

    assert named <= targets


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


def test_the_makefile_is_what_ci_calls() -> None:
    assert "make test" in (ROOT / ".ci/run").read_text(encoding="utf-8")
