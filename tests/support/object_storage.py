"""An S3 endpoint on loopback (moto's server, a process of its own), and a bucket for each test."""

from __future__ import annotations

import importlib.util
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import obstore
import pytest
from obstore.store import S3Store

from sparsegrad_server.store.objects import Objects

from .requirements import missing

# Says where it is, then ends with us: its standard input is a pipe of ours.
_SERVE = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print("http://%s:%d" % server.get_host_and_port(), flush=True)
sys.stdin.read()
server.stop()
"""
KEY, SECRET, REGION = "testing-key", "testing-secret", "us-east-1"


@dataclass(frozen=True)
class Bucket:
    """An empty bucket at an S3 endpoint.

    Attributes:
        endpoint: the endpoint's URL.
        name: of the bucket.
    """

    endpoint: str
    name: str

    @property
    def settings(self) -> dict[str, str]:
        """The server's settings that have it keep gradients and bases there."""
        return {
            "storage_url": f"s3://{self.name}/team",
            "storage_endpoint": self.endpoint,
            "storage_region": REGION,
            "storage_access_key": KEY,
            "storage_secret_key": SECRET,
        }

    def store(self, folder: str) -> S3Store:
        """A folder of the bucket, as obstore sees it."""
        return S3Store(
            self.name,
            prefix=folder,
            endpoint=self.endpoint,
            region=REGION,
            access_key_id=KEY,
            secret_access_key=SECRET,
            client_options={"allow_http": True},
        )

    def objects(self, folder: str) -> Objects:
        """A folder of the bucket, as our stores see it."""
        return Objects(self.store(folder))

    def make(self) -> None:
        """Make the bucket."""
        httpx.put(f"{self.endpoint}/{self.name}").raise_for_status()

    def remove(self) -> None:
        """Remove it with all that it holds."""
        for page in obstore.list(self.store("")):
            obstore.delete(self.store(""), [found["path"] for found in page])
        httpx.delete(f"{self.endpoint}/{self.name}").raise_for_status()

    def unfinished_uploads(self) -> list[str]:
        """The keys of multipart uploads that have neither ended nor been given up."""
        answer = httpx.get(f"{self.endpoint}/{self.name}", params={"uploads": ""})
        return re.findall("<Key>([^<]+)</Key>", answer.raise_for_status().text)


@contextmanager
def running_s3() -> Iterator[str]:
    """An S3 endpoint for as long as the context lasts; its URL."""
    if importlib.util.find_spec("moto") is None or importlib.util.find_spec("flask") is None:
        missing("s3", "install moto[server]")
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _SERVE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # a line a request
        text=True,
    )
    try:
        url = next(iter(process.stdout or ()), "").strip()
        if not url:
            missing("s3", f"moto's server ended with code {process.wait()}")
        yield url
    finally:
        process.kill()
        process.communicate()


@contextmanager
def new_bucket(endpoint: str) -> Iterator[Bucket]:
    """A bucket that nobody else has."""
    bucket = Bucket(endpoint, f"tests-{secrets.token_hex(8)}")
    bucket.make()
    yield bucket


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The URL of an S3 endpoint for this process's tests."""
    with running_s3() as url:
        yield url


@pytest.fixture
def bucket(s3_endpoint: str) -> Iterator[Bucket]:
    """A bucket for this test alone."""
    with new_bucket(s3_endpoint) as bucket:
        yield bucket
