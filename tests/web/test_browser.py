"""The page in a real browser: its flows, its keys, its looks on a phone, and axe's verdict."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright
from web_office import MONDAY, SIGNED_IN, TOKENS, Office, answered, enter, lines, office, raised

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
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with office(tmp_path_factory.mktemp("browser")) as opened:
        for place, verdict in enumerate(("contacted", "won", "not now")):
            assert answered(opened.browser, f"acc_0000{place}", verdict=verdict).is_redirect
        yield opened


@pytest.fixture
def look(chromium: Browser, shared: Office) -> Iterator[Any]:
    """Open a window; what it complains of, or asks of elsewhere, fails the test."""
    complaints: list[str] = []
    windows = []

    def opened(path: str = "/", *, of: Office = shared, **how: Any) -> Page:
        base = str(of.browser.base_url)
        window = chromium.new_context(base_url=base, **how)
        windows.append(window)
        page = window.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda said: (
                said.type == "error" and "404" not in said.text and complaints.append(said.text)
            ),
        )
        page.on(
            "request",
            lambda asked: asked.url.startswith(base) or complaints.append(f"asked {asked.url}"),
        )
        page.goto(path)
        return page

    yield opened
    for window in windows:
        window.close()
    assert complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing(look: Any, scheme: str, width: int) -> None:
    for path in PAGES:
        page = look(path, color_scheme=scheme, viewport={"width": width, "height": 900})

        found = Axe().run(page).response["violations"]

        assert [(each["id"], each["nodes"][0]["html"]) for each in found] == [], path


@pytest.mark.parametrize("width", [320, 390, 768, 1280, 2000])
def test_nothing_hangs_over_the_edge(look: Any, width: int) -> None:
    for path in PAGES:
        page = look(path, viewport={"width": width, "height": 900})

        assert page.evaluate("document.documentElement.scrollWidth") <= width, path


@pytest.mark.parametrize("width", [320, 768, 1280])
def test_nothing_hangs_over_the_edge_where_names_are_long(
    look: Any, tmp_path: Path, width: int
) -> None:
    with office(tmp_path, count=3) as long:
        much = {"csm": "M" * 70, "name": "W" * 200, "signals": ["x" * 300], "buyer": "b" * 90}
        seats = {"active_seats": 1_230_000, "licensed_seats": 1_234_567, "expected_arr": 1.2e9}
        enter(long.engine, [{**row, **much, **seats} for row in lines(3)])
        raised(long.engine, "acc_00000", level="urgent", at=MONDAY)
        for path in ("/", "/account?id=acc_00000"):
            page = look(path, of=long, viewport={"width": width, "height": 900})

            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
            over = (
                "[...document.querySelectorAll('.fact')].filter(e => e.scrollWidth > e.clientWidth)"
            )
            assert page.evaluate(f"{over}.length") == 0, path
            page.close()


def test_filters_change_the_table_and_the_address_without_a_new_page(
    look: Any, shared: Office
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


def test_search_as_one_types(look: Any) -> None:
    page = look()

    page.keyboard.press("/")
    page.keyboard.type("acc_00042")

    expect(page.locator("table.list tbody tr")).to_have_count(1)
    assert "q=acc_00042" in page.url
    with page.expect_download() as file:
        page.get_by_role("link", name="Download CSV").click()
    assert file.value.path().read_text().count("acc_00042") == 1


def test_the_list_is_read_by_keys_alone(look: Any, shared: Office) -> None:
    page = look()

    for key in ("j", "j", "j", "k"):
        page.keyboard.press(key)
    expect(page.locator("table.list a:focus")).to_have_text(shared.rows[1]["name"])
    page.keyboard.press("Enter")
    page.wait_for_url("**/account?id=acc_00001")
    page.keyboard.press("u")
    expect(page.get_by_role("heading", level=1)).to_have_text("Who will expand")
    page.keyboard.press("n")
    page.wait_for_url("**page=2*")
    page.keyboard.press("Tab")
    expect(page.locator("a.skip")).to_be_focused()


def test_pages_are_turned_by_keys_and_keep_the_order(look: Any) -> None:
    page = look("/?sort=name")
    status, place = page.get_by_role("status"), page.locator(".pages .place")

    for key, held, at in (("N", "101–120", 3), ("p", "51–100", 2), ("P", "1–50", 1)):
        page.keyboard.press(key)
        expect(status).to_have_text(f"{held} of 120 accounts")
        expect(place).to_have_text(f"page {at} of 3")
        assert "sort=name" in page.url
    box = page.get_by_role("link", name="Next").bounding_box()
    page.get_by_role("link", name="Next").click()
    assert page.get_by_role("link", name="Next").bounding_box()["x"] == box["x"]


def test_back_leads_to_the_list_as_it_was_narrowed(look: Any) -> None:
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
    page.get_by_role("link", name="Talk from").click()
    page.wait_for_url("**csm=Ada&sort=ready")


def test_an_answer_is_given_and_shown(look: Any) -> None:
    page = look("/account?id=acc_00007")

    page.keyboard.press("f")
    expect(page.get_by_label("Not before")).to_be_hidden()
    page.get_by_label("Not now").check()
    page.get_by_label("Not before").fill("2026-07-01")
    page.get_by_label("Why, or a note").fill("<b>budget</b> in July")
    page.get_by_role("button", name="Save").click()

    expect(page.locator(".history")).to_contain_text("Not now, until 1 July: <b>budget</b> in July")
    page.goto("/?q=acc_00007")
    expect(page.locator(".pill.said")).to_have_text("Not now, until 1 July")


def test_without_scripts_the_same_can_be_done(look: Any) -> None:
    page = look("/", java_script_enabled=False)

    page.get_by_label("Tier").select_option("1")
    page.get_by_role("button", name="Show").click()
    page.locator("table.list tbody th a").first.click()
    page.get_by_label("Contacted").check()
    page.get_by_role("button", name="Save").click()

    expect(page.locator(".history")).to_contain_text("Contacted")


def test_a_csm_signs_in_and_out(look: Any, tmp_path: Path) -> None:
    with office(tmp_path, web=SIGNED_IN) as closed:
        page = look("/account?id=acc_00001", of=closed)
        page.get_by_label("Token").fill(TOKENS["Ben"])
        page.get_by_role("button", name="Sign in").click()
        page.goto("/?sort=name")

        expect(page.locator(".who")).to_contain_text("Ben’s book")
        assert page.get_by_label("CSM").count() == 0
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


def test_on_paper_there_is_no_button_and_no_dark(look: Any) -> None:
    page = look("/account?id=acc_00003", color_scheme="dark")

    page.emulate_media(media="print", color_scheme="dark")

    expect(page.locator(".top")).to_be_hidden()
    expect(page.locator("form.answer")).to_be_hidden()
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(26, 28, 32)"
