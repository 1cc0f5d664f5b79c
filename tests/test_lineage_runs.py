"""Every notebook on miniature lineages of six families, by papermill at preset smoke, and what it leaves behind.

The notebooks of a lineage share one kernel, since importing torch takes longer than most of them.
"""

import json
import math
import os

import papermill
import pytest
from jupyter_client.manager import start_new_kernel
from papermill.engines import NBClientEngine, papermill_engines
from PIL import Image

from paperlib.models.lineages import lineage_of
from paperlib.models.plan_work import arms_of, work_of
from paperlib.stats.interval import Interval
from paperlib.stats.tables import read_table_file
from paperlib.study.results import read_result
from paperlib.study.study import CODE_ROOT, Study
from paperlib.tuning.stages import BEFORE_ONLY, STAGE_1, stage_names

NOTEBOOKS = sorted((CODE_ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


# Counts the rows that pass the LLM's blocks, where a row is more than the one token of a step of generation. It lives
# in a module of its own, which the `%reset` between notebooks leaves alone.
COUNT = """
import sys, types, torch
sys.modules["counted"] = types.SimpleNamespace(rows=0)

def note(module, inputs):
    import sys
    name = type(module).__name__
    if name.endswith("DecoderLayer") and "Vision" not in name and inputs and inputs[0].shape[1] > 1:
        sys.modules["counted"].rows += len(inputs[0])

torch.nn.modules.module.register_module_forward_pre_hook(note)
"""


@pytest.fixture(scope="module")
def kernel(hub_folder, tmp_path_factory):
    """A kernel whose study's folders are temporary ones and whose hub is the miniature."""
    root = tmp_path_factory.mktemp("clone")
    (root / "data" / "cache").mkdir(parents=True)
    (root / "data" / "cache" / "assets").symlink_to(CODE_ROOT / "data" / "cache" / "assets")
    own = {"PAPERLIB_ROOT": str(root), "HF_HUB_CACHE": str(hub_folder), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    manager, client = start_new_kernel(cwd=str(CODE_ROOT / "notebooks"), env=os.environ | own)
    client.execute_interactive(COUNT, silent=True)
    client.stop_channels()
    yield manager, root
    manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """A folder of pictures with captions: every second one names a dog, every third the sea."""
    folder = tmp_path_factory.mktemp("photographs")
    captions = {}
    for i in range(60):
        Image.new("RGB", (40, 30 + i), (4 * i, 90, 200 - 3 * i)).save(folder / f"{i}.png")
        said = [word for word, every in (("a dog", 2), ("the sea", 3)) if i % every == 0]
        captions[f"{i}.png"] = f"Here is {' and '.join(said) or 'nothing'}, on day {i}."
    (folder / "captions.json").write_text(json.dumps(captions), encoding="utf-8")
    return folder


def execute(kernel, model, folder, **settings):
    """Run all notebooks on a model: the root of its results, its study, and the rows that each notebook ran."""
    manager, root = kernel
    papermill_engines.register("here", NBClientEngine)
    settings |= {"model": model, "n_eval": 2}
    study, rows = Study.make("smoke", **settings), {}
    for path in NOTEBOOKS:
        papermill.execute_notebook(
            path,
            folder / path.name,
            {"preset": "smoke", "overrides": settings},
            kernel_name="python3",
            km=manager,
            progress_bar=False,
            cwd=str(path.parent),
        )
        client = manager.blocking_client()
        client.start_channels()
        client.wait_for_ready()
        depth = "len(models['tuned'].layers) if 'models' in globals() else 1"  # 07 opens no model
        read = {"rows": "__import__('sys').modules['counted'].rows", "depth": depth}
        told = client.execute_interactive("", user_expressions=read, silent=True)["content"]["user_expressions"]
        rows[path.stem] = int(told["rows"]["data"]["text/plain"]) / int(told["depth"]["data"]["text/plain"])
        client.execute_interactive("__import__('sys').modules['counted'].rows = 0", silent=True)
        client.execute_interactive("%reset -f", silent=True)
        client.stop_channels()
    return root, study, rows


# Two with a published connector of stage 1, three without one, and one without an LLM before tuning.
LINEAGES = ("llava-1.5-7b", "onevision-0.5b", "internvl3-1b", "qwen2.5-vl-3b", "smolvlm-256m", "gemma-3-4b")


@pytest.mark.slow
@pytest.mark.parametrize("model", LINEAGES)
def test_every_notebook_runs_and_says_what_is_absent(kernel, tmp_path, photographs, model):
    with_photographs = {"pairs": str(photographs)} if model == "llava-1.5-7b" else {}
    root, study, ran = execute(kernel, model, tmp_path, **with_photographs)
    results, figures = root / "results" / study.run, root / "figures" / study.run
    tables = {path.stem: read_table_file(path) for path in sorted(results.glob("*.json"))}
    lineage = lineage_of(model)
    names = stage_names(lineage)
    before = names[1] if len(names) == 3 else None
    assert before == (None if lineage.llm is None else STAGE_1 if lineage.connector else BEFORE_ONLY)
    # stages by their own names, in every table that has them
    for name in ("01_accuracy", "02_profiles", "02_lens", "04_dimension", "04_meeting", "04_cosine_to_input"):
        assert {row["stage"] for row in tables[name]} - {"shuffled words"} <= set(names), name
    assert {row["stage"] for row in tables["04_meeting"]} == set(names)
    # what is there, and what is not, with its reason
    absent = {row["what"]: row["why"] for stem in tables if stem.endswith("_absent") for row in tables[stem]}
    assert all(why for why in absent.values()) and any("tuned elsewhere" in why for why in absent.values())
    assert ("03_transplant" in tables) == ("04_drift" in tables) == ("05_prediction" in tables) == (before is not None)
    assert any("no LLM before tuning" in why for why in absent.values()) == (before is None)
    assert ("05_published_bands" in tables) == bool(lineage.bands)
    claims = {(row["claim"], row["method"]) for stem in tables if stem.endswith("_claims") for row in tables[stem]}
    assert {("C1", "bypass"), ("C2", "transfer at the answer position"), ("C3", "benchmarks")} <= claims
    assert (("C5", "neighbourhood overlap") in claims) == (before is not None)
    # natural pictures, where the study names some
    assert ("02_natural" in tables) == ("04_natural" in tables) == bool(study.pairs)
    if study.pairs:
        assert {row["probe"] for row in tables["02_natural"]} == {"dog", "sea"}
        assert len({row["route"] for row in tables["02_natural"]}) == 4
    assert any(row == "probes of natural pictures" for row in absent) == (not study.pairs)
    # what was planned is what ran, roughly
    for work in work_of(study, image_tokens=16, arms=arms_of(lineage)):
        planned, did = work.sequences * work.share, ran[work.notebook]
        assert planned / 2 <= did <= 2 * planned, (work, did)
    # every number is one
    for name, rows in tables.items():
        for row in rows:
            for value in row.values():
                for number in value[:3] if isinstance(value, Interval) else [value]:
                    assert not isinstance(number, float) or math.isfinite(number), (name, row)
    # whose they are, and a figure for each notebook that draws
    made = read_result(results / "02_profiles.json")["provenance"]
    assert made["model"] == model and made["parameters"]["n_eval"] == 2
    assert {path.name[:2] for path in figures.glob("*.png")} >= {"00", "01", "02", "03", "04"}
