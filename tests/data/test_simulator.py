from datetime import date
from pathlib import Path

from data import settings, simulator


def test_the_settings_it_writes_load(tmp_path: Path) -> None:
    simulator.write(tmp_path, accounts=20, months=3, seed=1)

    loaded = settings.load(tmp_path / "expansion.toml")

    assert loaded.as_of == "data end"
    assert loaded.outcome.plans == ("free", "team", "business", "enterprise")
    assert loaded.base == tmp_path


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    first, second, third = tmp_path / "first", tmp_path / "second", tmp_path / "third"

    for folder, seed in ((first, 1), (second, 1), (third, 2)):
        simulator.write(folder, accounts=20, months=2, seed=seed, end=date(2025, 3, 1))

    assert _bytes(first) == _bytes(second)
    assert _bytes(first) != _bytes(third)


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.*"))}
