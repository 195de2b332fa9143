"""The embedded server: a real child process."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from support import tiny_models

from sparsegrad_client import BasisService, calibrate, fetch_basis
from sparsegrad_client.embedded import EmbeddedServer, embedded_server, stop_embedded_servers
from sparsegrad_shared.errors import ServerUnreachable

HOLDER = """
import sys
from sparsegrad_client.embedded import embedded_server
server = embedded_server()
print(server.pid, flush=True)
sys.stdin.read()
"""


def _answers(server: EmbeddedServer) -> bool:
    with BasisService(server.config) as service:
        return service.find_bases().bases == ()


def test_calibrate_and_fetch_need_no_server_to_be_named(client_home: Path) -> None:
    torch.manual_seed(0)
    basis = calibrate(
        tiny_models.bert(),
        [tiny_models.classification_batch(0)],
        "local/tiny",
        steps=2,
        held_out=0,
    )
    first = embedded_server()
    assert fetch_basis("local/tiny").digest == basis.digest
    assert embedded_server() is first
    stop_embedded_servers()
    assert not first.running
    assert (client_home / "server" / "server.log").exists()
    assert fetch_basis("local/tiny@1").digest == basis.digest
    stop_embedded_servers()


def test_a_server_that_died_is_started_again(client_home: Path) -> None:
    first = embedded_server()
    os.kill(first.pid, signal.SIGKILL)
    os.waitid(os.P_PID, first.pid, os.WEXITED | os.WNOWAIT)
    second = embedded_server()
    assert second is not first
    assert _answers(second)
    stop_embedded_servers()


@pytest.mark.usefixtures("client_home")
def test_two_servers_may_start_and_work_over_one_new_folder_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool, ExitStack() as stack:
        starting = [pool.submit(EmbeddedServer, tmp_path / "shared") for _ in range(2)]
        servers = [stack.enter_context(start.result()) for start in starting]
        assert servers[0].config.url != servers[1].config.url

        def calibrate_on(server: EmbeddedServer) -> str:
            return calibrate(
                tiny_models.bert(),
                [tiny_models.classification_batch(0)],
                f"local/{server.pid}",
                server=server.config.url,
                token=server.config.token,
                steps=2,
                held_out=0,
            ).digest

        digests = list(pool.map(calibrate_on, servers))
        for server in servers:
            with BasisService(server.config) as service:
                assert {basis.digest for basis in service.find_bases().bases} == set(digests)


def test_the_server_ends_with_a_parent_that_was_killed(client_home: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    pid = int(next(iter(parent.stdout or ())))
    descriptor = os.pidfd_open(pid)
    parent.kill()
    parent.communicate()

    readable, _, _ = select.select([descriptor], [], [], 60)
    os.close(descriptor)
    assert readable


def test_a_server_that_cannot_start_says_why_in_a_line_and_where_its_log_is(
    tmp_path: Path,
) -> None:
    (tmp_path / "catalog.sqlite").mkdir()
    why = r"did not start: the catalog cannot be used: unable to open .* \(its log: .*server\.log\)"
    with pytest.raises(ServerUnreachable, match=rf"^the embedded server {why}$"):
        EmbeddedServer(tmp_path)
