"""The command as people type it: helpful, quiet where a program reads, short when it fails."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sparsegrad_server.auth import tokens
from sparsegrad_server.catalog import Catalog
from sparsegrad_server.settings import Settings
from sparsegrad_shared.errors import Unauthenticated
from sparsegrad_shared.terminal.exits import FAILED, WRONG_USAGE


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if "SPARSEGRAD" not in name}
    return subprocess.run(
        [sys.executable, "-m", "sparsegrad_server", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**clean, "COLUMNS": "200", **environment},
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "serve"),
        (("serve",), "Example"),
        (("worker",), "Example"),
        (("token",), "create"),
        (("token", "create"), "Example"),
        (("audit",), "Example"),
    ],
)
def test_help_says_what_there_is(arguments: tuple[str, ...], said: str) -> None:
    answer = run(*arguments, "--help")
    assert answer.returncode == 0
    assert said in answer.stdout


def test_help_needs_no_extra_and_a_missing_one_is_named_in_one_line(tmp_path: Path) -> None:
    # A folder in front of the path whose modules say that they are not installed.
    for module in ("fastapi", "sqlalchemy", "pydantic_settings", "numpy"):
        absent = f"raise ModuleNotFoundError('No module named {module}', name={module!r})"
        (tmp_path / f"{module}.py").write_text(absent)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    assert run("--help", PYTHONPATH=path).returncode == 0
    answer = run("serve", "--data", str(tmp_path / "data"), PYTHONPATH=path)
    assert answer.returncode == 1
    assert re.fullmatch(
        r"error: this command needs \w+, which is not installed; "
        r"run: pip install 'sparsegrad-peft\[server\]'\n",
        answer.stderr,
    )


def test_a_token_is_printed_alone_then_listed_without_its_secret_then_revoked(
    tmp_path: Path,
) -> None:
    environment = {"SPARSEGRAD_DATA": str(tmp_path / "data")}
    made = run("token", "create", "--namespace", "team", "--scope", "write", **environment)
    assert made.returncode == 0, made.stderr
    secret = made.stdout.removesuffix("\n")
    catalog = Catalog(Settings(data=tmp_path / "data").catalog_address)
    with catalog.reading() as session:
        principal = tokens.verify(session, secret, datetime.now(UTC))
    assert (principal.namespace, principal.scope) == ("team", "write")
    listed = run("token", "list", **environment).stdout
    token_id, *rest = listed.strip().split("\t")
    assert rest == ["team-write", "team", "write", "valid", "-"]
    assert secret not in listed
    unanswered = run("token", "revoke", token_id, **environment)
    assert unanswered.returncode == 2
    assert f"Revoke {token_id} (team-write, write) for good?" in unanswered.stderr
    (shown,) = json.loads(run("token", "list", "--json", **environment).stdout)
    assert shown["state"] == "valid"
    assert run("token", "revoke", token_id, "--yes", **environment).returncode == 0
    (shown,) = json.loads(run("token", "list", "--json", **environment).stdout)
    assert shown["state"] == "revoked"
    audited = run("audit", "--since", "2020-01-01", "--json", **environment).stdout
    assert secret not in audited
    entries = json.loads(audited)
    assert [entry["action"] for entry in entries] == ["token revoke", "token create"]
    assert {entry["token_id"] for entry in entries} == {None}
    assert all(token_id in entry["target"] for entry in entries)
    with pytest.raises(Unauthenticated, match="revoked"), catalog.reading() as session:
        tokens.verify(session, secret, datetime.now(UTC))


def test_errors_are_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    file = tmp_path / "file"
    file.touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for arguments, code, said in (
            (("serve", "--data", data, "--port", port), FAILED, f"{port}.*in use.*--port"),
            (("serve", "--data", str(file / "x")), FAILED, "cannot use .*/file: File exists"),
            (("worker",), WRONG_USAGE, "--data or SPARSEGRAD_DATA"),
            (("worker", "--data", data, "--threads", "0"), WRONG_USAGE, "--threads: .*got 0"),
            (("token", "create", "--namespace", "../x", "--data", data), FAILED, r"\.\./x"),
            (("token", "create", "--namespace", "team", "--days", "1e9"), WRONG_USAGE, "--days: "),
            (("token", "create", "--namespace", "team", "--days", "nan"), WRONG_USAGE, "--days: "),
            (("gc", "--data", data, "--grace", "1e12"), WRONG_USAGE, "--grace: expected at most"),
            (("token", "revoke", "tok-none", "--data", data), FAILED, "token list"),
        ):
            answer = run(*arguments)
            assert answer.returncode == code, arguments
            (line,) = [text for text in answer.stderr.splitlines() if "INFO" not in text]
            assert re.search(rf"^error: .*{said}", line), line


def test_every_result_is_one_json_document(tmp_path: Path) -> None:
    data = ("--data", str(tmp_path / "data"), "--json")

    def document(*arguments: str) -> object:
        done = run(*arguments, *data)
        assert (done.returncode, done.stderr) == (0, ""), arguments
        return json.loads(done.stdout)

    made = document("token", "create", "--namespace", "team", "--days", "1")
    assert isinstance(made, dict)
    assert set(made) == {"id", "name", "namespace", "scope", "expires", "token"}
    assert document("token", "revoke", made["id"], "--yes") == {
        "revoked": made["id"],
        "name": "team-read",
    }
    audited = document("audit", "--limit", "1")
    assert isinstance(audited, list)
    assert [entry["action"] for entry in audited] == ["token revoke"]
    settings = document("settings")
    assert isinstance(settings, list)
    assert {tuple(setting) for setting in settings} == {("variable", "value", "from")}
    checked = document("check")
    assert isinstance(checked, dict)
    assert set(checked) == {"findings", "looked_at", "spare"}
    assert checked["findings"] == []
    freed = document("gc", "--yes")
    assert freed == {
        "dry_run": False,
        "bytes": 0,
        "things": [],
        "left_alone": [],
        "stuck": [],
    }


def test_a_wrong_variable_is_called_by_its_name(tmp_path: Path) -> None:
    answer = run("token", "list", SPARSEGRAD_DATA=str(tmp_path), SPARSEGRAD_PORT="much")
    assert answer.returncode == FAILED
    assert re.match(r"error: SPARSEGRAD_PORT: expected .*; got 'much'\n", answer.stderr)


def test_a_health_check_fails_where_no_worker_runs(tmp_path: Path) -> None:
    answer = run("worker", "--healthcheck", "--data", str(tmp_path))
    assert answer.returncode == 1
    assert "no sign of life" in answer.stderr
