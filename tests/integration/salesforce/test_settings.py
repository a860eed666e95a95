"""From ``[crm.salesforce]`` to an open target, as the commands do it."""

import sys
from pathlib import Path

import pytest

from data.config import settings
from data.config.settings import Settings
from data.errors import DeliveryError, SettingsError
from serving.delivery.crm.base import ObjectRef
from serving.delivery.crm.registry import open_target
from tests.fakes.salesforce.server import CLIENT, SalesforceServer

CONFIG = """
state = "."
[crm]
name = "salesforce"
[crm.salesforce]
instance_url = "{url}"
client_id = "${{SALESFORCE_CLIENT_ID}}"
client_secret = "${{SALESFORCE_CLIENT_SECRET}}"
"""
VARIABLES = dict(zip(("SALESFORCE_CLIENT_ID", "SALESFORCE_CLIENT_SECRET"), CLIENT, strict=True))


def load_config(folder: Path, url: str, more: str = "") -> Settings:
    file = folder / "expansion.toml"
    file.write_text(CONFIG.format(url=url) + more)
    return settings.load_settings(file, VARIABLES)


def test_a_target_is_opened_with_its_settings(tmp_path: Path, server: SalesforceServer) -> None:
    config = load_config(
        tmp_path,
        server.url,
        'match = "Product_Id__c"\n[crm.salesforce.fields.account]\nmodel = ""\n',
    )

    target = open_target(config)
    lines = target.provision()
    server.org.deploy(tmp_path / "salesforce")
    server.org.add("Account", Name="One", Product_Id__c="p-1")

    assert str(tmp_path / "salesforce") in lines[0]
    assert "Expansion_Model__c" not in server.org.fields["Account"]
    assert target.read([ObjectRef("account", "p-1", "p-1")])[0] is not None
    assert CLIENT[1] not in repr(config) + repr(target)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            '[crm.salesforce.fields.account]\nprobabilty = "P__c"\n',
            r"unknown field\(s\) probabilty; expected one of",
        ),
        ("daily_share = 2\n", "crm.salesforce.daily_share"),
    ],
)
def test_an_invalid_setting_is_reported(
    tmp_path: Path, server: SalesforceServer, more: str, message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        open_target(load_config(tmp_path, server.url, more))


def test_plain_http_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"expected https://, found http://acme\.example"):
        open_target(load_config(tmp_path, "http://acme.example"))


def test_without_credentials_the_error_names_the_variables(tmp_path: Path) -> None:
    file = tmp_path / "expansion.toml"
    file.write_text('[crm]\nname = "salesforce"\n')

    with pytest.raises(SettingsError, match="expected instance_url, client_id and client_secret"):
        open_target(settings.load_settings(file, {}))


def test_a_missing_library_is_reported_with_the_install_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(tmp_path, "https://acme.example")
    for name in [
        name for name in sys.modules if name.startswith("serving.delivery.crm.salesforce")
    ]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.startswith("simple_salesforce")]:
        monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(DeliveryError, match=r"not installed: pip install '\.\[salesforce\]'"):
        open_target(config)
