"""Custom reason templates."""

from pathlib import Path
from typing import Any

from click.testing import CliRunner

from features.catalogue import reason_templates
from serving.cli.main import main


def test_the_default_templates_are_printed_for_customization() -> None:
    printed = CliRunner().invoke(main, ["features", "--reason-templates"])

    assert printed.exit_code == 0
    assert printed.output == reason_templates.read_text()


def test_a_list_uses_custom_templates(trained_company: Any) -> None:
    templates = trained_company.config.parent / "templates.toml"
    templates.write_text(
        "".join(
            f"[{group}]\nincreases = 'mehr {group}'\ndecreases = 'weniger {group}'\n"
            for group in ("seats", "newcomers", "usage", "adoption", "departments", "activity")
        ),
        encoding="utf-8",
    )
    own = _settings(trained_company.config, templates.name)

    result = CliRunner().invoke(
        main, ["score", "-c", str(own), "--dry-run", "--out", str(own.with_suffix(".parquet"))]
    )

    assert result.exit_code == 0, result.output
    assert "Mehr seats" in result.output


def test_invalid_templates_are_rejected_before_any_data_is_read(
    trained_company: Any, error_message: Any
) -> None:
    (trained_company.config.parent / "broken.toml").write_text(
        "[seats]\nincreases = '{{ n(seat) }}'\n"
    )
    own = _settings(trained_company.config, "broken.toml")

    result = CliRunner().invoke(main, ["score", "-c", str(own), "--dry-run"])

    assert "broken.toml: seats.increases: unknown name seat" in error_message(result)


def _settings(config: Path, templates: str) -> Path:
    own = config.with_name(f"own-{templates}")
    own.write_text(
        config.read_text(encoding="utf-8") + f"\n[scoring]\nreason_templates = '{templates}'\n",
        encoding="utf-8",
    )
    return own
