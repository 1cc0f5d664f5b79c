"""From an assembled model to a tuned one: both stages in order, and the models of the study by stage.

Shipped adapters (seed 0) are in ``data/adapters/``. Retrained ones go to ``data/cache/adapters/<preset>-seed<seed>/``, so
that the shipped ones stay as they are; copying ``stage1`` and ``tuned`` over them is how they were made.
"""

from dataclasses import asdict
from pathlib import Path

from .adapters import apply_adapter, save_adapter
from .evaluation import evaluate
from .finetune import train
from .intervals import summarize
from .results import plain, provenance, read_json
from .study import Study
from .train_config import TrainConfig
from .vlm import VLM, VLMError, load_vlm

STAGES = ("untrained", "stage 1", "tuned")
FOLDERS = {"stage 1": "stage1", "tuned": "tuned"}


def load_stage(study: Study, stage: str) -> VLM:
    """The study's model at a stage: "untrained" (random LLM and connector), "stage 1" (connector tuned) or "tuned".

    Raises VLMError for an unknown stage, or for a model that comes from elsewhere and has only "tuned".
    """
    if stage not in STAGES:
        raise VLMError(f"Unknown stage {stage!r}: use one of {', '.join(STAGES)}.")
    if study.model not in ("mini", "tiny"):
        if stage == "tuned":
            return load_vlm(study.model, study.device)
        raise VLMError(f"Only the mini model has a stage {stage!r} here; {study.model!r} comes as it is: ask for 'tuned'.")
    if stage == "untrained":
        return load_vlm("mini-untrained" if study.model == "mini" else "tiny", study.device, study.seed)
    vlm = _base(study)
    apply_adapter(vlm.model, adapter_folder(study, stage))
    return VLM(f"{study.model} {stage}", vlm.model.eval(), vlm.processor)


def adapter_folder(study: Study, stage: str) -> Path:
    """Where a stage's adapters are: the shipped ones, or those that `tune` makes for this study."""
    if study.retrain:
        return study.cache / "adapters" / f"{study.preset}-seed{study.seed}" / FOLDERS[stage]
    return study.adapters / f"{study.model}-{FOLDERS[stage]}"


def training_record(study: Study, stage: str) -> dict:
    """Provenance of a stage's adapters: recipe, seed, versions, seconds, loss curve, accuracies on validation scenes."""
    return read_json(adapter_folder(study, stage) / "provenance.json")


def tune(study: Study, progress: bool = True) -> None:
    """Train both stages for a study with ``retrain`` and save their adapters with provenance.

    Resumes after a kill; a stage that was trained before with the same recipe is kept. Without ``retrain`` nothing is
    to be done: the shipped adapters serve.
    """
    for number, stage in enumerate(FOLDERS if study.retrain else (), start=1):
        config, folder = TrainConfig.of(study, number), adapter_folder(study, stage)
        finished = folder / "provenance.json"
        if finished.is_file() and read_json(finished).get("recipe") == plain(asdict(config)):
            continue
        vlm = _base(study)
        if stage == "tuned":
            apply_adapter(vlm.model, adapter_folder(study, "stage 1"))
        run = train(vlm, config, folder.with_suffix(".checkpoint"), progress=progress)
        save_adapter(folder, vlm.model, {})  # evaluated as it will be loaded: in float16, on float32 weights
        accuracies = summarize(evaluate(load_stage(study, stage), study, "validation"))
        save_adapter(folder, vlm.model, provenance(
            study, run["seconds"], config.steps * config.batch_size, stage=stage, recipe=asdict(config),
            supervised_tokens=run["tokens"], trained=_summary(run["trained"]), loss=run["loss"],
            validation_accuracy={kind: list(interval) for kind, interval in accuracies.items()}))


def _base(study: Study) -> VLM:
    return load_vlm("tiny" if study.model == "tiny" else "mini-base", study.device, seed=study.seed)


def _summary(names: list[str]) -> dict:
    return {"connector": sum("multi_modal_projector" in name for name in names),
            "lora": sum("lora_" in name for name in names), "tensors": len(names)}
