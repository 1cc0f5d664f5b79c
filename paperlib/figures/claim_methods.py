"""What each method predicts if a claim is true, what it is compared with, and where it met a known answer.

These are statements about methods, true of any run: notebook 07 sets a run's numbers beside them. *Known answer* names
a test of this repository in which the answer was planted by hand, and the method must find it. No method has been run
yet on a trained model whose answer is known; so a method is trusted as far as its planted answer goes, and no further.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """predicts: what is seen if the claim is true; control: what stands beside it; known: "tests/<file>::<test>"."""

    predicts: str
    control: str
    known: str


METHODS = {
    ("C1", "bypass"): Method(
        "image tokens may skip the early blocks, and lose less by it than a caption's tokens do",
        "a caption's tokens under the same bypass, paired by question; a blank picture as zero",
        "tests/interventions/test_edits.py::test_bypass_finds_the_block_that_works_on_the_picture",
    ),
    ("C1", "entry depth"): Method(
        "what enters at image tokens is most like what captions are in later layers, not in the first",
        "an untrained connector, whose advantage must be smaller",
        "tests/geometry/test_entry_depth.py::test_the_middle_alone_is_not_enough",
    ),
    ("C2", "transfer at image tokens"): Method(
        "probes trained on captions come to read image tokens in the middle",
        "the majority class, and the stages before tuning",
        "tests/probes/test_task_probes.py::test_the_onset_is_where_it_was_planted",
    ),
    ("C2", "transfer at the answer position"): Method(
        "probes trained on captions come to read the picture at the answer position in the middle",
        "the majority class, and the stages before tuning",
        "tests/probes/test_task_probes.py::test_the_onset_is_where_it_was_planted",
    ),
    ("C2", "patching"): Method(
        "patched image tokens stop moving the answer in the middle",
        "patching at layer 0, which moves all of it, and the answer position",
        "tests/interventions/test_patching_curves.py::"
        "test_the_hold_passes_from_the_image_to_the_answer_position_at_the_reading_block",
    ),
    ("C3", "benchmarks"): Method(
        "benchmarks lose most where middle blocks are exchanged or cut off from the picture",
        "windows in the early and the late third, with intervals that hold together",
        "tests/interventions/test_benchmark_sweeps.py::test_votes_point_where_the_circuit_is",
    ),
    ("C4", "intrinsic dimension"): Method(
        "the hump of the dimension profile grows in height or width, for captions and for pictures",
        "the untrained model, and clouds of known dimension",
        "tests/geometry/test_dimension.py::test_known_dimension_whatever_the_coordinates",
    ),
    ("C5", "neighbourhood overlap"): Method(
        "pictures come to have the neighbours that captions had before tuning, in the middle more than elsewhere",
        "the early and the late third, and pairs that share as many true attributes",
        "tests/geometry/test_attribute_control.py::test_two_clouds_that_share_more_have_an_excess",
    ),
    ("C6", "bands"): Method(
        "the middle band keeps full tuning's performance and gain, and its step takes less time",
        "bands of equal size elsewhere; full tuning timed twice",
        "tests/tuning/test_band_verdicts.py::test_a_band_as_good_as_full_tuning_is_supported_if_it_is_cheaper",
    ),
    ("C6", "benchmarks"): Method(
        "the middle band falls short of full tuning on no benchmark that full tuning gains on",
        "the model before tuning; the rivals of the band",
        "tests/tuning/test_benchmark_bands.py::test_rows_by_hand_and_the_rule_of_where_full_gains",
    ),
}

# Performance and time, as percent of full tuning's, that the paper reports for bands (arXiv 2606.03871).
PUBLISHED = (
    {"model": "LLaVA-7B, blocks 6 to 16 of 32 (the paper)", "keeps": 98.8, "time": 86.1},
    {"model": "OneVision-4B, blocks 8 to 25 (the paper)", "keeps": 100.4, "time": 75.7},
)
