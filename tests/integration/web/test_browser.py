"""The pages in a real browser: flows, keyboard, phone width, accessibility (axe)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.integration.web.web_client import (
    MONDAY,
    TOKEN_SETTINGS,
    TOKENS,
    WebFixture,
    build_rows,
    insert_alert,
    open_web_fixture,
    submit_feedback,
    write_list,
)

pytestmark = pytest.mark.slow

PAGES = ("/", "/account?id=acc_00002", "/account?id=gone", "/model", "/runs", "/?q=nobody", "/no")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebFixture]:
    with open_web_fixture(tmp_path_factory.mktemp("browser")) as opened:
        for index, verdict in enumerate(("contacted", "won", "not now")):
            assert submit_feedback(opened.client, f"acc_0000{index}", verdict=verdict).is_redirect
        yield opened


@pytest.fixture
def look(chromium: Browser, shared: WebFixture) -> Iterator[Any]:
    """Open a browser window; console errors and requests to other hosts fail the test."""
    errors: list[str] = []
    windows = []

    def opened(path: str = "/", *, of: WebFixture = shared, **how: Any) -> Page:
        base = str(of.client.base_url)
        window = chromium.new_context(base_url=base, **how)
        windows.append(window)
        page = window.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on(
            "console",
            lambda message: (
                message.type == "error"
                and "404" not in message.text
                and errors.append(message.text)
            ),
        )
        page.on(
            "request",
            lambda request: request.url.startswith(base) or errors.append(f"asked {request.url}"),
        )
        page.goto(path)
        return page

    yield opened
    for window in windows:
        window.close()
    assert errors == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_no_violations(look: Any, scheme: str, width: int) -> None:
    for path in PAGES:
        page = look(path, color_scheme=scheme, viewport={"width": width, "height": 900})

        violations = Axe().run(page).response["violations"]

        assert [(each["id"], each["nodes"][0]["html"]) for each in violations] == [], path


@pytest.mark.parametrize("width", [320, 390, 768, 1280, 2000])
def test_no_page_overflows(look: Any, width: int) -> None:
    for path in PAGES:
        page = look(path, viewport={"width": width, "height": 900})

        assert page.evaluate("document.documentElement.scrollWidth") <= width, path


@pytest.mark.parametrize("width", [320, 768, 1280])
def test_long_names_do_not_overflow(look: Any, tmp_path: Path, width: int) -> None:
    with open_web_fixture(tmp_path, count=3) as long:
        much = {
            "csm": "M" * 70,
            "name": "W" * 200,
            "signals": ["x" * 300],
            "contact_role": "b" * 90,
        }
        seats = {"active_seats": 1_230_000, "licensed_seats": 1_234_567, "expected_arr": 1.2e9}
        write_list(long.engine, [{**row, **much, **seats} for row in build_rows(3)])
        insert_alert(long.engine, "acc_00000", severity="urgent", at=MONDAY)
        for path in ("/", "/account?id=acc_00000"):
            page = look(path, of=long, viewport={"width": width, "height": 900})

            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
            over = (
                "[...document.querySelectorAll('.fact')].filter(e => e.scrollWidth > e.clientWidth)"
            )
            assert page.evaluate(f"{over}.length") == 0, path
            page.close()


def test_filters_change_the_table_and_the_url_without_a_page_load(
    look: Any, shared: WebFixture
) -> None:
    page = look()
    page.evaluate("window.same = true")

    page.get_by_label("CSM").select_option("Ada")
    page.wait_for_url("**/?*csm=Ada*")
    page.get_by_label("When").select_option("ready")
    page.wait_for_url("**when=ready*")

    count = page.locator("table.list tbody tr").count()
    expect(page.get_by_role("status")).to_have_text(f"{count} accounts · show all")
    assert 0 < count < sum(row["csm"] == "Ada" for row in shared.rows)
    assert page.evaluate("window.same")
    page.go_back()
    page.wait_for_url(lambda url: "ready" not in url)


def test_search_updates_while_typing(look: Any) -> None:
    page = look()

    page.keyboard.press("/")
    page.keyboard.type("acc_00042")

    expect(page.locator("table.list tbody tr")).to_have_count(1)
    assert "q=acc_00042" in page.url
    with page.expect_download() as file:
        page.get_by_role("link", name="Download CSV").click()
    assert file.value.path().read_text().count("acc_00042") == 1


def test_the_list_works_by_keyboard(look: Any, shared: WebFixture) -> None:
    page = look()

    for key in ("j", "j", "j", "k"):
        page.keyboard.press(key)
    expect(page.locator("table.list a:focus")).to_have_text(shared.rows[1]["name"])
    page.keyboard.press("Enter")
    page.wait_for_url("**/account?id=acc_00001")
    page.keyboard.press("u")
    expect(page.get_by_role("heading", level=1)).to_have_text("Likely expansions")
    page.keyboard.press("n")
    page.wait_for_url("**page=2*")
    page.keyboard.press("Tab")
    expect(page.locator("a.skip")).to_be_focused()


def test_pagination_by_keyboard_keeps_the_sort_order(look: Any) -> None:
    page = look("/?sort=name")
    status, position = page.get_by_role("status"), page.locator(".pages .place")

    for key, rows_shown, page_number in (("N", "101–120", 3), ("p", "51–100", 2), ("P", "1–50", 1)):
        page.keyboard.press(key)
        expect(status).to_have_text(f"{rows_shown} of 120 accounts")
        expect(position).to_have_text(f"page {page_number} of 3")
        assert "sort=name" in page.url
    box = page.get_by_role("link", name="Next").bounding_box()
    page.get_by_role("link", name="Next").click()
    assert page.get_by_role("link", name="Next").bounding_box()["x"] == box["x"]


def test_back_restores_the_filtered_list(look: Any) -> None:
    page = look()
    page.get_by_label("CSM").select_option("Ada")
    page.wait_for_url("**/?*csm=Ada*")
    third = page.locator("table.list tbody th a").nth(2)
    name = third.inner_text()
    third.click()
    page.wait_for_url("**/account?id=*")

    page.keyboard.press("u")

    page.wait_for_url("**/?*csm=Ada*")
    expect(page.locator("table.list a:focus")).to_have_text(name)
    page.get_by_role("link", name="Contact from").click()
    page.wait_for_url("**csm=Ada&sort=ready")


def test_feedback_is_submitted_and_shown(look: Any) -> None:
    page = look("/account?id=acc_00007")

    page.keyboard.press("f")
    expect(page.get_by_label("Not before")).to_be_hidden()
    page.get_by_label("Not now").check()
    page.get_by_label("Not before").fill("2026-07-01")
    page.get_by_label("Reason or note").fill("<b>budget</b> in July")
    page.get_by_role("button", name="Save").click()

    expect(page.locator(".history")).to_contain_text("Not now, until 1 July: <b>budget</b> in July")
    page.goto("/?q=acc_00007")
    expect(page.locator(".pill.feedback")).to_have_text("Not now, until 1 July")


def test_everything_works_without_javascript(look: Any) -> None:
    page = look("/", java_script_enabled=False)

    page.get_by_label("Tier").select_option("1")
    page.get_by_role("button", name="Apply").click()
    page.locator("table.list tbody th a").first.click()
    page.get_by_label("Contacted").check()
    page.get_by_role("button", name="Save").click()

    expect(page.locator(".history")).to_contain_text("Contacted")


def test_a_csm_signs_in_and_out(look: Any, tmp_path: Path) -> None:
    with open_web_fixture(tmp_path, web=TOKEN_SETTINGS) as closed:
        page = look("/account?id=acc_00001", of=closed)
        page.get_by_label("Token").fill(TOKENS["Ben"])
        page.get_by_role("button", name="Sign in").click()
        page.goto("/?sort=name")

        expect(page.locator(".user")).to_contain_text("Ben’s portfolio")
        assert page.get_by_label("CSM").count() == 0
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


def test_print_has_no_buttons_and_no_dark_mode(look: Any) -> None:
    page = look("/account?id=acc_00003", color_scheme="dark")

    page.emulate_media(media="print", color_scheme="dark")

    expect(page.locator(".top")).to_be_hidden()
    expect(page.locator("form.feedback")).to_be_hidden()
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(26, 28, 32)"
