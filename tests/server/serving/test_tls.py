"""TLS: from version 1.2 on, with a certificate of the operator's; without one, a warning."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import trustme
from support.serving import Serving

from sparsegrad_server.serving.tls import is_loopback, tls_context
from sparsegrad_server.settings import Settings
from sparsegrad_shared.errors import InvalidInput

_CLIENT = "from sparsegrad_client.cli import main; main()"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def files(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for this machine, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    issued = authority.issue_cert("127.0.0.1", "localhost")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(key)
    return certificate, key


@pytest.fixture(scope="module")
def serving(
    files: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Serving]:
    data = tmp_path_factory.mktemp("serving") / "data"
    with Serving(data, tls_certificate=files[0], tls_key=files[1]) as serving:
        yield serving


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def test_whoever_trusts_the_authority_is_answered_over_tls(
    serving: Serving, authority: trustme.CA
) -> None:
    assert serving.url.startswith("https://")
    with httpx.Client(base_url=serving.url, verify=trusting(authority), timeout=60) as client:
        answer = client.get("/livez")
        assert answer.json() == {"status": "ok"}
        assert answer.headers["strict-transport-security"].startswith("max-age=")
        headers = {"Authorization": f"Bearer {serving.token()}"}
        assert client.get("/v1/bases", headers=headers).json()["bases"] == []


def test_our_client_trusts_the_authority_that_its_environment_names(
    serving: Serving, authority: trustme.CA, tmp_path: Path
) -> None:
    bundle = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(bundle)
    named = {"SPARSEGRAD_SERVER": serving.url, "SPARSEGRAD_TOKEN": serving.token()}
    listed = {}
    for trusted in ("", str(bundle)):
        ran = subprocess.run(
            [sys.executable, "-c", _CLIENT, "bases", "list"],
            env=os.environ | named | ({"SSL_CERT_FILE": trusted} if trusted else {}),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        listed[trusted] = ran.returncode
    assert listed == {"": 1, str(bundle): 0}


def test_whoever_does_not_trust_it_is_not_connected(serving: Serving) -> None:
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"{serving.url}/livez", timeout=60)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_what_is_spoken_is_tls_1_2_or_1_3(
    serving: Serving, authority: trustme.CA, version: ssl.TLSVersion
) -> None:
    context = trusting(authority)
    context.minimum_version = context.maximum_version = version
    with (
        connected(serving) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as tls,
    ):
        assert tls.version() in ("TLSv1.2", "TLSv1.3")


def test_nothing_older_is_spoken(files: tuple[Path, Path], tmp_path: Path) -> None:
    context = tls_context(Settings(data=tmp_path, tls_certificate=files[0], tls_key=files[1]))
    assert context is not None
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_what_is_no_tls_gets_no_answer(serving: Serving) -> None:
    with connected(serving) as plain:
        plain.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        try:
            answer = plain.recv(4096)
        except ConnectionResetError:
            answer = b""
        assert b"HTTP" not in answer


def connected(serving: Serving) -> socket.socket:
    address = urlsplit(serving.url)
    connection = socket.create_connection((str(address.hostname), int(address.port or 0)))
    connection.settimeout(60)
    return connection


def test_a_certificate_that_cannot_be_used_is_refused_at_the_start(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    certificate, key = files
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("nothing of the kind")
    for wrong in ((tmp_path / "absent.pem", key), (garbage, key), (certificate, garbage)):
        settings = Settings(data=tmp_path, tls_certificate=wrong[0], tls_key=wrong[1])
        with pytest.raises(InvalidInput, match="cannot use the certificate"):
            tls_context(settings)


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    from cryptography.hazmat.primitives import serialization

    plain = serialization.load_pem_private_key(files[1].read_bytes(), password=None)
    locked = tmp_path / "locked.pem"
    locked.write_bytes(
        plain.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(InvalidInput, match="without a password"):
        tls_context(Settings(data=tmp_path, tls_certificate=files[0], tls_key=locked))


def test_without_a_certificate_there_is_a_warning_beyond_this_machine_only(tmp_path: Path) -> None:
    said = {}
    for host, allowed in (("127.0.0.1", False), ("0.0.0.0", True), ("0.0.0.0", False)):  # noqa: S104
        with Serving(tmp_path / "data", host=host, allow_plain_http=allowed) as serving:
            said[host, allowed] = any("without TLS" in line for line in serving.log.lines)
    assert list(said.values()) == [False, False, True]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_is_this_machine_alone(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])  # noqa: S104
def test_anything_else_is_not(host: str) -> None:
    assert not is_loopback(host)


def test_forwarded_headers_are_believed_of_trusted_proxies_only(tmp_path: Path) -> None:
    claimed = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}
    for proxies, believed in (("", False), ("127.0.0.1", True), ("192.0.2.0/24", False)):
        with Serving(tmp_path / "data", trusted_proxies=proxies) as serving:
            answer = httpx.get(f"{serving.url}/livez", headers=claimed, timeout=60)
            assert ("strict-transport-security" in answer.headers) is believed


def test_a_server_that_cannot_start_says_why_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sparsegrad_server", "serve", "--data", str(tmp_path / "data")]
    environment = {"SPARSEGRAD_TLS_CERTIFICATE": str(tmp_path / "absent.pem")}
    ran = subprocess.run(
        [*command, "--port", "0"], env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert "tls_certificate and tls_key come together" in ran.stderr.splitlines()[-1]
