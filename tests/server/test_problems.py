"""What the disk, the database or a mistake of ours raises, as clients see it."""

from __future__ import annotations

import errno
import sqlite3

import psycopg
import pytest
from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from support.calibrations import Calibration
from support.gradients import dense_frame, put

from sparsegrad_server.problems import translate
from sparsegrad_server.store.objects import StorageUnreachable
from sparsegrad_shared.errors import (
    Overloaded,
    ServerFault,
    SparseGradError,
    StorageFull,
    Unavailable,
    UnknownGroup,
)


@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        (UnknownGroup("no group"), UnknownGroup),
        (OSError(errno.ENOSPC, "No space left on device", "/srv/secret"), StorageFull),
        (OSError(errno.EMFILE, "Too many open files", "/srv/secret"), Unavailable),
        (OSError(errno.EIO, "I/O error", "/srv/secret"), ServerFault),
        (FileNotFoundError(errno.ENOENT, "No such file", "/srv/secret"), ServerFault),
        (OperationalError("secret", {}, sqlite3.OperationalError("disk is full")), StorageFull),
        (
            OperationalError("secret", {}, sqlite3.OperationalError("database is locked")),
            Overloaded,
        ),
        (OperationalError("secret", {}, psycopg.OperationalError("secret")), Unavailable),
        (OperationalError("secret", {}, psycopg.errors.AdminShutdown("secret")), Unavailable),
        (OperationalError("secret", {}, psycopg.errors.LockNotAvailable("secret")), Overloaded),
        (InterfaceError("secret", {}, psycopg.InterfaceError("secret")), Unavailable),
        (OperationalError("secret", {}, psycopg.errors.DiskFull("secret")), StorageFull),
        (IntegrityError("secret", {}, psycopg.errors.UniqueViolation("secret")), ServerFault),
        (PoolTimeout("secret"), Unavailable),
        (StorageUnreachable("secret"), Unavailable),
        (ValueError("secret"), ServerFault),
    ],
)
def test_an_error_is_seen_as_what_it_means_and_tells_no_secret(
    raised: Exception, seen: type[SparseGradError]
) -> None:
    error = translate(raised)
    assert type(error) is seen
    assert "secret" not in error.message


def test_a_fault_of_the_server_is_a_problem_that_tells_no_path(calibration: Calibration) -> None:
    home = calibration.service.settings.gradients_folder / calibration.id
    aside = home.with_name("aside")
    home.rename(aside)
    answer = put(calibration.client, calibration.id, 1, dense_frame(1))
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["type"]) == (500, ServerFault.type_uri())
    assert str(calibration.service.settings.data) not in answer.text
    aside.rename(home)
    calibration.assert_intact()
    assert put(calibration.client, calibration.id, 1, dense_frame(1)).status_code == 201
    calibration.assert_intact(0, 1)
