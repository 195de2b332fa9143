"""The compose profile `cluster`: its certificates are good for mutual TLS, and made once."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml", reason="comes with Dask, which is not installed")

COMPOSE = Path(__file__).parents[2] / "docker-compose.yml"


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = yaml.safe_load(COMPOSE.read_text())["services"]
    return found


@pytest.fixture
def folder(services: dict[str, dict[str, object]], tmp_path: Path) -> Path:
    """What the service `certificates` makes."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    make(services, tmp_path)
    return tmp_path


def make(services: dict[str, dict[str, object]], folder: Path) -> None:
    (script,) = services["certificates"]["command"]  # type: ignore[misc]
    # Compose reads $$ as one dollar.
    script = str(script).replace("$$", "$").replace("/certificates", str(folder))
    subprocess.run(["sh", "-euc", script], check=True, capture_output=True)


def test_the_certificate_is_signed_for_both_sides_of_mutual_tls(folder: Path) -> None:
    sides = {}
    for purpose in (ssl.Purpose.CLIENT_AUTH, ssl.Purpose.SERVER_AUTH):
        context = ssl.create_default_context(purpose, cafile=str(folder / "authority.pem"))
        context.check_hostname = False  # as Dask has it: whoever the authority signed is trusted
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(folder / "cluster.pem", folder / "cluster.key")
        sides[purpose] = context
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = sides[ssl.Purpose.CLIENT_AUTH].wrap_bio(to_server, to_client, server_side=True)
    client = sides[ssl.Purpose.SERVER_AUTH].wrap_bio(to_client, to_server)
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    assert client.getpeercert()
    assert server.getpeercert()


def test_nobody_can_sign_another_and_only_the_owner_reads_the_key(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {
        "authority.pem",
        "cluster.pem",
        "cluster.key",
    }
    assert (folder / "cluster.key").stat().st_mode & 0o077 == 0


def test_certificates_that_are_there_stay(
    services: dict[str, dict[str, object]], folder: Path
) -> None:
    before = (folder / "cluster.pem").read_bytes()
    make(services, folder)
    assert (folder / "cluster.pem").read_bytes() == before


def test_the_cluster_starts_only_when_asked_for(services: dict[str, dict[str, object]]) -> None:
    always = {name for name, service in services.items() if "profiles" not in service}
    assert always == {"server", "worker"}
