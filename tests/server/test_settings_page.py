"""The settings' page is what the settings are, and mistyped names are found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsegrad_server.settings import SECTIONS, Settings
from sparsegrad_server.settings_page import (
    CLIENT_VARIABLES,
    in_effect,
    markdown,
    unknown_variables,
    variable,
)

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_page_in_the_docs_is_the_one_that_the_settings_make() -> None:
    assert PAGE.read_text() == markdown(), (
        "sparsegrad-server settings --markdown > docs/settings.md"
    )


def test_every_setting_is_in_one_section() -> None:
    named = [name for section in SECTIONS for name in section.model_fields]
    assert sorted(named) == sorted(Settings.model_fields)


def test_every_setting_is_on_the_page_with_its_meaning() -> None:
    page = markdown()
    for name, field in Settings.model_fields.items():
        (row,) = [line for line in page.splitlines() if f"`{variable(name)}`" in line]
        assert str(field.description).replace("|", "\\|") in row


@given(name=st.sampled_from(sorted(Settings.model_fields)), at=st.integers(0, 30))
def test_a_name_with_a_letter_missing_is_found_with_the_right_one(name: str, at: int) -> None:
    at %= len(name)
    typed = variable(name[:at] + name[at + 1 :])
    found = dict(unknown_variables([typed, variable(name)]))
    if typed[len("SPARSEGRAD_") :].lower() in Settings.model_fields:
        assert found == {}  # still a setting, such as a name within another one
    else:
        assert found.keys() == {typed}
        assert found[typed] is not None or len(name) <= 4


def test_the_client_s_variables_and_everybody_else_s_are_left_alone() -> None:
    others = [*CLIENT_VARIABLES, "PATH", "SPARSE", *map(variable, Settings.model_fields)]
    assert list(unknown_variables(others)) == []
    assert dict(unknown_variables(["SPARSEGRAD_XYZZY"])) == {"SPARSEGRAD_XYZZY": None}


def test_what_is_in_effect_is_shown_without_secrets(tmp_path: Path) -> None:
    settings = Settings(
        data=tmp_path,
        catalog_url="postgresql://user:hunter2@host/catalog",
        storage_url="s3://bucket",
        storage_access_key="key",
        storage_secret_key="hunter2",  # type: ignore[arg-type]  # pydantic wraps it
        otlp_endpoint="https://collector.example/?key=hunter2",
        trusted_proxies="192.0.2.1, 192.0.2.2",  # type: ignore[arg-type]  # pydantic splits it
    )
    shown = {row["variable"]: row for row in in_effect(settings)}
    assert shown.keys() == set(map(variable, Settings.model_fields))
    assert "hunter2" not in " ".join(f"{row['value']}" for row in shown.values())
    assert shown["SPARSEGRAD_CATALOG_URL"]["value"] == "***"
    assert shown["SPARSEGRAD_TRUSTED_PROXIES"]["value"] == "192.0.2.1,192.0.2.2"
    assert shown["SPARSEGRAD_DATA"] == {
        "variable": "SPARSEGRAD_DATA",
        "value": str(tmp_path),
        "from": "set",
    }
    assert shown["SPARSEGRAD_HOST"]["from"] == "default"


@pytest.mark.parametrize("command", ["settings", "worker --healthcheck"])
def test_a_mistyped_variable_is_warned_of_with_the_nearest_name(
    tmp_path: Path, command: str
) -> None:
    environment = {"SPARSEGRAD_DATA": str(tmp_path), "SPARSEGRAD_MAX_GRADIENT_BITES": "1"}
    ran = subprocess.run(
        [sys.executable, "-m", "sparsegrad_server", *command.split()],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    warning = (
        "SPARSEGRAD_MAX_GRADIENT_BITES is no setting; did you mean SPARSEGRAD_MAX_GRADIENT_BYTES?"
    )
    assert warning in ran.stderr
