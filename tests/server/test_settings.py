"""Settings: documented, from arguments or the environment, refused when they contradict."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from sparsegrad_server.settings import Settings


def test_every_setting_is_documented() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_arguments_win_over_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARSEGRAD_DATA", str(tmp_path))
    monkeypatch.setenv("SPARSEGRAD_PORT", "1000")
    monkeypatch.setenv("SPARSEGRAD_ALLOWED_HOSTS", "a.example, b.example")
    settings = Settings(port=2000)  # type: ignore[call-arg]
    assert (settings.data, settings.port) == (tmp_path, 2000)
    assert settings.allowed_hosts == ("a.example", "b.example")


def test_the_client_s_variables_are_not_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SERVER", "TOKEN", "HOME"):
        monkeypatch.setenv(f"SPARSEGRAD_{name}", "anything")
    assert Settings(data=tmp_path).data == tmp_path


def test_the_catalog_s_password_is_not_shown(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, catalog_url="postgresql://user:hunter2@host/catalog")
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in str(settings)


def test_the_storage_s_secret_is_not_shown(tmp_path: Path) -> None:
    settings = Settings(
        data=tmp_path,
        storage_url="s3://bucket/some/prefix",
        storage_access_key="id",
        storage_secret_key="hunter2",  # type: ignore[arg-type]  # pydantic makes it a secret
    )
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in settings.model_dump_json()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"max_gradient_bytes": 4096, "max_namespace_bytes": 2048}, "no namespace could hold"),
        ({"body_seconds": 0}, "body_seconds"),
        ({"allowed_hosts": ""}, "allowed_hosts"),
        ({"colour": "red"}, "colour"),
        ({"storage_url": "https://bucket"}, "storage_url"),
        ({"storage_url": "s3://bucket/../other"}, "storage_url"),
        ({"storage_region": "eu-central-1"}, "expected storage_url beside it"),
        ({"storage_url": "s3://bucket", "storage_access_key": "id"}, "both, or neither"),
        ({"storage_url": "s3://bucket", "storage_endpoint": "file:///etc"}, "storage_endpoint"),
    ],
)
def test_contradictory_and_unknown_settings_are_refused(
    tmp_path: Path, wrong: dict[str, object], said: str
) -> None:
    with pytest.raises(ValidationError, match=said):
        Settings(data=tmp_path, **wrong)  # type: ignore[arg-type]
