"""The page as somebody uses it: with a browser, with and without scripts, in light and dark."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.person import SECONDS, Person
from tests.harness import rows
from tests.harness.world import SMALL, World, numbered_texts
from tests.services.databases import unique_name


def slowly(world: World) -> None:
    """So that there is something to see on the way."""
    world.provider.latency_seconds = 1.5


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_a_bot_is_registered_moved_and_taken_back(
    world: World, request: pytest.FixtureRequest, scripts: bool
) -> None:
    person: Person = request.getfixturevalue("person" if scripts else "without_scripts")
    collection, bot_id = unique_name("c"), unique_name("support")
    rows.make_collection(world.milvus, collection, SMALL.dimension)
    rows.fill(world.milvus, collection, SMALL, numbered_texts(300))
    person.press("Register a bot")
    person.fill(bot_id=bot_id, collection=collection, provider="stub", model=SMALL.model)
    person.press("Register")
    expect(person.page.get_by_text(f"{bot_id} is registered.")).to_be_visible()
    slowly(world)
    migration = person.start(bot_id)
    person.sees("running")
    world.provider.latency_seconds = 0
    person.sees("completed")
    expect(person.page.get_by_text("100.0 % of the chunks")).to_be_visible()
    person.press("Roll back…")
    person.press("Roll back")
    expect(person.page.get_by_role("heading", name="Way back of")).to_be_visible()
    person.sees("completed")
    person.go(migration)
    person.sees("rolled back")
    assert collection == world.owner.get(f"/bots/{bot_id}").body["collection"]


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_a_migration_is_cancelled(
    world: World, request: pytest.FixtureRequest, scripts: bool
) -> None:
    person: Person = request.getfixturevalue("person" if scripts else "without_scripts")
    bot = world.seed_bot(400)
    slowly(world)
    person.start(bot)
    person.sees("running")
    person.press("Cancel…")
    person.press("Cancel")
    person.sees("rolled back")
    world.assert_all_well(bot)


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_a_migration_is_paused_and_goes_on(
    world: World, request: pytest.FixtureRequest, scripts: bool
) -> None:
    person: Person = request.getfixturevalue("person" if scripts else "without_scripts")
    bot = world.seed_bot(600)
    slowly(world)
    run = person.start(bot)
    person.sees("running")
    person.press("Pause…")
    person.fill(reason="Questions come first.")
    person.press("Pause")
    person.sees("paused")
    expect(person.page.get_by_text("Questions come first.").first).to_be_visible()
    person.go(run)
    person.press("Resume…")
    person.press("Resume")
    world.provider.latency_seconds = 0
    person.sees("completed")
    world.assert_all_well(bot)


def test_the_page_follows_a_run_by_itself_and_keeps_what_was_opened(
    world: World, person: Person
) -> None:
    bot = world.seed_bot(400)
    slowly(world)
    # Sooner than by looking again, which begins after ten seconds: by the stream.
    with person.page.expect_request(re.compile("/live$"), timeout=8 * SECONDS):
        person.start(bot)
    person.page.locator("#events > summary").click()
    expect(person.page.locator("#live li.now strong")).to_have_text("Data")
    bar = person.page.locator("#bar")
    before = float(bar.get_attribute("value") or 0)
    expect(bar).not_to_have_attribute("value", str(before))
    assert person.page.locator("#events").get_attribute("open") is not None
    world.provider.latency_seconds = 0
    person.sees("completed")
    expect(person.page.locator("#live")).not_to_have_attribute("hx-trigger", re.compile(".*"))


def test_all_that_is_done_by_the_mouse_is_done_by_keys(world: World, person: Person) -> None:
    bot = world.seed_bot(20)
    person.go("")
    person.page.keyboard.press("Tab")
    expect(person.page.get_by_text("Skip to the content")).to_be_focused()
    person.page.keyboard.press("Enter")
    expect(person.page.locator("#content")).to_be_focused()
    link = person.page.get_by_role("link", name=bot.bot_id, exact=True)
    for _ in range(12):
        person.page.keyboard.press("Tab")
        if link.evaluate("one => one === document.activeElement"):
            break
    person.page.keyboard.press("Enter")
    expect(person.page.get_by_role("heading", name=bot.bot_id)).to_be_visible()


def test_no_page_has_a_barrier_and_each_can_be_looked_at(world: World, person: Person) -> None:
    bot = world.seed_bot(600)
    found: list[str] = []

    def look(name: str, path: str | None = None) -> None:
        if path is not None:
            person.go(path)
        found.extend(person.barriers())
        person.photograph(name)

    look("bots", "")
    look("register", "register")
    person.fill(bot_id="a b", collection="nothing", provider="stub", model="small")
    person.press("Register")
    person.complaints.clear()  # the browser tells of a 422
    look("refused")
    look("start", f"bots/{bot.bot_id}/start")
    person.fill(provider="stub", model="large")
    person.press("See what it takes")
    look("consent")
    slowly(world)
    run = person.start(bot)
    person.sees("running")
    expect(person.page.locator("#live li.now strong")).to_have_text("Data")
    expect(person.page.locator("#bar")).not_to_have_attribute("value", "0.0")
    person.page.locator(".told.good").first.evaluate("one => one.remove()")
    look("running")
    for action in ("pause", "throttle", "extend", "cancel"):
        look(action, f"{run}/{action}")
    person.go(f"{run}/pause")
    person.press("Pause")
    person.sees("paused")
    look("paused")
    person.press("Resume…")
    person.press("Resume")
    world.provider.latency_seconds = 0
    person.sees("completed")
    look("completed")
    look("report", f"{run}/report")
    look("bot", f"bots/{bot.bot_id}")
    look("migrations", "migrations")
    look("workers", "workers")
    look("conflicts", f"bots/{bot.bot_id}/conflicts")
    look("rollback", f"{run}/rollback")
    person.go("nothing-here")
    person.complaints.clear()
    look("not-found")
    person.press("Log out")
    look("login")
    assert [] == found


def test_a_page_that_hears_nothing_says_so(world: World, person: Person) -> None:
    bot = world.seed_bot(300)
    slowly(world)
    person.start(bot)
    person.sees("running")
    expect(person.page.locator("#stale")).to_be_hidden()
    person.page.route("**/live", lambda route: route.abort())
    expect(person.page.locator("#stale")).to_be_visible()
    person.page.unroute("**/live")
    expect(person.page.locator("#stale")).to_be_hidden()
    person.complaints.clear()
