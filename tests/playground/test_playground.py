"""The playground as a person uses it, from drop to erase."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import FileChooser, FilePayload, Page, Route, expect

from domain.errors import EngineRefused
from entrypoints.wiring.keys import new_sign_in
from tests.photos import astronaut, heic, jpeg
from tests.playground.conftest import PATIENCE_MS, Playground, Stage, opened, the_photo

CUSTOMER = "gid://shopify/Customer/1"
SEVEN_DAYS_MS = 7 * 24 * 60 * 60 * 1000
A_SHIRT = jpeg()
A_PHONE = {"width": 390, "height": 844}


def boxes_drawn(page: Page) -> dict[str, tuple[int, ...]]:
    marks = page.locator("#overlay .mark").all()
    return {
        str(mark.get_attribute("class")).removeprefix("mark "): tuple(
            int(str(mark.get_attribute(side))) for side in ("x", "y", "width", "height")
        )
        for mark in marks
    }


def natural_size(page: Page, picture: str) -> list[int]:
    expect(page.locator(f"#{picture}")).not_to_have_js_property("naturalWidth", 0)  # until it is loaded
    return list(page.eval_on_selector(f"#{picture}", "shown => [shown.naturalWidth, shown.naturalHeight]"))


def test_from_drop_to_erase(playground: Playground) -> None:
    page = playground.page
    playground.unlock()
    playground.open_options()
    page.get_by_label("Customer id (optional)").fill(CUSTOMER)
    playground.hand_over("drop", the_photo())
    image_id = playground.image_id()

    assert boxes_drawn(page) == {
        "window": (50, 0, 800, 1000),
        "person": (10, 0, 880, 1000),
        "face": (355, 95, 180, 190),
    }
    assert natural_size(page, "source-picture") == [1000, 1000]
    assert natural_size(page, "stored-picture") == [800, 1000]
    expect(page.locator("#notes")).to_contain_text("The photo has few pixels")
    assert f"-F externalUserId='{CUSTOMER}'" in page.locator("#code").inner_text()
    expect(page.locator("#expiry")).to_contain_text("6 d 23 h")

    expect(page.locator("#gallery li")).to_have_count(1)
    kept = page.evaluate("JSON.stringify([localStorage, sessionStorage])")
    assert CUSTOMER not in kept
    assert list(json.loads(page.evaluate("localStorage['tryon-uploads']"))[0]) == [
        "imageId",
        "imageUrl",
        "imageUrlExpiresAt",
        "expiresAt",
    ]

    playground.erase(CUSTOMER)
    expect(page.locator("#receipt")).to_contain_text("Erased: 1 picture")
    expect(page.locator("#result")).to_be_hidden()
    expect(page.locator("#gallery li")).to_have_count(0)
    assert playground.status_of(image_id) == 404


def test_a_pasted_photo(playground: Playground) -> None:
    playground.unlock()
    playground.hand_over("paste", the_photo())
    assert playground.status_of(playground.image_id()) == 200


def test_a_photo_taken_with_the_camera(playground: Playground) -> None:
    playground.unlock()
    playground.page.get_by_role("button", name="Take a photo").click()
    playground.page.get_by_role("button", name="Take it").click()
    guidance = playground.page.get_by_role("dialog", name="A better photo is a step away")
    expect(guidance).to_contain_text("Hold still")  # the browser makes its picture up
    expect(playground.page.locator("#uploads li")).to_have_count(0)
    guidance.get_by_role("button", name="Take another").click()
    playground.page.get_by_role("button", name="Take it").click()
    guidance.get_by_role("button", name="Use this one").click()
    assert playground.status_of(playground.image_id()) == 200


def test_the_options_are_sent_and_shown(playground: Playground) -> None:
    page = playground.page
    playground.unlock()
    playground.open_options()
    page.get_by_label("No crop").check()
    page.get_by_label("3 days").check()
    playground.choose(the_photo())
    playground.image_id()
    expect(page.locator("#expiry")).to_contain_text("2 d 23 h")
    assert natural_size(page, "stored-picture") == [1000, 1000]
    assert boxes_drawn(page) == {}


def test_a_photo_that_the_browser_cannot_show(playground: Playground) -> None:
    playground.unlock()
    playground.choose(heic(astronaut(1000, 1000)), "photo.heic", "image/heic")
    playground.image_id()
    expect(playground.page.get_by_text("cannot show HEIC photos")).to_be_visible()
    assert natural_size(playground.page, "source-picture") == [800, 1000]
    assert boxes_drawn(playground.page)["face"] == (355, 95, 180, 190)


def test_a_new_link_and_copies_for_elsewhere(playground: Playground) -> None:
    page = playground.page
    playground.unlock()
    playground.choose(the_photo())
    image_id = playground.image_id()
    page.get_by_role("button", name="New link").click()
    expect(page.get_by_text("There is a new link.")).to_be_visible()
    fresh = page.get_by_role("link", name="Open the picture").get_attribute("href")
    assert page.request.get(str(fresh)).status == 200
    page.get_by_role("button", name="Copy the image id").click()
    assert page.evaluate("navigator.clipboard.readText()") == image_id
    page.get_by_role("button", name="Copy the code").click()
    assert '-H "x-api-key: $TRYON_API_KEY"' in page.evaluate("navigator.clipboard.readText()")


def test_deleting_asks_first_and_escape_keeps(playground: Playground) -> None:
    page = playground.page
    playground.unlock()
    playground.choose(the_photo())
    image_id = playground.image_id()
    page.get_by_role("button", name="Delete this image").click()
    page.keyboard.press("Escape")
    assert playground.status_of(image_id) == 200
    page.get_by_role("button", name="Delete this image").click()
    page.get_by_role("button", name="Delete it").click()
    expect(page.locator("#result")).to_be_hidden()
    assert playground.status_of(image_id) == 404


def test_the_gallery_survives_a_reload_and_opens_an_image_again(playground: Playground) -> None:
    page = playground.page
    playground.unlock()
    playground.choose(the_photo())
    image_id = playground.image_id()
    page.reload()
    page.get_by_role("button", name="Open the upload that is kept until").click()
    assert playground.image_id() == image_id
    expect(page.get_by_text("The photo itself never stays in this browser")).to_be_visible()
    assert boxes_drawn(page)["face"] == (355, 95, 180, 190)


def test_an_expired_image_leaves_the_page_by_itself(playground: Playground) -> None:
    page = playground.page
    playground.unlock()
    playground.choose(the_photo())
    playground.image_id()
    page.clock.install()
    page.reload()
    page.get_by_role("button", name="Open the upload").click()
    playground.image_id()
    page.clock.fast_forward(SEVEN_DAYS_MS)
    page.clock.run_for(2000)
    expect(page.locator("#result")).to_be_hidden()
    expect(page.locator("#gallery li")).to_have_count(0)


def test_a_wrong_key_is_told_where_it_was_typed(playground: Playground) -> None:
    page = playground.page
    page.get_by_label("Key", exact=True).fill("gk_not_mine")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="not valid")).to_be_visible()
    expect(page.get_by_label("Key", exact=True)).to_be_focused()
    assert "gk_" not in page.evaluate("JSON.stringify([localStorage, sessionStorage])")


def test_a_key_that_is_remembered_is_there_in_the_next_tab_and_otherwise_not(playground: Playground) -> None:
    playground.unlock()
    another = playground.page.context.new_page()
    another.goto("/")
    expect(another.get_by_label("Key", exact=True)).to_be_visible()
    another.get_by_label("Remember it in this browser").check()
    another.get_by_label("Key", exact=True).fill(playground.key)
    another.keyboard.press("Enter")
    expect(another.get_by_role("button", name="Use another key")).to_be_visible()
    third = playground.page.context.new_page()
    third.goto("/")
    expect(third.get_by_role("button", name="Use another key")).to_be_visible()


def test_a_photo_without_a_key(playground: Playground) -> None:
    playground.choose(the_photo())
    expect(playground.page.get_by_role("alert").filter(has_text="An API key is needed")).to_be_focused()
    playground.unlock()
    playground.page.get_by_role("button", name="Try again").click()
    playground.image_id()


@pytest.mark.parametrize(
    ("photo", "words"),
    [
        (b"just a text", "not a photo we can read"),
        (the_photo()[:-2000], "cannot be read"),
    ],
    ids=["a text", "a truncated photo"],
)
def test_what_the_service_refuses_is_told_in_words(playground: Playground, photo: bytes, words: str) -> None:
    playground.unlock()
    playground.choose(photo)
    expect(playground.page.get_by_role("alert").filter(has_text=words)).to_be_focused()
    expect(playground.page.get_by_role("button", name="Try again")).to_be_hidden()


def test_a_file_that_is_too_large_is_told_in_words(playground: Playground) -> None:
    playground.unlock()
    playground.hand_over("drop", b"", padding=10 * 1024 * 1024 + 1)
    expect(playground.page.get_by_role("alert").filter(has_text="larger than 10 MB")).to_be_focused()


@pytest.mark.parametrize(
    ("status", "code", "words"), [(429, "RATE_LIMITED", "Too many requests"), (503, "OVERLOADED", "is busy")]
)
def test_when_to_try_again_is_counted_down(playground: Playground, status: int, code: str, words: str) -> None:
    page = playground.page

    def refuse(route: Route) -> None:
        body = json.dumps({"code": code, "message": "…", "status": status})
        route.fulfill(status=status, body=body, headers={"retry-after": "1", "x-request-id": "req_12345678"})

    playground.unlock()
    page.route("**/images/upload", refuse, times=1)
    playground.choose(the_photo())
    expect(page.get_by_role("alert").filter(has_text=words)).to_contain_text("req_12345678")
    expect(page.get_by_role("button", name="Try again in 1 s")).to_be_disabled()
    page.get_by_role("button", name="Try again", exact=True).click()
    playground.image_id()


def test_a_network_that_is_down(playground: Playground) -> None:
    playground.unlock()
    playground.page.context.set_offline(True)
    playground.choose(the_photo())
    expect(playground.page.get_by_role("alert").filter(has_text="cannot be reached")).to_be_focused()
    playground.page.context.set_offline(False)
    playground.page.get_by_role("button", name="Try again").click()
    playground.image_id()


def test_a_cancelled_upload_leaves_the_page_as_it_was(playground: Playground) -> None:
    page = playground.page
    playground.unlock()
    page.route("**/images/upload", lambda _route: None, times=1)  # never answered
    playground.choose(the_photo())
    page.get_by_role("button", name="Cancel photo.jpg").click()
    expect(page.locator("#uploads li")).to_have_count(0)
    expect(page.locator("#problem")).to_be_hidden()


def test_an_erasure_that_waits_for_storage_is_told_so(playground: Playground) -> None:
    page = playground.page
    playground.unlock()
    body = {"erasureId": "ers_1", "status": "ERASING", "imagesErased": 2, "requestedAt": "2026-11-28T10:00:00Z"}
    page.route("**/customers/erase", lambda route: route.fulfill(status=202, json=body))
    playground.erase(CUSTOMER)
    expect(page.get_by_text("the bytes go as soon as storage is back")).to_be_visible()


def test_trying_a_garment_on(playground: Playground) -> None:
    page = playground.page
    playground.unlock()
    playground.open_options()
    page.get_by_label("1 day").check()
    expect(page.locator("#try-on")).to_be_hidden()
    playground.choose(the_photo())
    playground.image_id()
    with page.expect_response(
        lambda answer: "/generations/" in answer.url and "resultImageId" in answer.text()
    ) as told:
        playground.try_on(A_SHIRT)
        expect(page.get_by_role("button", name="Try it on")).to_be_focused()
    expect(page.locator("#try-on-status")).to_have_text("The picture is there.")
    assert natural_size(page, "try-on-picture") == [800, 1000]
    expect(page.get_by_text("Made by the engine “in-memory”.")).to_be_visible()
    expect(page.locator("#try-on-sandbox-note")).to_be_hidden()
    link = page.get_by_role("link", name="Open the try-on").get_attribute("href")
    assert page.request.get(str(link)).status == 200
    kept = page.request.get(
        f"/tryon/v1/images/{told.value.json()['resultImageId']}", headers={"x-api-key": playground.key}
    ).json()
    life = datetime.fromisoformat(kept["expiresAt"]) - datetime.fromisoformat(kept["createdAt"])
    assert life == timedelta(days=1)
    page.get_by_role("button", name="Open the upload").click()
    expect(page.locator("#try-on-result")).to_be_hidden()


def test_a_card_of_the_sandbox_is_called_one(playground: Playground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playground.engine, "name", "sandbox")
    playground.unlock()
    playground.choose(the_photo())
    playground.image_id()
    playground.try_on(A_SHIRT)
    expect(playground.page.get_by_text("Made by the engine “sandbox”.")).to_be_visible()
    expect(playground.page.locator("#try-on-sandbox-note")).to_be_visible()


def test_a_try_on_that_fails_says_why_and_can_be_started_anew(playground: Playground) -> None:
    async def refuse() -> None:
        raise EngineRefused

    page = playground.page
    playground.unlock()
    playground.choose(the_photo())
    playground.image_id()
    playground.engine.interruptions.append(refuse)
    playground.try_on(A_SHIRT)
    told = page.locator("#try-on").get_by_role("alert")
    expect(told).to_contain_text("The engine did not accept these pictures")
    expect(told).to_contain_text("Use other ones.")
    expect(told).to_contain_text("ENGINE_REFUSED")
    page.get_by_role("button", name="Try it on").click()
    expect(told).to_be_empty()
    expect(page.get_by_role("img", name="in the garment")).to_be_visible()


def test_the_keyboard_alone_gets_through(playground: Playground) -> None:
    page = playground.page
    choosers: list[FileChooser] = []
    # From the start: a busy browser that is told only just before opens the dialog without telling.
    page.on("filechooser", lambda chooser: choosers.append(chooser))  # noqa: PLW0108 - it takes functions only
    for focused in ("Skip to the upload", "API reference"):
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name=focused)).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.type(playground.key)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Photo", exact=True)).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_label("Choose photos")).to_be_focused()
    page.keyboard.press("Space")
    for _ in range(PATIENCE_MS // 50):
        if not choosers:
            page.wait_for_timeout(50)
    choosers[0].set_files({"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": the_photo()})
    playground.image_id()
    page.keyboard.press("Tab")
    expect(page.get_by_label("Another garment")).to_be_focused()


@pytest.fixture(params=["light", "dark"])
def phone(stage: Stage, request: pytest.FixtureRequest) -> Iterator[Playground]:
    yield from opened(stage, viewport=A_PHONE, color_scheme=request.param, reduced_motion="reduce", has_touch=True)


def test_nothing_sticks_out_on_a_phone(phone: Playground) -> None:
    phone.unlock()
    phone.choose(the_photo())
    phone.image_id()
    assert phone.page.evaluate("document.documentElement.scrollWidth") == A_PHONE["width"]
    ink, paper = phone.page.eval_on_selector(
        "body", "b => [getComputedStyle(b).color, getComputedStyle(b).backgroundColor]"
    )
    assert contrast(ink, paper) > 7  # WCAG 2.2, 1.4.6


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(color: str) -> float:
    """WCAG 2.2, "relative luminance", of `rgb(r, g, b)`."""
    levels = [int(level) / 255 for level in color.removeprefix("rgb(").removesuffix(")").split(",")]
    red, green, blue = (level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4 for level in levels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_several_photos_each_with_its_own_outcome(playground: Playground) -> None:
    page = playground.page
    playground.unlock()
    page.get_by_label("Choose photos").set_input_files(
        [
            FilePayload(name="one.jpg", mimeType="image/jpeg", buffer=the_photo()),
            FilePayload(name="no photo.txt", mimeType="text/plain", buffer=b"just a text"),
            FilePayload(name="two.jpg", mimeType="image/jpeg", buffer=the_photo()),
        ]
    )
    rows = page.locator("#uploads li")
    for name, outcome in (("one.jpg", "Stored"), ("two.jpg", "Stored"), ("no photo.txt", "not a photo we can read")):
        expect(rows.filter(has_text=name)).to_contain_text(outcome)
    shown = playground.image_id()  # of the one that was done first
    rows.filter(has_text="one.jpg").get_by_role("button").first.click()
    one = playground.image_id()
    rows.filter(has_text="two.jpg").get_by_role("button").first.click()
    two = playground.image_id()
    assert shown in {one, two}
    assert one != two
    rows.filter(has_text="no photo.txt").get_by_role("button").first.click()
    expect(page.get_by_role("alert").filter(has_text="not a photo we can read")).to_be_focused()


def test_an_example_is_one_click_away(playground: Playground) -> None:
    page = playground.page
    playground.unlock()
    page.get_by_role("button", name="Tall, 9:16").click()
    playground.image_id()
    expect(page.locator("#source-caption")).to_contain_text("1152 × 2048")
    page.get_by_role("button", name="Try it on").click()
    expect(page.get_by_role("img", name="in the garment")).to_be_visible()


def test_the_link_that_serve_prints_signs_in_and_leaves_the_address_bar(stage: Stage) -> None:
    page = stage.browser.new_page(base_url=stage.url)
    page.goto(f"/#sign-in={new_sign_in(stage.settings)}")
    expect(page.get_by_role("button", name="Use another key")).to_be_visible()
    assert "sign-in" not in page.url
    page.get_by_role("button", name="Portrait").click()
    expect(page.get_by_role("heading", name="Result")).to_be_focused()
    page.close()


def test_the_request_is_shown_in_three_languages(playground: Playground) -> None:
    page = playground.page
    playground.unlock()
    playground.open_options()
    page.get_by_label("4:5, keep the whole person").check()
    playground.choose(the_photo())
    playground.image_id()
    code = page.locator("#code")
    expect(code).to_contain_text("-F fit='pad'")
    page.get_by_role("tab", name="curl").press("ArrowRight")
    expect(code).to_contain_text('form.append("fit", "pad");')
    page.get_by_role("tab", name="Python").click()
    expect(code).to_contain_text('data={"fit": "pad"}')


@pytest.mark.parametrize("width", [360, 768, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(stage: Stage, width: int, scheme: Any) -> None:
    for playground in opened(stage, viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True):
        assert violations(playground.page) == []
        playground.unlock()
        playground.open_options()
        playground.choose(the_photo())
        playground.image_id()
        assert violations(playground.page) == []


def violations(page: Page) -> list[str]:
    """Rules of WCAG 2.2 A and AA and of axe's best practices that the page breaks, with the places."""
    found = Axe().run(page).response["violations"]
    return [f"{rule['id']}: {[node['target'] for node in rule['nodes']]}" for rule in found]


def test_on_a_small_phone_the_upload_is_in_sight_and_all_targets_are_large_enough(stage: Stage) -> None:
    for playground in opened(stage, viewport={"width": 360, "height": 640}, has_touch=True):
        playground.unlock()
        box = playground.page.get_by_text("Choose photos", exact=True).bounding_box()
        assert box is not None
        assert box["y"] + box["height"] < 640
        playground.open_options()
        playground.choose(the_photo())
        playground.image_id()
        sizes = playground.page.eval_on_selector_all(
            "button, .button, summary, .choices span",
            "all => all.filter(b => b.offsetParent).map(b => [b.innerText, b.offsetHeight])",
        )
        assert [name for name, height in sizes if height < 44] == []
