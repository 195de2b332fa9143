"""What the shells offer at Tab."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support.bases import Shape, made, publish
from support.commands import Run
from support.servers import RunningServer

PROGRAM = Path(sys.executable).with_name("sparsegrad-client")
NOT_DETECTED = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}  # the shell is named instead


@pytest.fixture(scope="session")
def tabbed(team_server: RunningServer) -> Iterator[None]:
    """Two versions of team/tabbed, the first of which is tried."""
    headers = {"Authorization": f"Bearer {team_server.token}"}
    with httpx.Client(base_url=team_server.url, headers=headers, timeout=60) as client:
        for seed in (1, 2):
            publish(client, "team/tabbed", made(seed, [Shape("up", d_out=6, d_in=4)]))
        new = {"If-None-Match": "*"}
        path = "/v1/bases/team/tabbed/aliases/tried"
        client.put(path, json={"version": 1}, headers=new).raise_for_status()
        yield


def tab(run: Run, *words: str, **variables: str) -> list[str]:
    """What a shell is offered for the last of the words."""
    typed = "\n".join(("sparsegrad-client", *words))
    asked = {
        "_SPARSEGRAD_CLIENT_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(words)),
    }
    offered = run(**asked, **variables)
    assert (offered.returncode, offered.stderr) == (0, "")
    return offered.stdout.split()


def test_subcommands_and_options_and_choices_are_offered(run: Run) -> None:
    assert tab(run, "ca") == ["calibrate"]
    assert tab(run, "bases", "alias", "unp") == ["unprotect"]
    assert tab(run, "calibrate", "--held") == ["--held-out"]
    assert tab(run, "calibrate", "--share", "") == ["role", "layer"]


def test_short_names_of_models_are_offered(run: Run) -> None:
    offered = tab(run, "calibrate", "--model", "llama")
    assert "llama-2-7b" in offered
    assert all(name.startswith("llama") for name in offered)


@pytest.mark.usefixtures("tabbed")
def test_what_the_server_has_is_offered_in_the_form_that_is_asked_for(on_server: Run) -> None:
    name = "team/tabbed"
    assert tab(on_server, "bases", "show", "team/tab") == [name, f"{name}:tried"]
    assert tab(on_server, "bases", "show", f"{name}@") == [f"{name}@1", f"{name}@2"]
    assert tab(on_server, "bases", "delete", "team/tab") == [f"{name}@1", f"{name}@2"]
    assert tab(on_server, "bases", "rollback", "team/tab") == [f"{name}:tried"]
    assert tab(on_server, "bases", "alias", "list", "team/tab") == [name]
    assert tab(on_server, "calibrate", "--name", "team/tab") == [name]
    assert tab(on_server, "train", "--basis", "team/tab") == [name, f"{name}:tried"]


@pytest.mark.usefixtures("tabbed")
def test_what_was_fetched_before_is_offered_while_the_server_is_away(
    on_server: Run, run: Run, tmp_path: Path
) -> None:
    with RunningServer(tmp_path / "short-lived") as server:
        there = {"SPARSEGRAD_SERVER": server.url, "SPARSEGRAD_TOKEN": server.token}
        assert on_server("bases", "export", "team/tabbed@1", "basis.tar").returncode == 0
        assert run("bases", "import", "basis.tar", "local/kept", **there).returncode == 0
        assert run("bases", "pull", "local/kept", **there).returncode == 0
    assert tab(run, "bases", "show", "local/k", **there) == ["local/kept"]


def test_nothing_is_offered_said_or_started_where_there_is_no_server(
    run: Run, client_home: Path
) -> None:
    assert tab(run, "bases", "show", "") == []
    assert list(client_home.rglob("*")) == []
    assert tab(run, "bases", "show", "", SPARSEGRAD_SERVER="http://127.0.0.1:9") == []
    assert tab(run, "bases", "show", "", SPARSEGRAD_SERVER="nonsense") == []


def test_bash_completes_by_the_script_that_is_shown(run: Run) -> None:
    script = run("--show-completion", "bash", **NOT_DETECTED)
    assert script.returncode == 0, script.stderr
    typed = "COMP_WORDS=(sparsegrad-client bases pu); COMP_CWORD=2"
    call = f"{typed}; _sparsegrad_client_completion {PROGRAM}; echo ${{COMPREPLY[@]}}"
    done = subprocess.run(
        ["bash", "-c", f"{script.stdout}\n{call}"], capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("pull", "")


@pytest.mark.parametrize(
    ("shell", "variables", "said"),
    [
        ("zsh", {}, '"pull":"Fetch a basis'),
        ("fish", {"_TYPER_COMPLETE_FISH_ACTION": "get-args"}, "pull\tFetch a basis"),
    ],
)
def test_other_shells_are_offered_what_there_is_with_its_help(
    run: Run, shell: str, variables: dict[str, str], said: str
) -> None:
    asked = {
        "_SPARSEGRAD_CLIENT_COMPLETE": f"complete_{shell}",
        "_TYPER_COMPLETE_ARGS": "sparsegrad-client bases pu",
    }
    offered = run(**asked, **variables)
    assert said in offered.stdout


@pytest.mark.parametrize(
    ("shell", "files"),
    [
        ("bash", {".bashrc", ".bash_completions/sparsegrad-client.sh"}),
        ("zsh", {".zshrc", ".zfunc/_sparsegrad-client"}),
        ("fish", {".config/fish/completions/sparsegrad-client.fish"}),
    ],
)
def test_completion_is_installed_for_each_shell(
    run: Run, tmp_path: Path, shell: str, files: set[str]
) -> None:
    done = run("--install-completion", shell, HOME=str(tmp_path), **NOT_DETECTED)
    assert done.returncode == 0, done.stderr
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert found == files
    script = next(path for path in files if "sparsegrad" in path)
    assert f"complete_{shell}" in (tmp_path / script).read_text()
