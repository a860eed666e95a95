"""What ``expansion.toml`` may say, and what is said when it says something else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from data.config import settings
from data.errors import SettingsError


@pytest.fixture
def load(tmp_path):
    def load(text, **environment):
        path = tmp_path / "expansion.toml"
        path.write_text(text, encoding="utf-8")
        return settings.load_settings(path, environment)

    return load


def sections(model=settings.Settings):
    yield model
    for field in model.model_fields.values():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from sections(field.annotation)


def test_an_empty_file_gives_the_defaults_and_the_folder_it_lies_in(load, tmp_path):
    found = load("")

    assert found.outcome.horizon_days == 60
    assert found.base == tmp_path
    assert found.state_folder == tmp_path / "data/local"


def test_every_setting_is_described():
    roles = settings.Roles  # named by what they are

    for section in sections():
        assert section.__doc__
        for name, field in section.model_fields.items():
            is_section = isinstance(field.annotation, type) and field.annotation in set(sections())
            assert field.description or is_section or section is roles, f"{section}.{name}"


def test_settings_do_not_change(load):
    with pytest.raises(ValueError, match="frozen"):
        load("").outcome.horizon_days = 30


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[tables]\nevent = 'x'", "unknown setting tables.event. Did you mean tables.events?"),
        ("[table]\nevents = 'x'", "unknown setting table. Did you mean tables?"),
        ("horizon_days = 60", "unknown setting horizon_days. Did you mean outcome.horizon_days?"),
        (
            "[tables.users]\nurl = 'sqlite:///x'\nquerry = 'select 1'",
            "unknown setting tables.users.querry. Did you mean tables.users.query?",
        ),
        (
            "[tables]\nevents = 3",
            "tables.events: expected a path, a list of paths, or url and query; found 3.",
        ),
        (
            "[outcome]\nhorizon_days = 3",
            "outcome.horizon_days: Input should be greater than or equal to 7; found 3.",
        ),
        (
            "[model]\nhorizons_days = [60, 30]",
            "model: horizons_days must be a rising list of days.",
        ),
        ("[roles]\nlogin = ['a']\nnps = ['a']", "roles: event name(s) with two roles: a."),
    ],
)
def test_a_fault_is_told_by_the_name_that_was_written(load, text, complaint):
    with pytest.raises(SettingsError) as refusal:
        load(text)

    assert str(refusal.value) == f"expansion.toml: {complaint}"


@given(data=st.data())
def test_a_slip_of_the_finger_finds_the_setting_that_was_meant(tmp_path_factory, data):
    section = data.draw(st.sampled_from(["outcome", "eligibility", "evaluation", "scoring"]))
    names = sorted(settings.Settings.model_fields[section].annotation.model_fields)
    name = data.draw(st.sampled_from(names))
    slip = name + data.draw(st.sampled_from("sx_"))
    path = tmp_path_factory.mktemp("slip") / "expansion.toml"
    path.write_text(f"[{section}]\n{slip} = 1\n")

    with pytest.raises(SettingsError, match=rf"Did you mean {section}\.{name}\?"):
        settings.load_settings(path, {})


def test_a_missing_file_says_how_to_get_one(tmp_path):
    with pytest.raises(SettingsError, match=r"no settings file at .*gone\.toml.*simulate"):
        settings.load_settings(tmp_path / "gone.toml", {})


@pytest.mark.parametrize("text", ["tables = [", "a = 1\na = 2"])
def test_what_is_not_toml_is_told_with_its_line(load, text):
    with pytest.raises(SettingsError, match=r"cannot be read as TOML: .*line"):
        load(text)


def test_a_folder_in_place_of_the_file_is_told(tmp_path):
    with pytest.raises(SettingsError, match="cannot be read"):
        settings.load_settings(tmp_path, {})


# Secrets


def database(url):
    return f"[tables.events]\nurl = '{url}'\nquery = 'select 1'"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:s3cret@host/db",
        "postgresql://:s3cret@host/db",
        "postgresql://me:a/b:c@host/db",
        "postgresql://me:s3cret${TAIL}@host/db",
        "postgresql://host/db?user=me&password=s3cret",
    ],
)
def test_a_password_in_the_file_is_refused_and_not_repeated(load, url):
    with pytest.raises(SettingsError, match="holds a password") as refusal:
        load(database(url), TAIL="x")

    assert "s3cret" not in str(refusal.value)


@pytest.mark.parametrize(
    "url", ["postgresql://host:5432/db", "s3://bucket/a:b", "postgresql://me@host/db"]
)
def test_a_url_without_password_is_accepted(load, url):
    assert load(database(url)).tables.events.url == url


def test_a_variable_is_filled_in_and_escaped_where_a_password_stands(load):
    found = load(database("postgresql://me:${WAREHOUSE}@host/db"), WAREHOUSE="p@ss/word")

    assert found.tables.events.url == "postgresql://me:p%40ss%2Fword@host/db"


def test_a_whole_address_may_be_a_variable(load):
    found = load(database("${WAREHOUSE}"), WAREHOUSE="postgresql://me:s3cret@host/db")

    assert found.tables.events.url == "postgresql://me:s3cret@host/db"


def test_variables_that_are_not_set_are_named(load):
    with pytest.raises(SettingsError, match=r"variable\(s\) OTHER, WAREHOUSE, which are not set"):
        load(database("${WAREHOUSE}${OTHER}"))


def test_a_fault_beside_a_filled_in_secret_does_not_show_it(load):
    text = "[tables.events]\nurl = 'postgresql://me:${WAREHOUSE}@host/db'"

    with pytest.raises(SettingsError, match=r"tables\.events\.query: Field required") as refusal:
        load(text, WAREHOUSE="s3cret")

    assert "s3cret" not in str(refusal.value)


def test_a_section_alone_shows_no_address_that_may_hold_a_password() -> None:
    address = "postgresql://reader:hunter2@warehouse/analytics"
    shown = [
        settings.CrmConfig(url=address),
        settings.SqlQuery(url=address, query="select 1"),
        settings.RegistryConfig(tracking_uri=address, tuning_url=address),
    ]

    assert all("hunter2" not in repr(section) for section in shown)
