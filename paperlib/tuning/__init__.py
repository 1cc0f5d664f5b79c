"""How the model is tuned, in whole or in a band. Open `stages.py` first, then `arms.py`.

`finetune.py` holds the training loop for this study's own conversations. `stages.py` tunes stage 1 and stage 2,
`arms.py` the bands, and `band_runs.py` all of them over seeds. `connector_trials.py` compares ways to tune stage 1.
`step_costs.py` and `flops_at_size.py` count and time a step. `collation.py` makes batches of instructions by others,
`scaled_training.py` is the loop for them, on any number of GPUs, and `scaled_bands.py` is what `make bands` runs.
"""

import lazy_loader

# Which module defines what is offered here; it is imported when a name is first used.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "arms": ["ARMS", "BASELINE", "SWEEPS", "arm_config", "available_arms", "load_arm"],
        "band_costs": ["make_steps", "step_configs"],
        "band_results": ["BandResults", "pictured", "smoothed"],
        "band_runs": ["evaluate_arm", "read_reference", "reference_file", "run_comparison"],
        "bands": ["band", "band_scores", "choose_band"],
        "collation": ["collate"],
        "step_costs": ["count_step", "ratio", "time_steps"],
        "flops_at_size": ["LLAVA_7B", "prefill_flops", "step_flops"],
        "packing": ["pack"],
        "lineage_stages": ["stages_of"],
        "scaled_config": ["ScaledConfig"],
        "scaled_training": ["train_scaled"],
        "stages": ["FOLDERS", "STAGES", "load_stage", "training_record", "tune"],
    },
)
