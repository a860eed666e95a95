"""Settings in ``expansion.toml``, and the errors for invalid ones."""

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


def test_an_empty_file_gives_the_defaults_and_its_own_folder(load, tmp_path):
    loaded = load("")

    assert loaded.outcome.horizon_days == 60
    assert loaded.base == tmp_path
    assert loaded.state_folder == tmp_path / "data/local"


def test_every_setting_is_described():
    roles = settings.RolesConfig  # documented by their names

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
            "model: horizons_days must be an ascending list of days.",
        ),
        ("[roles]\nlogin = ['a']\nnps = ['a']", "roles: event name(s) with two roles: a."),
    ],
)
def test_an_error_names_the_setting_as_written(load, text, complaint):
    with pytest.raises(SettingsError) as refusal:
        load(text)

    assert str(refusal.value) == f"expansion.toml: {complaint}"


@given(data=st.data())
def test_a_typo_suggests_the_intended_setting(tmp_path_factory, data):
    section = data.draw(st.sampled_from(["outcome", "eligibility", "evaluation", "scoring"]))
    names = sorted(settings.Settings.model_fields[section].annotation.model_fields)
    name = data.draw(st.sampled_from(names))
    slip = name + data.draw(st.sampled_from("sx_"))
    path = tmp_path_factory.mktemp("slip") / "expansion.toml"
    path.write_text(f"[{section}]\n{slip} = 1\n")

    with pytest.raises(SettingsError, match=rf"Did you mean {section}\.{name}\?"):
        settings.load_settings(path, {})


def test_a_missing_file_error_suggests_how_to_create_one(tmp_path):
    with pytest.raises(SettingsError, match=r"no settings file at .*gone\.toml.*simulate"):
        settings.load_settings(tmp_path / "gone.toml", {})


@pytest.mark.parametrize("text", ["tables = [", "a = 1\na = 2"])
def test_invalid_toml_is_reported_with_its_line(load, text):
    with pytest.raises(SettingsError, match=r"cannot be read as TOML: .*line"):
        load(text)


def test_a_folder_instead_of_the_file_is_rejected(tmp_path):
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
def test_a_password_in_the_file_is_rejected_and_not_repeated(load, url):
    with pytest.raises(SettingsError, match="holds a password") as refusal:
        load(database(url), TAIL="x")

    assert "s3cret" not in str(refusal.value)


@pytest.mark.parametrize(
    "url", ["postgresql://host:5432/db", "s3://bucket/a:b", "postgresql://me@host/db"]
)
def test_a_url_without_password_is_accepted(load, url):
    assert load(database(url)).tables.events.url == url


def test_a_variable_is_escaped_in_the_password_of_a_url(load):
    loaded = load(database("postgresql://me:${WAREHOUSE}@host/db"), WAREHOUSE="p@ss/word")

    assert loaded.tables.events.url == "postgresql://me:p%40ss%2Fword@host/db"


def test_a_whole_url_may_be_a_variable(load):
    loaded = load(database("${WAREHOUSE}"), WAREHOUSE="postgresql://me:s3cret@host/db")

    assert loaded.tables.events.url == "postgresql://me:s3cret@host/db"


def test_variables_that_are_not_set_are_named(load):
    with pytest.raises(SettingsError, match=r"variable\(s\) OTHER, WAREHOUSE, which are not set"):
        load(database("${WAREHOUSE}${OTHER}"))


def test_an_error_does_not_show_a_substituted_secret(load):
    text = "[tables.events]\nurl = 'postgresql://me:${WAREHOUSE}@host/db'"

    with pytest.raises(SettingsError, match=r"tables\.events\.query: Field required") as refusal:
        load(text, WAREHOUSE="s3cret")

    assert "s3cret" not in str(refusal.value)


def test_the_repr_of_a_section_hides_urls() -> None:
    address = "postgresql://reader:hunter2@warehouse/analytics"
    sections_with_urls = [
        settings.DatabaseConfig(url=address),
        settings.SqlQuery(url=address, query="select 1"),
        settings.RegistryConfig(tracking_uri=address, tuning_url=address),
    ]

    assert all("hunter2" not in repr(section) for section in sections_with_urls)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("[model]\nmembers = 5", "model.members; it is now model.ensemble_size"),
        ("[crm]\nurl = 'sqlite:///x'", "crm.url; it is now database.url"),
        ("[crm.odoo]\nmake_partners = true", "crm.odoo.make_partners; it is now crm.odoo.create_"),
        ("[triggers]\nnudge = 0.7", "triggers; it is now alerts"),
    ],
)
def test_a_renamed_setting_is_rejected_with_its_new_name(load, text, names):
    with pytest.raises(SettingsError, match=f"unknown setting {names}"):
        load(text)


def test_every_renamed_setting_has_an_existing_new_name() -> None:
    known = set(settings.list_setting_names(settings.Settings))

    assert set(settings.RENAMED_SETTINGS.values()) <= known
    assert not set(settings.RENAMED_SETTINGS) & known


def test_motion_minutes_and_contact_roles_override_single_motions(load) -> None:
    playbook = load("[playbook.motion_minutes]\nwatch = 10").playbook

    assert playbook.motion_minutes["watch"] == 10
    assert playbook.motion_minutes["seat_add"] == 30
    assert playbook.contact_roles["watch"] == "champion"


@pytest.mark.parametrize("text", ["motion_minutes]\nnone = 1", "contact_roles]\nrest = 'x'"])
def test_an_unknown_motion_is_rejected(load, text) -> None:
    with pytest.raises(SettingsError, match="playbook"):
        load(f"[playbook.{text}")
