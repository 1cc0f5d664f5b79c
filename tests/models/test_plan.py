"""What a run needs, before it is fetched: weights counted exactly, refusals of one sentence."""

import psutil
import pytest
from miniature_hub import REVISION

from paperlib.models import plan
from paperlib.models.lineages import Lineage, Source, lineage_of, shipped
from paperlib.models.plan import GPUS, PlanError, downloads, main, memory, report, size_of
from paperlib.models.vlm import load_vlm
from paperlib.study.study import Study

# Billions of weights that the models are known for.
KNOWN = {
    "llava-1.5-7b": 7.06,
    "llava-1.5-13b": 13.35,
    "llava-next-7b": 7.06,
    "onevision-0.5b": 0.89,
    "onevision-7b": 8.03,
    "internvl3-1b": 0.94,
    "internvl3-2b": 2.09,
    "qwen2-vl-2b": 2.21,
    "qwen2.5-vl-3b": 3.75,
    "qwen3-vl-2b": 2.13,
    "smolvlm-256m": 0.256,
    "smolvlm-500m": 0.507,
    "paligemma-3b": 2.92,
    "gemma-3-4b": 4.30,
}


@pytest.mark.parametrize("name", [name for name, lineage in shipped().items() if not lineage.built])
def test_weights_add_up_to_what_the_model_is_known_for(name):
    size = size_of(shipped()[name])
    assert size.parameters / 1e9 == pytest.approx(KNOWN[name], rel=0.01)
    assert 0 < size.connector < size.llm < size.parameters and size.image_tokens > 20


def test_the_tiny_model_is_counted_exactly():
    vlm, size = load_vlm("tiny", "cpu"), size_of(lineage_of("tiny"))
    assert size.parameters == sum(p.numel() for p in vlm.model.parameters())
    assert (size.layers, size.image_tokens) == (4, 16)


def test_a_configuration_that_is_here_serves(hub, tmp_path):
    layers = load_vlm("smolvlm-256m", "cpu").model.config.get_text_config().num_hidden_layers
    folder = hub / "models--HuggingFaceTB--SmolVLM-256M-Instruct" / "snapshots" / REVISION
    assert size_of(Lineage("x", Source(str(folder)))).layers == layers
    assert size_of(Lineage("x", Source("HuggingFaceTB/SmolVLM-256M-Instruct"))).layers == layers
    with pytest.raises(PlanError, match="give its lineage a `plan`") as error:
        size_of(Lineage("x", Source("org/nothing")))
    assert "\n" not in str(error.value)


def test_what_is_fetched_by_hand():
    """LLaVA-1.5 7B: 7.06 billion weights in 16 bits are 14.1 GB, Vicuna's 6.74 are 13.5."""
    llava = lineage_of("llava-1.5-7b")
    found = {what: gb for what, _, gb in downloads(llava, size_of(llava))}
    assert found["tuned model"] == pytest.approx(14.1, abs=0.05)
    assert found["LLM before tuning"] == pytest.approx(13.5, abs=0.05)
    assert found["connector of stage 1"] == pytest.approx(0.042, abs=0.001)


def test_weights_take_more_on_a_processor_than_on_a_gpu():
    study, llava = Study.make("paper"), lineage_of("llava-1.5-7b")
    size = size_of(llava)
    gpu, cpu = (memory(study, llava, size, device)["weights of one model"] for device in ("cuda", "cpu"))
    assert cpu == pytest.approx(2 * gpu) and gpu == pytest.approx(14.1, abs=0.05)


def test_a_plan_says_all_there_is_to_know(monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("M", (), {"total": 128e9})())
    monkeypatch.setattr(plan.shutil, "disk_usage", lambda path: type("D", (), {"free": 500e9})())
    lines, refusals = report(Study.make("paper"), lineage_of("llava-1.5-7b"), "a100-80gb")
    text = "\n".join(lines)
    for word in ("Llama 2", "vicuna-7b-v1.5", "connector of stage 1", "576 image tokens", "35% of 312"):
        assert word in text
    assert all(f"0{i}_" in text for i in range(6)) and refusals == []
    gated, _ = report(Study.make("paper", model="gemma-3-4b"), lineage_of("gemma-3-4b"), "h100")
    assert any("hf auth login" in line for line in gated)


def test_what_cannot_fit_is_refused_with_both_numbers(monkeypatch, capsys):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("M", (), {"total": 128e9})())
    monkeypatch.setattr(plan.shutil, "disk_usage", lambda path: type("D", (), {"free": 500e9})())
    with pytest.raises(SystemExit) as error:
        main(["paper", "gpu=t4", "model=llava-1.5-7b"])
    assert "cannot fit" in str(error.value) and "GB of memory of the GPU and there are 16.0" in str(error.value)
    assert "fetch tuned model" in capsys.readouterr().out  # the plan itself is printed first


@pytest.mark.parametrize(
    "words, says",
    [
        (["paper", "gpu=a100"], "did you mean a100-40gb"),
        (["paper", "model=llava"], "There is no model 'llava'"),
        (["papers"], "There is no preset"),
        (["paper", "seed=x"], "seed must be"),
    ],
)
def test_bad_words(words, says):
    with pytest.raises(SystemExit) as error:
        main(words)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_every_gpu_of_the_table_has_a_peak_and_memory():
    assert all(peak > 10 and room >= 16 for peak, room in GPUS.values())
