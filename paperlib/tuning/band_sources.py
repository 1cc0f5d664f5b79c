"""What of the band comparison is there: recorded results, and adapters that can answer now. What is missing is said."""

from dataclasses import dataclass, replace

from paperlib.models.adapter_files import RECORD
from paperlib.stats.words import listed
from paperlib.study.study import Study
from paperlib.tuning.arms import ARMS, SWEEPS, arm_folder
from paperlib.tuning.band_results import BandResults
from paperlib.tuning.band_runs import read_reference, reference_file, run_comparison

SHIPPED = "mini"  # the preset whose results and adapters come with the project


@dataclass(frozen=True)
class Sources:
    """results: the recorded ones. preset: whose they are. live: the study whose adapters answer now; arms: those of its
    arms that are there. missing: a sentence for each thing that is not.
    """

    results: BandResults
    preset: str
    live: Study
    arms: tuple[str, ...]
    missing: tuple[str, ...]


def find_sources(study: Study) -> Sources:
    """What there is to compare. With ``retrain`` the study's arms and sweeps are trained and asked first.

    A preset without recorded results uses the shipped ones, and a seed without adapters lets the shipped ones answer.
    Raises ResultError if there are no results at all; the message says how they are made.
    """
    if study.retrain:
        run_comparison(study, [study.seed], [*ARMS, *SWEEPS], progress=False)
    missing, recorded = [], study
    if not reference_file(study).is_file():
        recorded = replace(study, preset=SHIPPED)
        missing.append(
            f"There are no recorded results of preset {study.preset}, so those of preset {SHIPPED} are read; "
            f"`make reference PRESET={study.preset}` makes them."
        )
    results = BandResults(read_reference(recorded), study.seed)
    if study.seed not in results.seeds:
        seeds = listed([str(s) for s in results.seeds])
        missing.append(f"Seed {study.seed} has no recorded results; those of seeds {seeds} are compared.")
    for arm in ARMS:
        if 0 < len(results.asked(arm)) < len(results.seeds):
            seeds = listed([str(s) for s in results.asked(arm)])
            missing.append(f"The arm *{arm}* was trained on seed {seeds} alone.")
    live, arms = study, _trained(study)
    if not arms:
        live = Study.make(SHIPPED, n_eval=study.n_eval, device=study.device)
        arms = _trained(live)
        missing.append(
            f"There are no adapters of seed {study.seed} at preset {study.preset}, so the shipped ones of seed "
            f"{live.seed} at preset {SHIPPED} answer, and their own seed's questions."
        )
    if lost := [arm for arm in ARMS if arm not in arms]:
        missing.append(f"There are no adapters of {listed(lost)}, which do not answer live.")
    return Sources(results, recorded.preset, live, arms, tuple(missing))


def _trained(study: Study) -> tuple[str, ...]:
    return tuple(arm for arm in ARMS if (arm_folder(study, arm) / RECORD).is_file())
