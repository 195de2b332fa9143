"""``sparsegrad-client dashboard``: the pages of a server that is named, or of this machine's."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from support.commands import Run
from support.servers import RunningServer

from sparsegrad_shared.terminal.exits import DONE, FAILED


def _start(*options: str) -> subprocess.Popen[str]:
    program = "from sparsegrad_client.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", program, "dashboard", *options],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _interrupted(process: subprocess.Popen[str]) -> str:
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    return said


@pytest.mark.usefixtures("client_home")
def test_the_server_of_this_machine_runs_until_ctrl_c_and_its_token_stays_in_its_file() -> None:
    with _start() as process:
        assert process.stdout is not None
        url, where = process.stdout.readline().strip(), process.stdout.readline().strip()
        page = httpx.get(f"{url}/sign-in")
        token_file = Path(where.removeprefix("sign in with the token in "))
        token = token_file.read_text().strip()
        bearer = {"Authorization": f"Bearer {token}"}
        answer = httpx.get(f"{url}/v1/bases", headers=bearer)
        said = _interrupted(process)
    assert (page.status_code, answer.status_code) == (200, 200)
    assert stat.S_IMODE(token_file.stat().st_mode) == 0o600
    assert token not in where
    assert (process.returncode, said.splitlines()[-1]) == (DONE, "Ctrl-C ends it")
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


@pytest.mark.usefixtures("client_home")
def test_the_token_is_printed_when_it_is_asked_for_and_a_program_reads_data() -> None:
    with _start("--show-token", "--json") as process:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if line == "}\n":
                break
        assert _interrupted(process) == ""
    found = json.loads(said)
    assert found["token"] == Path(found["token_file"]).read_text().strip()
    assert process.returncode == DONE


def test_a_server_that_is_named_is_asked_whether_it_is_there(
    on_server: Run, team_server: RunningServer
) -> None:
    found = on_server("dashboard")
    assert found.returncode == DONE, found.stderr
    assert found.stdout.splitlines()[0] == team_server.url
    assert team_server.token not in found.stdout
    assert on_server("dashboard", "--quiet").stdout == f"{team_server.url}\n"
    wrong = on_server("dashboard", SPARSEGRAD_TOKEN="sg_wrong")
    assert (wrong.returncode, wrong.stdout) == (FAILED, "")
    assert "SPARSEGRAD_TOKEN" in wrong.stderr


def test_a_machine_without_a_browser_says_so(on_server: Run) -> None:
    opened = on_server("dashboard", "--open", PATH="/nowhere", DISPLAY="", BROWSER="")
    assert opened.returncode == DONE
    assert "there is no browser here" in opened.stderr
