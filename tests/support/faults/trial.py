"""One trial: a campaign with kills, the same calibrations without, and the verdict."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from . import campaign, verdict
from .contents import Contents


def hold_trial(folder: Path, kills: int, seed: int, say: Callable[[str], None]) -> None:
    """Hold a trial below `folder`.

    Raises:
        AssertionError: when anything was lost, stuck or left over.
    """
    say(f"seed {seed}, {kills} kills")
    contents = Contents(seed)
    disturbed = campaign.run(folder / "disturbed", contents, kills, say=say)
    number = max(disturbed.known) + 1
    say(f"{kills} kills in {disturbed.seconds:.0f} s: {dict(disturbed.kills)}")
    say(f"they came after {dict(disturbed.moments)}")
    say(f"{number} calibrations; now the same ones without kills")
    undisturbed = campaign.run(folder / "undisturbed", contents, kills=0, most=number)
    say(f"acknowledged gradients, all there: {verdict.assert_acknowledged_is_there(disturbed)}")
    say(f"published bases, all whole: {verdict.assert_bases_are_whole(disturbed)}")
    say(f"jobs, all done: {verdict.assert_no_job_is_stuck(disturbed)}")
    same = verdict.assert_same_bases(disturbed, undisturbed)
    say(f"bases, the same as without kills: {same}")
    say(f"check, all well: {verdict.assert_nothing_is_wrong(disturbed)}")
    say(f"gc freed {verdict.assert_gc_leaves_what_is_named_and_nothing_else(disturbed)}")
    verdict.assert_folders_are_empty(disturbed)
    verdict.assert_acknowledged_is_there(disturbed)
    verdict.assert_bases_are_whole(disturbed)
    say(f"after gc, all well: {verdict.assert_nothing_is_wrong(disturbed)}")
