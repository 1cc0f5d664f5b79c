"""How a band is tuned by what was asked for; what `accelerate launch` runs is in `test_scaled_bands`."""

import pytest
from small_models import one_sentence

from paperlib.study.run_lock import lock
from paperlib.study.study import CODE_ROOT
from paperlib.tuning import band_training
from paperlib.tuning.band_training import config_of
from paperlib.tuning.bands import BandError
from paperlib.tuning.own_bands import band_folder, checkpoint_folder
from paperlib.tuning.scaled_band_arguments import read_words

DATA = CODE_ROOT / "tests" / "fixtures" / "instructions" / "llava"


def test_a_config_is_the_studys_budget_and_llavas_recipe(hub):
    config = config_of(read_words(["paper", "bands=full", "data=x"]), "1:3")
    assert (config.steps, config.batch_size, config.rank, config.layers) == (5197, 128, 128, (1, 2))
    assert (config.method, config.lr, config.length, config.mixed, config.connector) == ("lora", 2e-4, 2048, True, True)
    words = ["paper", "bands=full", "data=x", "method=full", "lr=1e-5", "connector=frozen", "seed=4", "length=100"]
    other = config_of(read_words(words), "full")
    assert (other.method, other.lr, other.connector, other.seed, other.length) == ("full", 1e-5, False, 4, 100)
    assert config_of(read_words(["smoke", "bands=mid", "data=x"]), "mid").mixed is False


def test_a_band_that_the_model_does_not_have(hub):
    with pytest.raises(BandError) as error:
        config_of(read_words(["paper", "bands=full", "data=x"]), "6:17")
    assert "0 to 3" in one_sentence(error.value)


def test_a_row_is_no_longer_than_the_context(study):
    config = config_of(read_words(["smoke", "bands=mid", "data=x"]), "mid")
    from paperlib.tuning.own_bands import text_config

    assert config.length == min(2048, text_config(study).max_position_embeddings)


def test_one_process_trains_a_band_at_a_time(hub, study, monkeypatch):
    words = ["smoke", "model=llava-1.5-7b", "bands=1:3", f"data={DATA}", "retrain=false"]
    folder = checkpoint_folder(band_folder(read_words(words).study, "1:3", "lora"))
    held = lock(folder)
    with pytest.raises(SystemExit) as end:
        band_training.main(words)
    assert "Another run is at work" in str(end.value.code) and held


def test_what_is_not_there_is_told_in_one_sentence(hub, study):
    for data in ("nothere.json", "no/where"):
        with pytest.raises(SystemExit) as end:
            band_training.main(["smoke", "model=llava-1.5-7b", "bands=1:3", f"data={data}"])
        one_sentence(Exception(end.value.code))
