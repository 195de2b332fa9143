"""Which server, with which token."""

from __future__ import annotations

import warnings

import pytest

from sparsegrad_client.service import BasisService, ServiceConfig
from sparsegrad_shared.errors import InvalidInput


def test_the_token_is_not_shown() -> None:
    config = ServiceConfig("https://team.example", "sg_secret")
    assert "sg_secret" not in repr(config)
    with BasisService(config) as service:
        assert "sg_secret" not in repr(service)


def test_arguments_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPARSEGRAD_SERVER", raising=False)
    assert ServiceConfig.resolve() is None
    monkeypatch.setenv("SPARSEGRAD_SERVER", "https://team.example/")
    monkeypatch.setenv("SPARSEGRAD_TOKEN", "one")
    assert ServiceConfig.resolve() == ServiceConfig("https://team.example", "one")
    assert ServiceConfig.resolve("http://localhost:1", "two") == ServiceConfig(
        "http://localhost:1", "two"
    )


@pytest.mark.parametrize(
    "url",
    ["team.example", "ftp://team.example", "http://", "http://h:99999", "http://h/?a=b", "", "::"],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        ServiceConfig(url)


def test_a_secret_in_the_address_is_refused_without_repeating_it() -> None:
    with pytest.raises(InvalidInput) as refusal:
        ServiceConfig("https://me:hunter2@team.example")
    assert "hunter2" not in str(refusal.value)


def test_a_token_over_plain_http_is_warned_of_but_not_on_this_machine() -> None:
    with pytest.warns(UserWarning, match="unencrypted"):
        ServiceConfig("http://team.example", "sg_secret")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for host in ("127.0.0.1", "localhost", "[::1]"):
            assert ServiceConfig(f"http://{host}:80", "sg_secret").is_loopback
        ServiceConfig("http://team.example")


def test_a_token_that_cannot_be_one_is_refused() -> None:
    with pytest.raises(InvalidInput, match="token") as refusal:
        ServiceConfig("https://team.example", "sg_secret\n")
    assert "sg_secret" not in str(refusal.value)
