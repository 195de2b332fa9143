"""A model in a folder is called by a name that tells something, and never by its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparsegrad_client.model_names import folder_id


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("/home/me/reviews-bert", "reviews-bert"),
        ("/usr/lib/some_weights/model", "some_weights"),
        ("/cache/models/tiny/snapshot", "tiny"),
    ],
)
def test_the_last_name_that_tells_something_is_taken(folder: str, name: str) -> None:
    assert folder_id(Path(folder)) == name
