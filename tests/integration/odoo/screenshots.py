"""Take screenshots of Odoo as a CSM sees it, in a real browser.

    python -m tests.integration.odoo.screenshots URL DATABASE LOGIN PASSWORD FOLDER

Writes the list, an account, the pipeline and an opportunity as PNG into the folder.
"""

import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

_CHROMIUM = "/usr/bin/chromium"
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
_TIMEOUT_MS = 180_000  # Odoo builds its assets on first use


def main(url: str, database: str, login: str, password: str, folder: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=_FLAGS)
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(_TIMEOUT_MS)
        page.goto(f"{url}/web/login?db={database}")
        page.fill("input[name=login]", login)
        page.fill("input[name=password]", password)
        page.click("button[type=submit]")
        page.wait_for_selector(".o_navbar, .o_main_navbar")
        take_screenshots(page, url, Path(folder))
        browser.close()


def take_screenshots(page: Page, url: str, folder: Path) -> None:
    """Open the pages that a CSM uses."""
    page.goto(f"{url}/odoo/crm")
    page.wait_for_selector(".o_kanban_view, .o_list_view")
    page.click(".o_menu_sections button:has-text('Sales')")
    page.click(".o-dropdown-item:has-text('Expansion')")
    take_screenshot(page, ".o_list_view .o_data_row", folder / "list.png")
    page.click(".o_data_row .o_data_cell[name=display_name]")
    take_screenshot(page, ".o_form_view .o_notebook", folder / "account.png")
    page.click(".o_notebook .nav-link:has-text('Expansion')")
    take_screenshot(page, ".o_form_view .o_notebook", folder / "account_figures.png")
    page.goto(f"{url}/odoo/crm")
    take_screenshot(page, ".o_kanban_record", folder / "pipeline.png")
    page.click(".o_kanban_record >> nth=0")
    take_screenshot(page, ".o_form_view .o_notebook", folder / "opportunity.png")


def take_screenshot(page: Page, selector: str, file: Path) -> None:
    page.wait_for_selector(selector)
    page.mouse.move(1, 899)
    page.wait_for_selector(".o_loading_indicator", state="hidden")
    page.wait_for_timeout(1500)
    page.screenshot(path=file)


if __name__ == "__main__":
    main(*sys.argv[1:])
