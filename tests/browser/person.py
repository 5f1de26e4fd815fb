"""Somebody at the page with a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from tests.harness.bots import BotHandle
from tests.harness.world import LARGE, World

ROOT = Path(__file__).parents[2]
#: Where what was seen can be looked at.
PICTURES = ROOT / "build" / "screenshots"
AXE = (Path(__file__).parent / "vendor" / "axe-4.14.1.min.js").read_text()
SECONDS = 1000.0
SCHEMES: tuple[Literal["light"], Literal["dark"]] = ("light", "dark")

expect.set_options(timeout=30 * SECONDS)


@dataclass
class Person:
    world: World
    page: Page
    scripts: bool
    #: What the browser has complained of: refused by a policy, failed to run.
    complaints: list[str] = field(default_factory=list)

    @classmethod
    @contextmanager
    def at(cls, world: World, browser: Browser, *, scripts: bool = True) -> Iterator[Self]:
        context = browser.new_context(
            java_script_enabled=scripts,
            viewport={"width": 1100, "height": 900},
            base_url=world.url,
            # A picture of colours that move into each other is of neither.
            reduced_motion="reduce",
        )
        context.set_default_timeout(30 * SECONDS)
        one = cls(world, context.new_page(), scripts)
        one.page.on("console", one._hear)
        one.page.on("pageerror", lambda error: one.complaints.append(str(error)))
        yield one
        context.close()
        assert [] == one.complaints

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    # --- deeds ----------------------------------------------------------------------

    def go(self, path: str) -> None:
        self.page.goto(path if path.startswith("http") else f"/dashboard/{path}")

    def press(self, name: str) -> None:
        """The button or link of this name."""
        button = self.page.get_by_role("button", name=name, exact=True)
        link = self.page.get_by_role("link", name=name, exact=True)
        button.or_(link).first.click()

    def fill(self, **fields: str) -> None:
        for name, value in fields.items():
            self.page.locator(f"[name={name}]").fill(value)

    def log_in(self, token: str | None = None) -> None:
        self.go("login")
        self.fill(token=token or self.world.owner_token)
        self.press("Log in")
        expect(self.page.get_by_role("heading", name="Bots")).to_be_visible()

    def start(self, bot: BotHandle | str, **more: str) -> str:
        """Start a migration to LARGE; its path."""
        bot_id = bot if isinstance(bot, str) else bot.bot_id
        self.go(f"bots/{bot_id}/start")
        self.page.locator("summary").click()
        self.fill(provider=LARGE.provider, model=LARGE.model, batch_size="10", **more)
        self.press("See what it takes")
        self.page.get_by_label("I agree to what it takes.").check()
        self.press("Start the migration")
        expect(self.page.locator("#live")).to_be_visible()
        return re.sub(".*/dashboard/", "", self.page.url)

    def sees(self, state: str, seconds: float = 60) -> None:
        """The migration that is shown comes to this state; who has no scripts loads it again."""
        badge = self.page.locator("#live .state .badge")
        if self.scripts:
            expect(badge).to_have_text(state, timeout=seconds * SECONDS)
            return
        for _ in range(int(seconds * 4)):
            if badge.inner_text() == state:
                return
            self.page.wait_for_timeout(250)
            self.page.reload()
        expect(badge).to_have_text(state)

    # --- what is seen ---------------------------------------------------------------

    def photograph(self, name: str) -> None:
        """In light and in dark."""
        for scheme in SCHEMES:
            self.page.emulate_media(color_scheme=scheme)
            self.page.screenshot(path=PICTURES / f"{name}-{scheme}.png", full_page=True)
        self.page.emulate_media(color_scheme="light")

    def barriers(self) -> list[str]:
        """What axe finds serious or critical, in light and in dark."""
        found: list[str] = []
        for scheme in SCHEMES:
            self.page.emulate_media(color_scheme=scheme)
            # Its own world, so that the page's policy stays as it is.
            results = self.page.evaluate(f"() => {{ {AXE}; return axe.run(document) }}")
            found += [
                f"{scheme} {self.page.url}: {one['id']} ({one['impact']}) "
                f"{[node['html'] for node in one['nodes']][:3]} {one['nodes'][0]['failureSummary']}"
                for one in results["violations"]
                if one["impact"] in {"serious", "critical"}
            ]
        self.page.emulate_media(color_scheme="light")
        return found
