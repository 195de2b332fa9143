"""``sparsegrad-client bases`` against a real server: find, name, keep, delete, pass on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support.bases import Shape, made, publish
from support.commands import Run
from support.servers import RunningServer

from sparsegrad_shared.terminal.exits import FAILED, WRONG_USAGE

UP = Shape("up", d_out=12, d_in=8)
DOWN = Shape("down", d_out=8, d_in=12)


@pytest.fixture(scope="session")
def published(team_server: RunningServer) -> Iterator[httpx.Client]:
    """Three versions of team/shared, the second of two groups."""
    headers = {"Authorization": f"Bearer {team_server.token}"}
    with httpx.Client(base_url=team_server.url, headers=headers, timeout=60) as client:
        for seed, shapes in ((1, [UP]), (2, [UP, DOWN]), (3, [UP])):
            publish(client, "team/shared", made(seed, shapes, model="acme/shared-model"))
        yield client


@pytest.fixture
def name(published: httpx.Client, request: pytest.FixtureRequest) -> str:
    """A name of the test's own with three versions of what is there already."""
    name = f"team/{request.node.name[:60]}"
    for seed, shapes in ((1, [UP]), (2, [UP, DOWN]), (3, [UP])):
        publish(published, name, made(seed, shapes, model="acme/shared-model"))
    return name


def said(run: Run, *arguments: str, **options: object) -> str:
    """What a command prints that has to succeed."""
    done = run(*arguments, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(run: Run, *arguments: str, code: int = FAILED) -> str:
    """What a command says that has to fail."""
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    said = done.stderr.splitlines()[-1]
    assert said.startswith("error: ")
    return said


def test_bases_are_found_by_words_shapes_and_tags(on_server: Run, name: str) -> None:
    said(on_server, "bases", "tag", f"{name}@1", "reviewed", "english")
    assert f"{name}@1: english" in said(on_server, "bases", "untag", f"{name}@1", "reviewed")

    def found(*options: str) -> list[int]:
        listed = said(on_server, "bases", "list", *options, "--name", name, "--json")
        return [version["version"] for version in json.loads(listed)]

    assert found() == [3, 2, 1]
    assert found("--limit", "2") == [3, 2]
    assert found("SHARED", "acme") == [3, 2, 1]
    assert found("--tag", "english") == [1]
    assert found("--tag", "reviewed") == []
    assert found("--shape", "12x8", "--shape", "8x12") == [2]
    table = said(on_server, "bases", "list", "--name", name)
    assert table.index(f"{name}@3") < table.index(f"{name}@1")
    assert "english" in table
    nothing = on_server("bases", "list", "--model", "nothing")
    assert (nothing.stdout, nothing.stderr) == ("", "no basis matches\n")
    misshapen = refused(on_server, "bases", "list", "--shape", "large", code=WRONG_USAGE)
    assert "--shape: expected rows and columns" in misshapen


def test_an_alias_is_promoted_and_rolled_back(
    on_server: Run, published: httpx.Client, name: str
) -> None:
    prod = f"{name}:prod"
    path = f"/v1/bases/{name}/aliases/prod"
    published.put(path, json={"version": 1}, headers={"If-None-Match": "*"})
    said(on_server, "bases", "alias", "set", f"{name}@2", "staging")
    moved = said(on_server, "bases", "promote", f"{name}:staging", prod)
    assert f"{prod} is version 2 (before: version 1)" in moved
    assert "version 1 (before: version 2)" in said(on_server, "bases", "rollback", prod)
    assert "named nothing before version 1" in refused(on_server, "bases", "rollback", prod)
    history = json.loads(said(on_server, "bases", "history", prod, "--json"))["history"]
    assert [change["version"] for change in history] == [1, 2, 1]
    other = refused(on_server, "bases", "promote", "team/shared@1", prod)
    assert f"can only name versions of {name}" in other


def test_an_alias_is_protected_and_deleted(on_server: Run, name: str) -> None:
    prod = f"{name}:prod"
    said(on_server, "bases", "alias", "set", f"{name}@1", "prod")
    said(on_server, "bases", "alias", "protect", prod)  # the embedded token is an admin's
    assert "protected" in said(on_server, "bases", "alias", "list", name)
    assert f"{prod} is version 1, protected" in said(on_server, "bases", "history", prod)
    said(on_server, "bases", "alias", "unprotect", prod)
    unanswered = refused(on_server, "bases", "alias", "delete", prod, code=WRONG_USAGE)
    assert f"Delete {prod}, which names version 1? Nobody is there to answer" in unanswered
    assert "before: version 1" in said(on_server, "bases", "alias", "delete", prod, "--yes")
    gone = refused(on_server, "bases", "history", prod)
    assert "was deleted on" in gone
    assert "it named version 1" in gone
    said(on_server, "bases", "promote", f"{name}@2", prod)
    assert "deleted" in said(on_server, "bases", "history", prod)


def test_a_version_is_pinned_and_deleted_only_when_nothing_holds_it(
    on_server: Run, name: str
) -> None:
    assert "; pinned" in said(on_server, "bases", "pin", f"{name}@2")
    assert "pinned       yes" in said(on_server, "bases", "show", f"{name}@2")
    assert "it is pinned" in refused(on_server, "bases", "delete", f"{name}@2", "--yes")
    assert "; pinned" not in said(on_server, "bases", "unpin", f"{name}@2")
    unanswered = refused(on_server, "bases", "delete", f"{name}@2", code=WRONG_USAGE)
    assert f"Delete {name}@2" in unanswered
    said(on_server, "bases", "show", f"{name}@2")
    assert "is deleted" in said(on_server, "bases", "delete", f"{name}@2", "--yes")
    assert "was deleted on" in refused(on_server, "bases", "show", f"{name}@2")
    unversioned = refused(on_server, "bases", "delete", name, "--yes", code=WRONG_USAGE)
    assert f"VERSION: expected a version such as team/name@3, got '{name}'" in unversioned


def test_two_bases_are_compared_in_degrees_and_words(on_server: Run, name: str) -> None:
    table = said(on_server, "bases", "diff", f"{name}@1", f"{name}@2")
    assert "up: inputs " in table
    assert "leading directions" in table
    same = json.loads(said(on_server, "bases", "diff", f"{name}@1", f"{name}@1", "--json"))
    assert [group["side"] for group in same["groups"]] == ["input", "output"]
    assert all(group["shared"] == pytest.approx(1) for group in same["groups"])
    assert max(max(group["angles_degrees"]) for group in same["groups"]) < 0.1


def test_a_basis_goes_from_one_server_to_another_and_keeps_its_digest(
    on_server: Run, run: Run, name: str, tmp_path: Path
) -> None:
    digest = json.loads(said(on_server, "bases", "show", f"{name}@2", "--json"))["digest"]
    said(on_server, "bases", "export", f"{name}@2", "basis.tar")
    said(on_server, "bases", "export", f"{name}@2", "--folder", "basis")
    assert (tmp_path / "basis" / "README.md").is_file()
    with RunningServer(tmp_path / "elsewhere") as other:
        there = {"SPARSEGRAD_SERVER": other.url, "SPARSEGRAD_TOKEN": other.token}
        assert f"local/first@1 ({digest})" in said(
            run, "bases", "import", "basis.tar", "local/first", **there
        )
        again = said(run, "bases", "import", "basis", "local/second", **there)
        assert f"local/second@1 ({digest})" in again
        shown = json.loads(said(run, "bases", "show", "local/second@1", "--json", **there))
    assert (shown["digest"], shown["calibration"]) == (digest, None)


def test_wrong_exports_and_imports_say_what_is_expected(
    on_server: Run, name: str, tmp_path: Path
) -> None:
    nowhere = refused(on_server, "bases", "export", name, code=WRONG_USAGE)
    assert "either a FILE, or --folder DIR" in nowhere
    (tmp_path / "there.tar").write_text("something else")
    assert "is there already" in refused(on_server, "bases", "export", name, "there.tar")
    assert "not an export" in refused(on_server, "bases", "import", "there.tar", "team/x")
    assert "no such file" in refused(on_server, "bases", "import", "nothing.tar", "team/x")
    unnamed = refused(on_server, "bases", "import", "there.tar", "short", code=WRONG_USAGE)
    assert "NAME: expected" in unnamed
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    assert "notes.txt" in refused(on_server, "bases", "export", name, "--folder", "full")
