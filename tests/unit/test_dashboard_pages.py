"""What the page shows and does, by the forms a browser without scripts would send."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from pathlib import Path

import pytest

from api.dashboard import assets, changes
from api.dashboard import migrations as migration_pages
from api.dashboard.flower import flower_address
from api.streams import ENVIRON_KEY, Stream
from migrations.model import task_names as names
from migrations.model.errors import VectorStoreRefused
from migrations.model.left_behind import Conflict, ConflictReason
from migrations.model.runs import Migration
from migrations.model.states import Status
from migrations.model.workers import TaskAtWork
from migrations.ports.limiter import Learned
from tests.fakes.api_client import ACME, MODEL, Api, application
from tests.fakes.visitor import HOME, Visitor
from tests.fakes.workers import BATCH, says

MARKUP = "<script>alert(1)</script>"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def api() -> Api:
    return Api(hold_hours=24)


@pytest.fixture
def visitor(api: Api) -> Visitor:
    return Visitor(application())


def of(migration: Migration) -> str:
    return f"/dashboard/migrations/{migration.id}"


def half_way(api: Api) -> Migration:
    """Four of seven batches are done."""
    migration = api.start()
    api.world.deliver(before=names.ADVANCE)
    return migration


def completed(api: Api) -> Migration:
    migration = api.start()
    api.world.deliver()
    return migration


def waiting(api: Api) -> Migration:
    migration = api.start(postpone=True)
    api.world.deliver()
    return migration


def paused(api: Api) -> Migration:
    migration = half_way(api)
    return api.world.system.pause(ACME, migration.id, "The day's questions come first.")


def undone(api: Api) -> Migration:
    """What it had embedded is kept."""
    migration = half_way(api)
    api.world.system.cancel(ACME, "support")
    api.world.deliver()
    return migration


# --- bots -----------------------------------------------------------------------------


def test_bots_are_listed_with_their_live_pair_and_newest_run(api: Api, visitor: Visitor) -> None:
    migration = completed(api)
    visitor.get(HOME)
    assert migration.target_collection in visitor.words
    assert "256 dimensions" in visitor.words
    assert "completed" in visitor.words
    assert of(migration) in visitor.page.links


def test_owners_are_shown_to_admins_alone(api: Api, visitor: Visitor) -> None:
    visitor.get(HOME)
    assert "Owner" not in visitor.words
    admin = Visitor(application(), "admin-token")
    assert "Owner" in admin.words


def test_a_bot_says_until_when_one_can_go_back_and_how(api: Api, visitor: Visitor) -> None:
    completed(api)
    visitor.get("/dashboard/bots/support")
    bot = api.world.store.bot("support")
    assert bot.previous is not None
    assert f"{bot.previous.expires_at:%Y-%m-%d %H:%M:%S} UTC" in visitor.words
    assert "Everything first, then the switch : possible now" in visitor.words


def test_a_bot_says_why_one_cannot_go_back(visitor: Visitor) -> None:
    visitor.get("/dashboard/bots/support")
    assert "The bot has no previous collection." in visitor.words


def in_conflict(api: Api, *keys: str) -> None:
    migration = completed(api)
    late = [Conflict(key, {"text": f"late {key}"}, ConflictReason.LIVE_IS_NEWER) for key in keys]
    api.world.store.record_conflicts(migration.id, late)


def test_conflicts_are_shown_with_what_was_written(api: Api, visitor: Visitor) -> None:
    in_conflict(api, "k001", "k002")
    visitor.get("/dashboard/bots/support")
    assert "2 writes to an old collection were not taken over" in visitor.words
    visitor.get("/dashboard/bots/support/conflicts")
    assert "late k001" in visitor.words
    assert "the live chunk has changed since the switch, too" in visitor.words


def test_a_conflict_is_settled_when_it_is_judged(api: Api, visitor: Visitor) -> None:
    in_conflict(api, "k001", "k002", "k003")
    visitor.get("/dashboard/bots/support/conflicts")
    visitor.send("settle")
    assert "Nothing was settled" in visitor.words
    visitor.send("settle", key="k002")
    assert "Settled: 1." in visitor.words
    assert "late k002" not in visitor.words
    visitor.send("settle", all="yes")
    assert 0 == api.world.store.count_conflicts("support")


def test_a_bot_is_registered(api: Api, visitor: Visitor) -> None:
    visitor.get("/dashboard/register")
    visitor.send("register", bot_id="new", collection="docs", provider="local", model=MODEL)
    assert "/dashboard/bots/new" == visitor.at
    assert "new is registered." in visitor.words
    assert "docs" == api.world.store.bot("new").live.collection


def test_what_is_wrong_with_a_registration_is_said_and_what_was_typed_stays(
    visitor: Visitor,
) -> None:
    visitor.get("/dashboard/register")
    answer = visitor.send(
        "register", bot_id="a b", collection="docs", provider="local", model=MODEL, dimension="many"
    )
    assert 422 == answer.status_code
    assert "bot_id: Must begin with a letter or digit" in visitor.words
    assert "dimension: Must be a whole number." in visitor.words
    assert "docs" == visitor.page.forms[-1].fields["collection"]


def test_a_registration_that_is_refused_says_why(visitor: Visitor) -> None:
    visitor.get("/dashboard/register")
    answer = visitor.send(
        "register", bot_id="new", collection="secret", provider="local", model=MODEL
    )
    assert 403 == answer.status_code
    assert "grant" in visitor.words


def test_a_kept_collection_is_kept_longer(api: Api, visitor: Visitor) -> None:
    collection = undone(api).target_collection
    visitor.get("/dashboard/bots/support")
    visitor.get(f"/dashboard/bots/support/kept/{collection}")
    before = api.world.store.kept(collection)
    visitor.send("keep", hours="100")
    after = api.world.store.kept(collection)
    assert "/dashboard/bots/support" == visitor.at
    assert before is not None
    assert after is not None
    assert before.drop_after is not None
    assert after.drop_after is not None
    assert before.drop_after < after.drop_after
    visitor.get(f"/dashboard/bots/support/kept/{collection}")
    visitor.send("keep", until="for_good")
    assert "it stays until somebody drops it in Milvus" in visitor.words


def test_a_kept_collection_is_dropped_when_asked(api: Api, visitor: Visitor) -> None:
    collection = undone(api).target_collection
    visitor.get(f"/dashboard/bots/support/kept/{collection}")
    assert "It cannot be brought back." in visitor.words
    visitor.send("drop")
    assert f"{collection} is dropped by a worker" in visitor.words


def test_a_time_that_is_none_is_refused(api: Api, visitor: Visitor) -> None:
    collection = undone(api).target_collection
    visitor.get(f"/dashboard/bots/support/kept/{collection}")
    assert 422 == visitor.send("keep", hours="soon").status_code


# --- lists ------------------------------------------------------------------------------


def test_migrations_are_listed_by_filters(api: Api, visitor: Visitor) -> None:
    first = undone(api)
    second = completed(api)
    visitor.get("/dashboard/migrations")
    assert {of(first), of(second)} <= set(visitor.page.links)
    visitor.get("/dashboard/migrations?status=completed&bot_id=support&kind=forward")
    assert of(second) in visitor.page.links
    assert of(first) not in visitor.page.links
    visitor.get("/dashboard/migrations?status=live")
    assert "There is none of these." in visitor.words


def test_migrations_come_in_pages(
    api: Api, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration_pages, "_PAGE", 1)
    first = undone(api)
    api.world.clock.sleep(1)
    runs = [first, completed(api)]
    visitor.get("/dashboard/migrations?bot_id=support")
    assert of(runs[1]) in visitor.page.links
    (following,) = (link for link in visitor.page.links if "cursor=" in link)
    assert "bot_id=support" in following
    visitor.get(following)
    assert of(runs[0]) in visitor.page.links
    assert of(runs[1]) not in visitor.page.links


@pytest.mark.parametrize("wrong", ["cursor=nonsense", "status=dancing", "since=yesterday"])
def test_a_filter_that_means_nothing_is_said(visitor: Visitor, wrong: str) -> None:
    answer = visitor.get(f"/dashboard/migrations?{wrong}")
    assert 422 == answer.status_code
    assert wrong.split("=")[0] in visitor.words


# --- workers ----------------------------------------------------------------------------


def at_work(api: Api) -> Migration:
    """A batch worker whose clock is off is at it; nobody takes from the control queue."""
    migration = half_way(api)
    work = (TaskAtWork(names.BATCH, migration.id, 4),)
    says(api.world, replace(BATCH, name="batch@<b>", work=work), ahead_seconds=-30)
    return migration


def test_workers_are_shown_with_what_they_are_at_and_what_is_wrong(api: Api) -> None:
    migration = at_work(api)
    admin = Visitor(application(), "admin-token")
    admin.get("/dashboard/workers")
    assert "1 is alive." in admin.words
    assert "migrations.control 0 read it" in admin.words
    assert "batch@<b>" in admin.words
    assert "its clock is 30 s behind" in admin.words
    (nobody,) = [f for f in api.world.system.lookout.found().findings if "control" in f.code]
    assert f"{nobody.message} {nobody.remedy}" in admin.words
    assert of(migration) in admin.page.links


def test_hosts_and_processes_are_for_admins_alone(api: Api, visitor: Visitor) -> None:
    at_work(api)
    visitor.get("/dashboard/workers")
    assert "1 is alive." in visitor.words
    assert "process 12" not in visitor.words


def test_a_migration_says_what_is_wrong_and_what_holds_it(api: Api, visitor: Visitor) -> None:
    migration = at_work(api)
    target = migration.config.to_provider
    slowed = Learned(target, {}, requests_per_minute=12)
    api.world.limiter.has_learned[target] = slowed
    visitor.get(of(migration))
    progress = api.world.system.progress(ACME, migration.id)
    assert progress.findings
    assert {True} == {found.message in visitor.words for found in progress.findings}
    assert slowed.told is not None
    assert slowed.told in visitor.words


def test_a_migration_that_needs_an_operator_says_what_may_be_done(
    api: Api, visitor: Visitor
) -> None:
    api.world.vectors.fail("drop", VectorStoreRefused("Not now."), times=100)
    migration = api.start()
    api.world.deliver(before="migrations.phase.data_migration")
    api.world.system.cancel(ACME, "support")
    api.world.deliver()
    visitor.get(of(migration))
    assert f"celery -A worker reembed repair {migration.id}" in visitor.words


# --- starting ---------------------------------------------------------------------------


def test_a_migration_is_started_after_its_estimate_was_agreed_to(
    api: Api, visitor: Visitor
) -> None:
    visitor.get("/dashboard/bots/support/start")
    visitor.send("estimate", provider="local", model=MODEL, dimension="256", postpone="yes")
    assert "20 in 1 batches" in visitor.words
    assert [] == api.world.store.active()
    visitor.send("start", agreed="yes")
    (started,) = api.world.store.active()
    assert of(started) == visitor.at
    assert started.config.postpone
    assert "is enqueued" in visitor.words


def test_nothing_is_started_that_was_not_agreed_to(api: Api, visitor: Visitor) -> None:
    visitor.get("/dashboard/bots/support/start")
    visitor.send("estimate", provider="local", model=MODEL, dimension="256")
    answer = visitor.send("start")
    assert 422 == answer.status_code
    assert [] == api.world.store.active()


def test_a_start_that_is_sent_twice_starts_once(api: Api, visitor: Visitor) -> None:
    visitor.get("/dashboard/bots/support/start")
    visitor.send("estimate", provider="local", model=MODEL, dimension="256")
    form = visitor.page.forms[-1]
    sent = {**form.fields, "agreed": "yes"}
    first, again = (visitor.client.post(form.action, data=sent) for _ in range(2))
    assert first.headers["Location"] == again.headers["Location"]
    assert 1 == len(api.world.store.active())


def test_the_same_model_is_refused_in_its_sentence(visitor: Visitor) -> None:
    visitor.get("/dashboard/bots/support/start")
    visitor.send("estimate", provider="local", model=MODEL, dimension="64")
    answer = visitor.send("start", agreed="yes")
    assert 422 == answer.status_code
    assert "already" in visitor.words


# --- one migration ------------------------------------------------------------------------


def test_a_running_migration_shows_its_phases_and_looks_again(api: Api, visitor: Visitor) -> None:
    migration = half_way(api)
    answer = visitor.get(of(migration))
    assert "Validation done" in visitor.words
    assert "Data now" in visitor.words
    assert "Verification to come" in visitor.words
    assert 'hx-trigger="changed, every 10s"' in answer.text


def test_what_has_changed_since_a_page_was_made_is_told_to_it_until_the_end(
    api: Api, visitor: Visitor
) -> None:
    migration = half_way(api)
    assert f'data-changes="{of(migration)}/changes"' in visitor.get(of(migration)).text
    stream, desk = followed(visitor, migration)
    assert 1 == desk.count("event: changed")
    look = api.services.history.look
    assert "" == stream.told(look(migration.id, stream.after)), "nothing is new"
    api.world.deliver()
    end = stream.told(look(migration.id, stream.after))
    assert ["event: changed", "event: end"] == re.findall("event: .*", end)


def test_a_bar_that_moves_is_told_of_now_and_then(
    api: Api, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    migration = half_way(api)
    stream, _ = followed(visitor, migration)
    look = api.services.history.look(migration.id, stream.after)
    moved = replace(look, progress=replace(look.progress, processed_chunks=99))
    assert "" == stream.told(moved)
    monkeypatch.setattr(changes, "PROGRESS_SECONDS", 0.0)
    assert "event: changed" in stream.told(moved)
    assert "" == stream.told(moved)


def test_who_has_logged_out_or_whose_time_is_over_is_told_nothing_more(
    api: Api, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, _ = followed(visitor, half_way(api))
    assert stream.may_go_on()
    with monkeypatch.context() as patched:
        patched.setattr("time.time", lambda: 4e9)
        assert not stream.may_go_on()
    for token in api.services.access.all():
        api.services.access.revoke(token.id)
    assert not stream.may_go_on()


def followed(visitor: Visitor, migration: Migration) -> tuple[Stream, str]:
    """The stream that its page opens, and what it begins with."""
    opened: list[Stream] = []

    class Desk:
        def has_place(self, owner: str) -> bool:
            return True

        def open(self, stream: Stream) -> None:
            opened.append(stream)

    answer = visitor.client.get(f"{of(migration)}/changes", environ_base={ENVIRON_KEY: Desk()})
    assert "text/event-stream; charset=utf-8" == answer.content_type
    (stream,) = opened
    return stream, answer.text


def test_one_that_has_ended_is_not_asked_for_again(api: Api, visitor: Visitor) -> None:
    answer = visitor.get(of(completed(api)))
    assert "hx-trigger" not in answer.text
    assert "100.0 % of the chunks" in visitor.words


def test_the_part_that_moves_comes_alone_when_htmx_asks(api: Api, visitor: Visitor) -> None:
    live = f"{of(half_way(api))}/live"
    fragment = visitor.get(live, **{"HX-Request": "true"})
    assert "<html" not in fragment.text
    assert 'id="live"' in fragment.text
    assert "<html" in visitor.get(live).text


def test_failed_chunks_are_grouped_by_what_went_wrong(api: Api, visitor: Visitor) -> None:
    migration = half_way(api)
    for number in range(5):
        api.world.store.record_failed_chunk(migration.id, f"k{number}", "text-refused", "No.")
    api.world.store.record_failed_chunk(migration.id, "k9", "over-long", "Too long.")
    visitor.get(of(migration))
    assert "text-refused : 5" in visitor.words
    assert "over-long : 1" in visitor.words
    assert visitor.words.count("k2 : No.") == 1
    assert "k3 : No." not in visitor.words


def test_what_it_waits_for_is_said(api: Api, visitor: Visitor) -> None:
    migration = half_way(api)
    api.world.store.wait_for(migration.id, migration.epoch, "the provider, for 12 s")
    visitor.get(of(migration))
    assert "Waits for: The provider, for 12 s." in visitor.words


def test_one_whose_undo_has_failed_names_the_command() -> None:
    api = Api(hold_hours=0)
    visitor = Visitor(application())
    migration = half_way(api)
    api.world.vectors.fail("drop", VectorStoreRefused("Not now."), times=100)
    api.world.system.cancel(ACME, "support")
    api.world.deliver()
    visitor.get(of(migration))
    assert f"celery -A worker reembed repair {migration.id}" in visitor.words
    assert "Not now." in visitor.words


def test_its_events_are_told(api: Api, visitor: Visitor) -> None:
    visitor.get(of(completed(api)))
    assert "The bot answers from" in visitor.words
    assert "Completed verification." in visitor.words


def test_what_it_has_cost_is_told_where_there_is_a_price(api: Api, visitor: Visitor) -> None:
    visitor.get(of(completed(api)))
    assert "Cost $0.00" in visitor.words


def test_the_report_is_shown_without_a_style_of_its_own(api: Api, visitor: Visitor) -> None:
    migration = completed(api)
    visitor.get(of(migration))
    assert f"{of(migration)}/report" in visitor.page.links
    answer = visitor.get(f"{of(migration)}/report")
    assert "What was compared" in visitor.words
    assert "<style" not in answer.text
    assert "style=" not in answer.text


# --- steering -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reach", "offered"),
    [
        (half_way, {"pause", "throttle", "extend", "cancel"}),
        (paused, {"resume", "throttle", "extend", "cancel"}),
        (waiting, {"switch", "throttle", "extend", "cancel"}),
        (completed, {"rollback"}),
        (undone, {"retry"}),
    ],
)
def test_only_what_is_possible_is_offered(
    api: Api, visitor: Visitor, reach: object, offered: set[str]
) -> None:
    migration = reach(api)  # type: ignore[operator]
    visitor.get(of(migration))
    prefix = f"{of(migration)}/"
    found = {link.removeprefix(prefix) for link in visitor.page.links if link.startswith(prefix)}
    assert offered == found - {"report"}


def test_cancelling_is_asked_once_more_and_done(api: Api, visitor: Visitor) -> None:
    migration = half_way(api)
    visitor.get(f"{of(migration)}/cancel")
    assert "What follows" in visitor.words
    assert Status.RUNNING == api.world.store.migration(migration.id).status
    visitor.send("cancel")
    assert of(migration) == visitor.at
    assert Status.ROLLING_BACK == api.world.store.migration(migration.id).status


def test_a_cancel_cancels_this_migration_and_no_other(api: Api, visitor: Visitor) -> None:
    first = half_way(api)
    visitor.get(f"{of(first)}/cancel")
    api.world.system.cancel(ACME, "support")
    api.world.deliver()
    second = half_way(api)
    answer = visitor.send("cancel")
    assert 409 == answer.status_code
    assert Status.RUNNING == api.world.store.migration(second.id).status


def test_a_migration_is_paused_with_a_reason_and_resumed(api: Api, visitor: Visitor) -> None:
    migration = half_way(api)
    visitor.get(f"{of(migration)}/pause")
    visitor.send("pause", reason="Questions come first.")
    assert Status.PAUSED == api.world.store.migration(migration.id).status
    assert "paused Nothing is read, embedded or paid until it is resumed." in visitor.words
    assert "Questions come first." in visitor.words
    visitor.get(f"{of(migration)}/resume")
    visitor.send("resume")
    api.world.deliver()
    assert Status.COMPLETED == api.world.store.migration(migration.id).status


def test_a_pace_is_set_shown_and_taken_away(
    api: Api, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if the model were a provider's.
    monkeypatch.setattr(api.world.limiter, "learned", lambda _: None)
    migration = half_way(api)
    visitor.get(f"{of(migration)}/throttle")
    assert "as much as the provider's limit allows" in visitor.words
    visitor.send("throttle", percent="", requests_per_minute="60")
    assert "60 requests/min" in visitor.words
    visitor.get(f"{of(migration)}/throttle")
    assert "at most 60 requests a minute" in visitor.words
    visitor.send("throttle", whole="yes")
    assert "requests/min" not in visitor.words


@pytest.mark.parametrize("fields", [{"percent": ""}, {"percent": "200"}, {"percent": "much"}])
def test_a_pace_that_is_none_is_refused(api: Api, visitor: Visitor, fields: dict[str, str]) -> None:
    visitor.get(f"{of(half_way(api))}/throttle")
    assert 422 == visitor.send("throttle", **fields).status_code
    assert visitor.page.forms[-1].action.endswith("/throttle")


def test_a_migration_is_given_more_time(api: Api, visitor: Visitor) -> None:
    migration = half_way(api)
    visitor.get(f"{of(migration)}/extend")
    visitor.send("extend", hours="24")
    assert 86_400 == api.world.store.migration(migration.id).config.timeout_seconds
    visitor.get(f"{of(migration)}/extend")
    assert 422 == visitor.send("extend", hours="1").status_code


def test_one_that_was_undone_is_tried_again(api: Api, visitor: Visitor) -> None:
    migration = undone(api)
    visitor.get(f"{of(migration)}/retry")
    visitor.send("retry")
    (again,) = api.world.store.active()
    assert of(again) == visitor.at


def test_a_postponed_switch_is_accepted(api: Api, visitor: Visitor) -> None:
    migration = waiting(api)
    visitor.get(f"{of(migration)}/switch")
    visitor.send("switch")
    api.world.deliver()
    assert Status.COMPLETED == api.world.store.migration(migration.id).status
    accepted = api.world.store.migration(migration.id).decision["accepted"]
    assert "acme" == accepted["by"]


def test_a_failed_gate_is_accepted_with_a_reason_alone(api: Api, visitor: Visitor) -> None:
    migration = waiting(api)
    row = api.world.store._row(migration.id)
    decision = {**row.migration.decision, "waits_for": ["neighbourhood_overlap"]}
    gated = replace(row, migration=replace(row.migration, decision=decision))
    api.world.store._rows[migration.id] = gated
    visitor.get(f"{of(migration)}/switch")
    assert "Less was found than wanted" in visitor.words
    answer = visitor.send("switch", reason="")
    assert 409 == answer.status_code
    visitor.send("switch", reason="It is of another family.")
    accepted = api.world.store.migration(migration.id).decision["accepted"]
    assert "It is of another family." == accepted["reason"]


@pytest.mark.parametrize("mode", ["complete", "now"])
def test_a_rollback_leads_to_the_way_back(api: Api, visitor: Visitor, mode: str) -> None:
    migration = completed(api)
    visitor.get(f"{of(migration)}/rollback")
    assert "Readers are answered from" in visitor.words
    visitor.send("rollback", mode=mode)
    back = api.world.store.reverse_of(migration.id)
    assert back is not None
    assert of(back) == visitor.at
    assert mode == back.config.rollback_mode
    assert "Way back of" in visitor.words


def test_what_is_not_possible_says_so_and_has_no_form(api: Api, visitor: Visitor) -> None:
    visitor.get(f"{of(completed(api))}/cancel")
    assert "not possible in this state" in visitor.words
    assert ["/dashboard/logout"] == [form.action for form in visitor.page.forms]


# --- safety ---------------------------------------------------------------------------------


def test_what_users_name_is_never_markup(api: Api, visitor: Visitor) -> None:
    migration = half_way(api)
    store = api.world.store
    store.record_failed_chunk(migration.id, MARKUP, "text-refused", MARKUP)
    store.note(migration.id, migration.epoch, warnings=[MARKUP])
    store.wait_for(migration.id, migration.epoch, MARKUP)
    for path in (of(migration), f"{of(migration)}/live"):
        answer = visitor.get(path, **{"HX-Request": "true"})
        assert MARKUP not in answer.text
        assert "&lt;script&gt;" in answer.text
    for path in ("/dashboard/bots/%3Cscript%3E", "/dashboard/%3Cscript%3E"):
        assert "<script>" not in visitor.get(path).text
    visitor.get("/dashboard/register")
    answer = visitor.send("register", bot_id='"><script>alert(1)</script>', collection=MARKUP)
    assert MARKUP not in answer.text


def test_every_page_has_the_headers(api: Api, visitor: Visitor) -> None:
    migration = completed(api)
    for path in (
        "/dashboard/login",
        HOME,
        of(migration),
        f"{of(migration)}/report",
        "/dashboard/x",
    ):
        headers = visitor.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self';" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert ("DENY", "no-referrer", "nosniff", "no-store") == tuple(
            headers[name]
            for name in (
                "X-Frame-Options",
                "Referrer-Policy",
                "X-Content-Type-Options",
                "Cache-Control",
            )
        )
        assert "Strict-Transport-Security" not in headers


def test_behind_tls_browsers_are_told_to_stay_there() -> None:
    Api(dashboard_https=True)
    headers = application().test_client().get("/dashboard/login").headers
    assert "max-age=31536000" == headers["Strict-Transport-Security"]


def test_no_page_needs_what_the_policy_forbids(api: Api, visitor: Visitor) -> None:
    migration = completed(api)
    paths = (HOME, "/dashboard/bots/support", of(migration), "/dashboard/bots/support/start")
    for path in paths:
        html = visitor.get(path).text
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|<script(?! src=)", html), (
            path
        )


# --- files ----------------------------------------------------------------------------------


def test_the_vendored_files_are_those_whose_hashes_are_pinned() -> None:
    vendored = {f.name: f for f in (assets.FOLDER / "vendor").iterdir() if f.suffix != ".txt"}
    found = {n: hashlib.sha256(f.read_bytes()).hexdigest() for n, f in vendored.items()}
    assert assets.pinned() == found


def test_each_vendored_file_has_its_licence_beside_it() -> None:
    for name in assets.pinned():
        licence = assets.FOLDER / "vendor" / f"{name.split('-')[0]}-LICENSE.txt"
        assert licence.read_text().strip()


def test_a_browser_is_told_the_hash_of_all_it_loads(visitor: Visitor) -> None:
    html = visitor.get(HOME).text
    loaded = re.findall(
        r'(?:src|href)="(/dashboard/static/[^"]+)" integrity="sha256-([^"]+)"', html
    )
    assert 4 == len(loaded)
    for url, integrity in loaded:
        answer = visitor.client.get(url)
        digest = hashlib.sha256(answer.data).digest()
        assert base64.b64encode(digest).decode() == integrity
        assert "public, max-age=31536000, immutable" == answer.headers["Cache-Control"]
        answer.close()


def test_files_elsewhere_are_not_served(visitor: Visitor) -> None:
    for path in ("../server.py", "%2e%2e/server.py", "nothing.css"):
        assert 404 == visitor.client.get(f"/dashboard/static/{path}").status_code


def test_the_wheel_takes_all_files_of_the_page() -> None:
    data = (ROOT / "setup.cfg").read_text()
    for folder in ("static", "static/vendor", "templates", "templates/dashboard"):
        assert f"    {folder}/*\n" in data


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "localhost:8000", "[::1]:80"])
def test_who_is_on_the_same_machine_is_led_to_flower(api: Api, host: str) -> None:
    with application().test_request_context(HOME, headers={"Host": host}):
        assert "http://127.0.0.1:5555" == flower_address()


def test_who_is_elsewhere_is_not_led_to_their_own_machine(api: Api) -> None:
    with application().test_request_context(HOME, headers={"Host": "reembed.example"}):
        assert flower_address() is None


def test_who_is_elsewhere_is_led_to_flower_where_they_reach_it() -> None:
    api = Api(flower_url="https://flower.example/")
    assert api.world is not None
    assert "https://flower.example/" in Visitor(application()).answer.text
