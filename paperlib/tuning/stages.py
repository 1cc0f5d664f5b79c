"""From an assembled model to a tuned one: both stages in order, and the models of the study by stage.

Shipped adapters (seed 0) are in ``data/adapters/``. Retrained ones go to ``data/cache/adapters/<preset>-seed<seed>/``,
so the shipped ones stay as they are. They were made by copying ``stage1`` and ``tuned`` there.
"""

import logging
from dataclasses import asdict
from pathlib import Path

from paperlib.models.adapter_files import RECORD, AdapterError, read_adapters
from paperlib.models.adapters import apply_adapter, connector_digest, save_adapter
from paperlib.models.lineage_models import band_model, model_before, tuned_model, untrained_model, weights_dtype
from paperlib.models.lineages import Lineage, lineage_of
from paperlib.models.precision import chosen_device
from paperlib.models.vlm import VLM, VLMError, load_vlm
from paperlib.scoring.evaluation import evaluate
from paperlib.stats.accuracy import summarize
from paperlib.study.results import plain, provenance, read_json
from paperlib.study.study import Study
from paperlib.tuning.checkpoints import make_way
from paperlib.tuning.finetune import train
from paperlib.tuning.train_config import TrainConfig

log = logging.getLogger(__name__)
UNTRAINED, STAGE_1, TUNED = "untrained", "stage 1", "tuned"
BEFORE_ONLY = "LLM before tuning, tuned connector"  # where no connector of stage 1 is published
STAGES = (UNTRAINED, STAGE_1, TUNED)
FOLDERS = {"stage 1": "stage1", "tuned": "tuned"}


def load_stage(study: Study, stage: str) -> VLM:
    """A fresh model of a stage, on the study's device, for code that changes it. `lineage_stages` shares models.

    stage: "untrained" (random LLM and connector), "stage 1" (connector tuned), `BEFORE_ONLY` where no connector of
    stage 1 is published, or "tuned". Raises VLMError for a stage that the model does not have; AdapterError for
    adapters that are missing or damaged, or that a run with other settings has trained.
    """
    lineage = lineage_of(study.model)
    if stage not in (there := stage_names(lineage)):
        why = "; it comes as it is" if there == (UNTRAINED, TUNED) else ""
        raise VLMError(f"{study.model!r} has no stage {stage!r}: use one of {'; '.join(there)}{why}.")
    vlm, _ = make_stage(study, lineage, stage)
    vlm.model.to(chosen_device(study.device))
    return vlm


def load_band(study: Study, blocks: str) -> VLM:
    """A fresh model of a checkpoint that others tuned in some blocks alone, by its name among the lineage's bands.

    Raises VLMError for a band that the lineage does not have, and for one that cannot be opened.
    """
    lineage = lineage_of(study.model)
    if blocks not in lineage.bands:  # before the tuned model is read
        there = ", ".join(map(repr, lineage.bands)) or "none"
        raise VLMError(f"{study.model!r} has no published band {blocks!r}: those that there are: {there}.")
    vlm = band_model(lineage, blocks, make_stage(study, lineage, TUNED)[0])
    vlm.model.to(chosen_device(study.device))
    return vlm


def stage_names(lineage: Lineage) -> tuple[str, ...]:
    """The stages that a lineage has, first to last."""
    if lineage.built:
        return STAGES
    before = () if lineage.llm is None else (STAGE_1 if lineage.connector else BEFORE_ONLY,)
    return (UNTRAINED, *before, TUNED)


def make_stage(study: Study, lineage: Lineage, stage: str, tuned: VLM | None = None) -> tuple[VLM, list[str]]:
    """A stage in the study's precision, on the CPU, and what could not be taken over or differs besides, in sentences.

    tuned: the tuned model, if it is here already; what the stage has in common with it is shared.
    """
    chosen_device(study.device)  # refused before anything is read
    return (_built(study, lineage, stage), []) if lineage.built else _elsewhere(study, lineage, stage, tuned)


def _built(study: Study, lineage: Lineage, stage: str) -> VLM:
    """A stage of a model that this project assembles and tunes."""
    if stage == UNTRAINED:
        name = "tiny" if lineage.built == "tiny" else "mini-untrained"
        return load_vlm(name, "cpu", study.seed, study.dtype, study.attention)
    vlm, folder = _base(study, "cpu"), adapter_folder(study, stage)
    if study.retrain:
        check_recipe(folder, TrainConfig.of(study, list(FOLDERS).index(stage) + 1))
    apply_adapter(vlm.model, folder)  # in float32; what is loaded is rounded afterwards
    if study.attention != "auto":
        vlm.model.set_attn_implementation(study.attention)
    vlm.model.to(weights_dtype(lineage, study.dtype, "cpu"))
    return VLM(f"{study.model} {stage}", vlm.model.eval(), vlm.processor)


def _elsewhere(study: Study, lineage: Lineage, stage: str, tuned: VLM | None) -> tuple[VLM, list[str]]:
    """A stage of a model that was tuned elsewhere."""
    if tuned is None:
        dtype = weights_dtype(lineage, study.dtype, chosen_device(study.device))
        tuned = tuned_model(lineage, dtype, None if study.attention == "auto" else study.attention)
    if stage == UNTRAINED:
        return untrained_model(lineage, tuned, study.seed), []
    return (tuned, []) if stage == TUNED else model_before(lineage, tuned, stage)


def adapter_folder(study: Study, stage: str) -> Path:
    """Where a stage's adapters are: the shipped ones, or those that `tune` makes for this study."""
    if study.retrain:
        return trained_folder(study) / FOLDERS[stage]
    return study.adapters / f"{lineage_of(study.model).built}-{FOLDERS[stage]}"


def trained_folder(study: Study) -> Path:
    """Where a study keeps the adapters that it trains. Models other than the preset's have folders of their own."""
    usual = Study.make(study.preset).model
    model = "" if study.model == usual else f"-{lineage_of(study.model).name}"
    return study.cache / "adapters" / f"{study.preset}{model}-seed{study.seed}"


def training_record(study: Study, stage: str) -> dict:
    """Provenance of a stage's adapters: recipe, versions, seconds, loss curve, accuracies on validation scenes."""
    return read_json(adapter_folder(study, stage) / RECORD)


def tune(study: Study, progress: bool = True) -> None:
    """Train both stages for a study with ``retrain`` and save their adapters; resumable.

    A stage that was trained with the same recipe from the same start is kept, any other is trained again. Without
    ``retrain`` this does nothing, and the shipped adapters are used; nor for a model that was tuned elsewhere.
    """
    here = lineage_of(study.model).built is not None
    for number, stage in enumerate(FOLDERS if study.retrain and here else (), start=1):
        config, folder = TrainConfig.of(study, number), adapter_folder(study, stage)
        start = start_of(study) if stage == "tuned" else None
        if finished(folder, config, start):
            continue
        vlm, checkpoint = _base(study), folder.with_suffix(".checkpoint")
        if stage == "tuned":
            apply_adapter(vlm.model, adapter_folder(study, "stage 1"))
        make_way(checkpoint, config, start)
        run = train(vlm, config, checkpoint, progress=progress, start=start)
        save_adapter(folder, vlm.model, {})  # evaluated as it will be loaded: in float16, on float32 weights
        accuracies = summarize(evaluate(load_stage(study, stage), study, "validation"))
        save_adapter(
            folder,
            vlm.model,
            provenance(
                study,
                run["seconds"],
                config.steps * config.batch_size,
                stage=stage,
                recipe=asdict(config),
                start=start,
                precision=run["precision"],
                compiled=run["compiled"],
                supervised_tokens=run["tokens"],
                trained=_summary(run["trained"]),
                loss=run["loss"],
                validation_accuracy={kind: list(interval) for kind, interval in accuracies.items()},
            ),
        )
        checkpoint.unlink(missing_ok=True)


def start_of(study: Study) -> str:
    """Digest of what stage 2 and all arms start from: the connector of the study's stage 1.

    A run that recorded another one is stale.
    """
    return connector_digest(adapter_folder(study, "stage 1"))


def finished(folder: Path, config: TrainConfig, start: str | None, steps: int | None = None) -> dict | None:
    """The record of a finished run with this configuration, start and number of steps, or None.

    Damaged adapters count as none, which is logged.
    """
    if not (folder / RECORD).is_file():
        return None
    try:
        found = read_adapters(folder)
    except AdapterError as error:
        log.warning("Damaged adapters are trained again: %s", error)
        return None
    record = found.record
    began = record.get("start", (found.made_for or {}).get("connector"))  # bands say so in either place
    same = record.get("recipe") == plain(asdict(config)) and began == start
    return record if same and len(record.get("loss", ())) == (config.steps if steps is None else steps) else None


def check_recipe(folder: Path, config: TrainConfig) -> None:
    """Raise AdapterError if a folder's adapters were trained with another recipe.

    Runs of one preset and seed share a folder, whatever else they differ in: the last one to train owns it.
    """
    recipe = read_json(folder / RECORD).get("recipe") if (folder / RECORD).is_file() else None
    if recipe not in (None, plain(asdict(config))):
        raise AdapterError(
            f"The adapters in {folder.parent.name}/{folder.name} were trained with other settings since: train them "
            f"again with these (notebook 01 or make reference), and run one such study at a time."
        )


def _base(study: Study, device: str | None = None) -> VLM:
    name = "tiny" if lineage_of(study.model).built == "tiny" else "mini-base"
    return load_vlm(name, device or study.device, seed=study.seed)


def _summary(names: list[str]) -> dict:
    return {
        "connector": sum("lora_" not in name for name in names),
        "lora": sum("lora_" in name for name in names),
        "tensors": len(names),
    }
