"""How the model is tuned, in whole or in a band. Open `stages.py` first, then `arms.py`.

`finetune.py` holds the one training loop. `stages.py` tunes stage 1 and stage 2, `arms.py` the bands, `band_runs.py` all
of them over seeds, and `costs.py` and `flops.py` say what a step takes.
"""

import lazy_loader

# Which module defines what is offered here; it is imported when a name is first used.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "arms": ["ARMS", "SWEEPS", "arm_config", "load_arm"],
        "band_costs": ["steps_of", "ways"],
        "band_results": ["PICTURED", "BandResults", "pictured", "smoothed"],
        "band_runs": ["BEFORE", "ask", "read_reference", "reference_file", "run"],
        "bands": ["band", "band_scores", "choose_band"],
        "costs": ["count_step", "ratio", "time_steps"],
        "flops": ["LLAVA_7B", "prefill_flops", "step_flops"],
        "packing": ["pack"],
        "stages": ["FOLDERS", "STAGES", "load_stage", "training_record", "tune"],
    },
)
