"""The commands, settings, fields and make targets that the documentation names exist."""

import re
from pathlib import Path
from typing import NamedTuple

import click
import pytest
from pydantic import BaseModel

from data.config.settings import Settings, load_settings
from serving.cli.main import main
from serving.store.schema import SCORE_COLUMNS

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "mlflow/*.md", "notebooks/*.md")
    for path in ROOT.glob(pattern)
    if "_build" not in path.parts
)
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


class Mention(NamedTuple):
    """A text that a page contains."""

    page: Path
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}: {self.text.splitlines()[0]}"


def find_mentions(pattern: str, flags: int = 0) -> list[Mention]:
    """Return the first group of every match of a pattern in the pages, without repetition."""
    return sorted(
        {
            Mention(page, text)
            for page in PAGES
            for text in re.findall(pattern, page.read_text(encoding="utf-8"), flags)
        }
    )


def list_setting_names(section: type[BaseModel], prefix: str = "") -> set[str]:
    """Return the dotted names of all sections and settings."""
    names: set[str] = set()
    for name, field in section.model_fields.items():
        names.add(f"{prefix}{name}")
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            names |= list_setting_names(kind, f"{prefix}{name}.")
    return names


@pytest.mark.parametrize(
    "mention", find_mentions(r"(?:`|bin/|^ {4})expansion ([a-z][\w-]*[^\n`|#→]*)", re.M), ids=str
)
def test_every_command_exists_with_its_options(mention: Mention) -> None:
    words = mention.text.split()
    path = next((p for p in (" ".join(words[:2]), words[0]) if p in COMMANDS_BY_PATH), None)
    options = (
        {option for parameter in COMMANDS_BY_PATH[path].params for option in parameter.opts}
        if path
        else set()
    )

    assert path or words[0] in main.commands, f"no command {mention.text!r}"
    assert {word for word in words if re.fullmatch(r"--?[a-z][\w-]*", word)} <= options


@pytest.mark.parametrize("path", COMMANDS_BY_PATH)
def test_every_command_has_json_and_config_options_and_an_example(path: str) -> None:
    command = COMMANDS_BY_PATH[path]
    options = {option for parameter in command.params for option in parameter.opts}

    assert "--json" in options
    assert ({"-c", "--config"} <= options) == (path != "simulate")
    assert f"Example: expansion {path}" in (command.help or "")
    assert all(each.help for each in command.params if isinstance(each, click.Option))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_target_a_page_names_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))

    mentioned = set(re.findall(r"(?:^ {4}|`)make ([a-z-]+)", page.read_text("utf-8"), re.MULTILINE))

    assert mentioned <= targets


@pytest.mark.parametrize(
    "mention",
    [
        mention
        for mention in find_mentions(r"```toml\n(.*?)```", re.DOTALL)
        if mention.page.name != "features.md"  # reason templates, not settings
    ],
    ids=lambda mention: mention.page.stem,
)
def test_every_settings_example_is_valid(mention: Mention, tmp_path: Path) -> None:
    file = tmp_path / "expansion.toml"
    file.write_text(mention.text, encoding="utf-8")
    names = re.findall(r"\$\{(\w+)\}", mention.text)
    secrets = {name: f"secret {name.lower()} of many characters" for name in names}

    assert load_settings(file, secrets) != Settings()


@pytest.mark.parametrize(
    "mention",
    [
        mention
        for mention in find_mentions(r"`([a-z]+\.[a-z_.]+)(?: = [^`]*)?`")
        if mention.page.name != "design.md"  # names modules
    ],
    ids=str,
)
def test_every_setting_exists(mention: Mention) -> None:
    section = mention.text.split(".")[0]
    is_file = mention.text.endswith((".db", ".json", ".md"))
    is_vendor_name = mention.text.startswith(("crm.objects.", "crm.schemas.")) or (
        mention.text == "crm.lead"
    )

    assert (
        section not in Settings.model_fields
        or is_file
        or is_vendor_name
        or mention.text in list_setting_names(Settings)
    )


def test_every_field_of_the_list_is_described() -> None:
    page = (ROOT / "docs/reference/crm-fields.md").read_text(encoding="utf-8")

    assert set(SCORE_COLUMNS) - set(re.findall(r"`(\w+)`", page)) == {"name", "csm"}


def test_every_setting_has_a_description() -> None:
    def find_undescribed(section: type[BaseModel], prefix: str = "") -> list[str]:
        found = []
        for name, field in section.model_fields.items():
            kind = field.annotation
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found += find_undescribed(kind, f"{prefix}{name}.")
            elif not field.description:
                found.append(f"{prefix}{name}")
        return found

    assert not find_undescribed(Settings)


def test_ci_calls_the_makefile() -> None:
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")

    assert "make test\n" in script
    assert "make test-all" in script
