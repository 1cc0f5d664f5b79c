"""The budgets of each preset, and what the fields of a study may hold."""

from __future__ import annotations

# Budgets. `smoke` is for tests (tiny random weights, seconds), `mini` for a laptop's CPU, `gpu` for one GPU.
PRESETS: dict[str, dict] = {
    "smoke": {
        "model": "tiny",
        "retrain": True,
        "n_eval": 4,
        "stage1_steps": 2,
        "stage2_steps": 3,
        "matching_steps": 1,
        "batch_size": 4,
        "lora_rank": 2,
        "band_steps": 2,
        "band_batch": 2,
        "band_rank": 2,
    },
    "mini": {
        "model": "mini",
        "n_eval": 40,
        "stage1_steps": 150,
        "stage2_steps": 920,
        "matching_steps": 400,
        "batch_size": 16,
        "lora_rank": 24,
        "band_steps": 240,
        "band_batch": 8,
        "band_rank": 16,
    },
    "gpu": {
        "model": "mini",
        "n_eval": 2500,
        "stage1_steps": 500,
        "stage2_steps": 4000,
        "matching_steps": 1500,
        "batch_size": 32,
        "lora_rank": 24,
        "band_steps": 2000,
        "band_batch": 32,
        "band_rank": 16,
    },
    # A model of the hub on one GPU, with the numbers of the paper and of the thesis before it: 2,500 inputs.
    "paper": {
        "model": "llava-1.5-7b",
        "n_eval": 2500,
        "eval_batch": 16,
        "benchmarks": "public",
        "pairs": "nlphuji/flickr_1k_test_image_text_retrieval@refs/convert/parquet",
        "stage1_steps": 2180,
        "stage2_steps": 5197,
        "matching_steps": 0,
        "batch_size": 128,
        "lora_rank": 128,
        "band_steps": 5197,
        "band_batch": 128,
        "band_rank": 128,
    },
}


# The least and the most of each number. The most of a seed is scikit-learn's; the others are far beyond what ends or
# fits.
LIMITS = {
    "seed": (0, 2**32 - 1),
    "n_eval": (1, 10**5),
    "matching_steps": (0, 10**7),
    "batch_size": (1, 10**4),
    "band_batch": (1, 10**4),
    "lora_rank": (1, 10**4),
    "band_rank": (1, 10**4),
    "eval_batch": (1, 10**4),
}
CHOICES = {"dtype": ("auto", "float32", "bfloat16", "float16"), "attention": ("auto", "eager", "sdpa")}
WHERE = ("device", "eval_batch")  # fields that say where and how a run is computed, not what
