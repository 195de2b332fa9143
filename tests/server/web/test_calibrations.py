"""Pages of calibrations: the list, one of each kind, and one that moves while it is looked at."""

from __future__ import annotations

import re
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from support.browsers import sign_in, visit, words_of
from support.live_pages import first, listening
from support.service import Service
from support.serving import Serving, until
from support.workbench import Workbench, decaying, group_of, manifest_of

from sparsegrad_server.auth import tokens
from sparsegrad_server.catalog import calibrations
from sparsegrad_server.catalog.audit import AuditQuery, search
from sparsegrad_server.catalog.tables import CalibrationRow
from sparsegrad_server.web.calibrations import PAGE
from sparsegrad_server.web.live import MOST_STREAMS
from sparsegrad_shared.errors import Overloaded

UP, DOWN = group_of("up"), group_of("down", d_out=8, d_in=12)


def titles(page: httpx.Response) -> list[str]:
    """The names that a list shows, in its order."""
    assert page.status_code == 200, page.text
    return re.findall(r'class="row-title" href="[^"]+">([^<]+)<', page.text)


def open_named(bench: Workbench, name: str) -> str:
    return bench.open(manifest_of([UP], name=name))


def fail(bench: Workbench, name: str) -> tuple[str, Path, Path]:
    """A calibration whose job has failed: its id, a gradient's file, and where that is now."""
    calibration = open_named(bench, name)
    bench.store_all(calibration, UP)
    (chunk,) = (bench.settings.gradients_folder / calibration).rglob("c.2.0.0")
    aside = chunk.rename(bench.settings.data / f"{calibration}-aside")
    bench.finish(calibration)
    bench.work()
    return calibration, chunk, aside


def test_the_list_says_how_each_one_is(bench: Workbench, viewer: httpx.Client) -> None:
    bench.publish(manifest_of([UP], name="team/done"))
    fail(bench, "team/broken")
    collecting = open_named(bench, "team/collecting")
    bench.store(collecting, UP, 0, decaying(0))
    expired = open_named(bench, "team/expired")
    with bench.catalog.writing() as session:
        calibrations.expire(session, calibrations.get(session, expired), datetime.now(UTC))
    shown = words_of(viewer.get("/calibrations").text)
    assert "team/done finished published 8 of 8 gradients" in shown
    assert "team/broken finished failed" in shown
    assert "team/collecting open 1 of 8 gradients" in shown
    assert "team/expired expired gradients are gone" in shown


def test_words_and_state_narrow_the_list(bench: Workbench, viewer: httpx.Client) -> None:
    for name in ("team/seek-BERT", "team/seek-minilm"):
        open_named(bench, name)
    bench.publish(manifest_of([UP], name="team/seek-bert-done"))
    asked = {
        "q=seek+bert": {"team/seek-BERT", "team/seek-bert-done"},
        "q=seek&state=open": {"team/seek-BERT", "team/seek-minilm"},
        "q=seek&state=finished": {"team/seek-bert-done"},
        "q=100%25": set(),
    }
    for query, expected in asked.items():
        assert set(titles(viewer.get(f"/calibrations?{query}"))) == expected, query
    none = viewer.get("/calibrations?q=seek&state=expired")
    assert "Nothing matches" in none.text


def test_a_list_longer_than_a_page_goes_on_and_keeps_what_was_asked(
    bench: Workbench, viewer: httpx.Client
) -> None:
    names = [f"team/many-{number}" for number in range(PAGE + 3)]
    for name in names:
        open_named(bench, name)
    page = viewer.get("/calibrations?q=many&state=open")
    (later,) = re.findall(r'href="([^"]+)" rel="next"', page.text)
    assert later.startswith("/calibrations?q=many&amp;state=open&amp;after=")
    rest = viewer.get(later.replace("&amp;", "&"))
    assert titles(page) + titles(rest) == names[::-1]
    assert 'rel="next"' not in rest.text


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("state=nope", "error-state"),
        (f"q={'+'.join('abcdefghijklmnopqrstuvwxyz')}", "error-q"),
        ("after=x", "at the first one"),
    ],
)
def test_what_cannot_be_asked_is_told_at_its_field_and_kept(
    viewer: httpx.Client, query: str, said: str
) -> None:
    answer = viewer.get(f"/calibrations?{query}")
    assert answer.status_code == 422
    if said.startswith("error-"):
        error = re.search(rf'id="{said}">([^<]+)</p>', answer.text)
        assert error is not None
        assert 'aria-invalid="true"' in answer.text
    else:
        assert said in answer.text


def test_where_there_is_none_it_says_how_to_make_one(site: Service) -> None:
    with sign_in(site, "empty") as browser:
        page = browser.get("/calibrations")
    assert "No calibration yet" in page.text
    assert "--name empty/" in page.text


def test_names_from_clients_are_text(bench: Workbench, viewer: httpx.Client) -> None:
    hostile = "<script>alert(1)</script>"
    manifest = manifest_of([UP], name="team/hostile")
    changed = manifest.model_copy(
        update={
            "model": manifest.model.model_copy(update={"id": hostile}),
            "dataset": manifest.dataset.model_copy(update={"id": hostile}),
        }
    )
    calibration = bench.open(changed)
    for path in ("/calibrations?q=hostile", f"/calibrations/{calibration}"):
        page = viewer.get(path).text
        assert hostile not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_one_says_what_has_arrived_of_each_group(bench: Workbench, viewer: httpx.Client) -> None:
    calibration = bench.open(manifest_of([UP, DOWN], name="team/two-groups"))
    for index in (0, 1, 6):
        bench.store(calibration, UP, index, decaying(index))
    page = viewer.get(f"/calibrations/{calibration}").text
    words = words_of(page)
    assert "up 12 \N{MULTIPLICATION SIGN} 8 2 of 6 1 of 2" in words
    assert "down 8 \N{MULTIPLICATION SIGN} 12 0 of 6 0 of 2" in words
    assert 'aria-label="Arrived of up" value="3" max="8"' in page
    assert f'data-follow="/calibrations/{calibration}/events"' in page


def test_only_one_that_is_open_says_how_a_client_that_was_stopped_goes_on(
    bench: Workbench, viewer: httpx.Client
) -> None:
    def hint(calibration: str) -> bool:
        page = viewer.get(f"/calibrations/{calibration}").text
        found = re.search(
            rf'data-shown="resume"( hidden)?>[^<]*<code>--resume {calibration}<', page
        )
        assert found is not None
        return found[1] is None

    calibration = open_named(bench, "team/stopped")
    bench.store(calibration, UP, 0, decaying(0))
    assert hint(calibration)
    assert not hint(bench.publish(manifest_of([UP], name="team/went-on")).calibration)


def test_one_that_is_done_leads_to_its_basis_and_follows_nothing(
    bench: Workbench, viewer: httpx.Client
) -> None:
    job = bench.publish(manifest_of([UP], name="team/leads-on"))
    page = viewer.get(f"/calibrations/{job.calibration}").text
    assert 'data-link="basis" href="/bases/team/leads-on/1"' in page
    assert f'data-link="job" href="/jobs/{job.id}"' in page
    assert job.basis is not None
    assert job.basis.digest in page
    assert "data-follow" not in page


def test_one_that_expired_says_how_to_calibrate_again(
    bench: Workbench, viewer: httpx.Client
) -> None:
    calibration = open_named(bench, "team/too-late")
    with bench.catalog.writing() as session:
        calibrations.expire(session, calibrations.get(session, calibration), datetime.now(UTC))
    page = viewer.get(f"/calibrations/{calibration}").text
    command = "sparsegrad-client calibrate --model tiny --dataset data --name team/too-late"
    assert command in page


def test_what_has_failed_says_why_and_is_computed_again_once_it_is_mended(
    bench: Workbench, viewer: httpx.Client, editor: httpx.Client
) -> None:
    calibration, chunk, aside = fail(bench, "team/mended")
    path = f"/calibrations/{calibration}"
    assert "up/2" in words_of(viewer.get(path).text)
    assert "Compute it again" not in viewer.get(path).text  # it may not
    assert f"--resume {calibration}" in viewer.get(path).text
    assert f'action="{path}/finish"' in editor.get(path).text
    assert viewer.post(f"{path}/finish").status_code == 403
    aside.rename(chunk)
    answer = editor.post(f"{path}/finish")
    assert answer.status_code == 303
    with bench.catalog.reading() as session:
        job = session.get_one(CalibrationRow, calibration).job_id
    assert answer.headers["location"] == f"/jobs/{job}"
    bench.work()
    assert "/bases/team/mended/1" in viewer.get(path).text
    with bench.catalog.reading() as session:
        entries = search(session, AuditQuery(namespace="team"), 100).entries
    ours = [(entry.target, entry.status) for entry in entries if calibration in entry.target]
    assert ours == [(calibration, 303), (f"{path}/finish", 403)]


def test_none_of_that_id_is_a_page_that_says_so(viewer: httpx.Client) -> None:
    answer = viewer.get("/calibrations/cal-none")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")


def test_a_page_hears_gradients_arrive_the_basis_come_and_the_end(
    bench: Workbench, site: Service
) -> None:
    calibration = bench.open(manifest_of([UP], name="team/watched"))
    with (
        sign_in(site) as browser,
        listening(browser, f"/calibrations/{calibration}/events") as heard,
    ):
        live = first(heard, lambda live: True)
        assert live["bars"]["group-0"] == [0, 8]
        assert live["states"]["arrive"] == "current"
        bench.store(calibration, UP, 0, decaying(0))
        live = first(heard, lambda live: live["bars"]["group-0"] == [1, 8])
        assert live["texts"]["fitted-0"] == "1 of 6"
        assert live["texts"]["rate"] != ""
        bench.store_all(calibration, UP, range(1, 8))
        job = bench.finish(calibration)
        live = first(heard, lambda live: live["states"]["arrive"] == "done")
        assert live["links"]["job"] == f"/jobs/{job}"
        assert live["said"] == "The basis is being computed"
        bench.work()
        live = first(heard, lambda live: live["shown"]["basis"])
        assert live["links"]["basis"] == "/bases/team/watched/1"
        assert list(heard) == [("end", {})]


def test_a_page_is_told_nothing_more_once_its_token_is_revoked(
    bench: Workbench, site: Service
) -> None:
    calibration = open_named(bench, "team/revoked")
    path = f"/calibrations/{calibration}/events"
    with visit(site) as browser:
        with site.catalog.writing() as session:
            token = tokens.create(session, "tests", "team", "read", datetime.now(UTC))
        browser.post("/sign-in", data={"token": token.secret})
        with listening(browser, path) as heard:
            first(heard, lambda live: True)
            with site.catalog.writing() as session:
                tokens.revoke(session, token.id, datetime.now(UTC))
            assert all(name == "state" for name, _ in heard)  # and it ends
        again = browser.get(path, headers={"Accept": "text/event-stream"})
        assert again.status_code == 401


def test_a_browser_has_so_many_live_pages_and_more_once_they_are_closed(
    bench: Workbench, site: Service
) -> None:
    calibration = open_named(bench, "team/crowded")
    path = f"/calibrations/{calibration}/events"

    def status(browser: httpx.Client) -> int:
        with browser.stream("GET", path, headers={"Accept": "text/event-stream"}) as answer:
            return answer.status_code

    with sign_in(site) as browser, sign_in(site) as other:
        with ExitStack() as pages:
            heard = [pages.enter_context(listening(browser, path)) for _ in range(MOST_STREAMS)]
            for each in heard:
                first(each, lambda live: True)
            assert status(browser) == Overloaded.status
            assert status(other) == 200
        assert until(lambda: status(browser) == 200)


def test_a_server_that_stops_ends_its_streams_at_once(tmp_path: Path) -> None:
    data = tmp_path / "data"
    bench = Workbench(data)
    calibration = open_named(bench, "team/stopping")
    with Serving(data, drain_seconds=600) as serving:
        service = Service(bench.settings, serving.url, serving.process)  # type: ignore[arg-type]
        path = f"/calibrations/{calibration}/events"
        with sign_in(service) as browser, listening(browser, path) as heard:
            first(heard, lambda live: True)
            serving.ask_to_stop()
            assert all(name == "state" for name, _ in heard)
            assert browser.get(f"/calibrations/{calibration}").status_code == 200  # it drains
        serving.ask_to_stop()  # drains no longer
        assert serving.process.wait(timeout=60) == 0
