"""The report of a basis: of a real one, of one that was not judged, of one from an older server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from matplotlib.image import imread
from support.calibrated import Calibrated
from support.html_pages import Parts, assert_complete, drawings, parsed

from sparsegrad_client.report.basis_report import basis_report, write_basis_report
from sparsegrad_shared.errors import InvalidInput
from sparsegrad_shared.report import BasisReport, GroupReport


@pytest.fixture(scope="session")
def written(calibrated: Calibrated, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the report of the real basis."""
    folder = tmp_path_factory.mktemp("reports") / "pictured"
    write_basis_report(calibrated.version, calibrated.report, folder)
    return folder


@pytest.fixture(scope="session")
def page(written: Path) -> Parts:
    """Its page."""
    return parsed((written / "index.html").read_text(encoding="utf-8"))


def changed(report: BasisReport, change: Callable[[GroupReport], GroupReport]) -> BasisReport:
    return report.model_copy(update={"groups": tuple(map(change, report.groups))})


def test_every_picture_is_a_file_and_in_the_page(written: Path, page: Parts) -> None:
    names = {"energy-by-group.png"} | {
        f"{kind}-{group}.png"
        for kind in ("energy-map", "touched", "spectra")
        for group in ("intermediate", "output")
    }
    assert {path.name for path in written.iterdir()} == names | {"index.html"}
    for name in names:
        image = imread(written / name)
        assert image.shape[1] == 1200
        assert image.std() > 0.02
    assert len(drawings(page)) == len(names)


def test_the_page_of_a_basis_asks_for_nothing(page: Parts) -> None:
    assert_complete(page)


def test_the_page_says_what_the_basis_is_and_how_good(
    page: Parts, real_report: BasisReport
) -> None:
    assert page.texts("h1") == ["Basis team/pictured@1"]
    assert page.texts("h2") == ["All groups", "intermediate", "output"]
    assert "tests" in page.texts("dd")
    cells = page.texts("td")
    for group in real_report.groups:
        assert group.basis is not None
        assert f"{100 * group.basis.energy:.1f}%" in cells


def test_a_basis_that_was_not_judged_says_so(
    calibrated: Calibrated, real_report: BasisReport
) -> None:
    report = changed(
        real_report,
        lambda group: group.model_copy(
            update={"held_out": 0, "basis": None, "original": None, "sample": None, "blocks": ()}
        ),
    )
    found = basis_report(calibrated.version, report)
    assert [picture.name for picture in found.pictures] == [
        "spectra-intermediate",
        "spectra-output",
    ]
    said = [part for part in found.sections[0].parts if isinstance(part, str)]
    assert "--held-out" in said[-1]


def test_a_report_from_before_there_were_samples_has_all_but_their_pictures(
    calibrated: Calibrated, real_report: BasisReport
) -> None:
    report = changed(real_report, lambda group: group.model_copy(update={"sample": None}))
    found = basis_report(calibrated.version, report)
    assert [picture.name for picture in found.pictures] == [
        "energy-by-group",
        "spectra-intermediate",
        "spectra-output",
    ]
    said = [part for part in found.sections[1].parts if isinstance(part, str)]
    assert "Calibrate again" in said[-1]


def test_a_folder_with_something_is_refused(
    calibrated: Calibrated, real_report: BasisReport, written: Path
) -> None:
    with pytest.raises(InvalidInput, match="choose another folder"):
        write_basis_report(calibrated.version, real_report, written)
