"""A company may have its list told in its own words."""

from pathlib import Path
from typing import Any

from click.testing import CliRunner

from features.catalogue import reason_templates
from serving.cli.main import main


def test_the_sentences_are_printed_to_start_from() -> None:
    printed = CliRunner().invoke(main, ["features", "--sentences"])

    assert printed.exit_code == 0
    assert printed.output == reason_templates.read_text()


def test_a_list_is_told_in_a_companys_own_words(road: Any) -> None:
    words = road.config.parent / "words.toml"
    words.write_text(
        "".join(
            f"[{story}]\nraises = 'mehr {story}'\nholds = 'weniger {story}'\n"
            for story in ("seats", "newcomers", "usage", "adoption", "departments", "activity")
        ),
        encoding="utf-8",
    )
    own = _settings(road.config, words.name)

    found = CliRunner().invoke(
        main, ["score", "-c", str(own), "--dry-run", "--out", str(own.with_suffix(".parquet"))]
    )

    assert found.exit_code == 0, found.output
    assert "Mehr seats" in found.output


def test_words_that_cannot_be_told_are_refused_before_anything_is_read(
    road: Any, refused: Any
) -> None:
    (road.config.parent / "broken.toml").write_text("[seats]\nraises = '{{ n(seat) }}'\n")
    own = _settings(road.config, "broken.toml")

    found = CliRunner().invoke(main, ["score", "-c", str(own), "--dry-run"])

    assert "broken.toml: seats.raises: there is no seat" in refused(found)


def _settings(config: Path, words: str) -> Path:
    own = config.with_name(f"own-{words}")
    own.write_text(
        config.read_text(encoding="utf-8") + f"\n[scoring]\nsentences = '{words}'\n",
        encoding="utf-8",
    )
    return own
