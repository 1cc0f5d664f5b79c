"""Tasks of our own, asked by lmms-eval itself: replies and choices against the scoring wing, and what is refused."""

import importlib
import json
import os
import subprocess
import sys
import tomllib
from functools import lru_cache
from importlib.metadata import entry_points
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from small_models import one_sentence, picture, tiny_vlm

from paperlib.interventions.edits import bypass, knockout, transplant
from paperlib.models.input_checks import VLMError
from paperlib.models.token_sets import edge, tokens
from paperlib.models.vlm import load_vlm
from paperlib.scoring.generation import generate
from paperlib.scoring.records import choice_logprobs, records
from paperlib.study.study import CODE_ROOT
from paperlib.tasks.benchmarks import Example
from paperlib.tasks.pictures import PictureError

WHY = "lmms-eval is not installed; it comes with the extra lmms"
evaluator = pytest.importorskip("lmms_eval.evaluator", reason=WHY)
datasets = pytest.importorskip("datasets", reason=WHY)
TaskManager = importlib.import_module("lmms_eval.tasks").TaskManager
lmms = importlib.import_module("paperlib.interventions.lmms")

TEXTS = ["Hm?", "Is it a dog?", "What is at the top left of the picture?", "Who?", "What color is it?", "So?", "Eh?"]
LETTERS, NESTED = (")", "a", "[", "j"), ("a", "[", "aa", "[-")  # the model answers differently
RIGHT = (0, 0, 0, 2, 1, 1, 0)  # by this it is right on some, and writes some of those
REPLIES = """
output_type: generate_until
generation_kwargs: {max_new_tokens: 6, do_sample: false, temperature: 0, top_p: 1.0, until: [a, "<|im_end|>"]}
process_results: !function utils.results
metric_list: [{metric: length, aggregation: mean, higher_is_better: true}]
"""
SCORES = """
output_type: multiple_choice
doc_to_choice: choices
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
"""


class Noise(SimpleNamespace):
    """A picture as examples hold it."""

    def render(self):
        return picture(self.seed)


@lru_cache
def model():
    """A random model that does not end what it writes: look at it, don't change it."""
    vlm = tiny_vlm()
    vlm.model.generation_config.suppress_tokens = [0, 1, vlm.image_token_id]
    return vlm


def asked():
    """Seven questions of different lengths, each with four choices: five about pictures, two without."""
    rows = [(i, text, NESTED if i in (2, 6) else LETTERS) for i, text in enumerate(TEXTS)]
    shown = [Noise(seed=i) for i in range(5)] + [None, None]
    return [
        Example(str(i), "b", "k", "test", text, choices[RIGHT[i]], choices, shown[i], str(i))
        for i, text, choices in rows
    ]


def pictured():
    return asked()[:5]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Tasks as files: the questions as parquet, all ("any") or those with pictures, asked for replies or by choice."""
    path = tmp_path_factory.mktemp("tasks")
    text, number = datasets.Value("string"), datasets.Value("int64")
    columns = {"image": datasets.Image(), "text": text, "choices": datasets.Sequence(text), "right": number}
    for name, examples in {"any": asked(), "pictured": pictured()}.items():
        cells = [(e.picture and e.picture.render(), e.question, e.choices, e.choices.index(e.answer)) for e in examples]
        rows = [dict(zip(columns, row)) for row in cells]
        datasets.Dataset.from_list(rows, datasets.Features(columns)).to_parquet(path / f"{name}.parquet")
        for kind, rest in {"replies": REPLIES, "scores": SCORES}.items():
            options = {"data_files": {"test": str(path / f"{name}.parquet")}, "cache_dir": str(path / "cache")}
            task = {"task": f"{kind}_{name}", "dataset_path": "parquet", "dataset_kwargs": options}
            task |= {"test_split": "test", "doc_to_visual": "image", "doc_to_text": "text", "doc_to_target": "right"}
            lines = [f"{key}: {json.dumps(value)}\n" for key, value in task.items()]
            (path / f"{kind}_{name}.yaml").write_text("".join(lines) + rest)
    (path / "utils.py").write_text("def results(doc, results):\n    return {'length': len(results[0])}\n")
    return path


def run(folder, task, model, **options):
    """What lmms-eval finds for a task: the numbers, and each row's answers."""
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    found = evaluator.simple_evaluate(model, tasks=[task], task_manager=manager, bootstrap_iters=0, **options)
    rows = sorted(found["samples"][task], key=lambda row: row["doc_id"])
    return found["results"][task], [row["filtered_resps"] for row in rows]


def written(examples, vlm=None, stop=("a",), limit=6, **options):
    """The same by `generate`."""
    return [[r.text] for r in generate(vlm or model(), examples, max_new_tokens=limit, stop=stop, **options)]


def closed(batch):
    return knockout(model(), range(1, 3), *edge(model(), batch, "image->answer"))


def studied(**options):
    return lmms.StudiedModel(model(), batch_size=3, **options)


# ---------------------------------------------------------------- replies


def test_replies_are_those_of_generation(folder):
    numbers, found = run(folder, "replies_any", studied())
    assert found == written(asked()) != written(asked(), stop=())
    assert numbers["length,none"] == pytest.approx(sum(len(text) for [text] in found) / 7)
    _, longer = run(folder, "replies_any", studied(), gen_kwargs="max_new_tokens=9,until=j")
    assert longer == written(asked(), stop=["j"], limit=9) != written(asked(), stop=(), limit=9)


def test_an_intervention_changes_replies_as_in_generation(folder):
    def entering(batch):
        return bypass(model(), tokens(model(), batch, "image"), enter=2)

    clean = written(pictured())
    for under in (closed, entering):
        expected = written(pictured(), under=under)
        assert run(folder, "replies_pictured", studied(under=under))[1] == expected != clean
    named = studied(knockout="image->answer", blocks="1:3")
    assert run(folder, "replies_pictured", named)[1] == written(pictured(), under=closed)
    with transplant(model(), tiny_vlm(1), [1, 2]):  # around the call
        assert run(folder, "replies_any", studied())[1] == written(asked()) != clean
    assert run(folder, "replies_any", studied())[1] == written(asked())


def test_a_transplant_by_name(folder):
    vlm, donor = load_vlm("tiny", "cpu", seed=1), load_vlm("tiny", "cpu")
    found = run(folder, "replies_any", lmms.StudiedModel(vlm, transplant="tiny", blocks="1:3"))[1]
    clean = written(asked(), vlm)
    with transplant(vlm, donor, [1, 2]):
        assert found == written(asked(), vlm) != clean


def test_stop_strings_and_limits_of_tasks():
    """lmms-eval itself gives tasks without stop strings an empty line; a special token is in no reply's text."""
    settings = studied()._settings
    assert settings({"until": ["\n\n"], "do_sample": False}) == (1024, ())
    assert settings({"until": None, "max_new_tokens": 5, "top_k": 3}) == (5, ())
    assert settings({"until": "ab", "num_beams": 1, "temperature": 0.0, "top_p": None}) == (1024, ("ab",))
    assert settings({"until": ["</s>", "<|im_end|>", "\n"], "image_aspect_ratio": "pad"}) == (1024, ("</s>", "\n"))


# ---------------------------------------------------------------- choices


@lru_cache
def one_by_one(under=None):
    """Record of each example, and whether each choice is written, by the logits of a pass for each choice alone."""
    vlm, reads, likeliest = model(), [], []
    examples = pictured() if under else asked()
    for i, example in enumerate(examples):
        end = vlm.tokenizer.eos_token if example.choices == NESTED else ""
        image = example.picture and [example.picture.render()]
        for number, choice in enumerate(example.choices):
            batch = vlm.batch([vlm.prompt(example.question, bool(image))], image, [choice + end])
            with torch.no_grad():
                if under is None:
                    logits = vlm.model(**batch).logits[0]
                else:
                    with under(batch):
                        logits = vlm.model(**batch).logits[0]
            at = vlm.spans(batch)[0].answer
            ids = batch["input_ids"][0, at]
            reads.append((i, number, float(logits.log_softmax(-1)[at - 1, ids].sum()), len(at)))
            likeliest.append(bool((logits[at - 1].argmax(-1) == ids).all()))
    return records(examples, reads), likeliest


@pytest.mark.parametrize("under, task", [(None, "scores_any"), (closed, "scores_pictured")])
def test_choices_are_those_of_records(folder, under, task):
    """lmms-eval's accuracy is that of the records, so the sign is the one that it expects."""
    numbers, found = run(folder, task, studied(under=under))
    expected, likeliest = one_by_one(under)
    assert len({record.prediction for record in expected}) > 1 <= sum(likeliest)
    assert numbers["acc,none"] == pytest.approx(sum(r.correct for r in expected) / len(expected))
    right = [likeliest[4 * i + RIGHT[i]] for i in range(len(expected))]
    assert (
        numbers["exact_match,none"] == pytest.approx(sum(right) / len(right))
        and 0 < sum(right) < numbers["acc,none"] * 7
    )
    for row, record in zip(found, expected, strict=True):
        assert [-value for value, _ in row] == pytest.approx(record.logprobs, abs=1e-4)
    assert [greedy for row in found for _, greedy in row] == likeliest
    if under is None:
        plain = choice_logprobs(model(), asked())
        assert [[-value for value, _ in row] for row in found] == [pytest.approx(r.logprobs, abs=1e-5) for r in plain]
    else:
        assert expected[0].logprobs != pytest.approx(one_by_one()[0][0].logprobs, abs=1e-2)


# ---------------------------------------------------------------- what is refused


def request(*arguments, visuals=(), task="t"):
    """A request about one row that shows these visuals. arguments: the context, then generation_kwargs or a choice."""
    return SimpleNamespace(args=(*arguments, lambda doc: doc["v"], 0, task, visuals), task_name=task)


def test_bad_requests():
    def refused(*requests, error=ValueError, how="generate_until"):
        asking = studied(knockout="image->answer", blocks="0:1")
        for one in requests:
            visuals, one.args = one.args[-1], (*one.args[:-1], "s")
            asking.task_dict["t"] = {"s": [{"v": visuals}]}
        with pytest.raises(error) as caught:
            getattr(asking, how)(list(requests))
        return one_sentence(caught.value)

    image = picture(0)
    assert "'t' is 2 pictures" in refused(request("Hm?", {}, visuals=[image, image]))
    assert "must be a PIL image, got str" in refused(request("Hm?", {}, visuals=["a.mp4"]))
    assert "<image>" in refused(request("<image> Hm?", {}, visuals=[image]), error=VLMError)
    assert "has no image tokens" in refused(request("Hm?", {"max_new_tokens": 1}))
    assert "context" in refused(request("Hm?", {"max_new_tokens": 10**6}, visuals=[image]), error=VLMError)
    assert "row 0" in refused(request("Hm?", {}, visuals=[Image.new("F", (9, 9))]), error=PictureError)
    for bad in ({"do_sample": True}, {"temperature": 0.2}, {"num_beams": 3}, {"stop_sequences": ["a"]}):
        [[name, value]] = bad.items()
        assert f"{name}={value}" in refused(request("Hm?", bad, visuals=[image]))
    assert "no choice of a question" in refused(request("Hm?", str, visuals=[image]), how="loglikelihood")
    alone = SimpleNamespace(args=("", "red"), task_name="t")
    with pytest.raises(ValueError, match="acc_mutual_info"):
        studied().loglikelihood([alone])
    assert "has 1 choices" in refused(request("Hm?", " a", visuals=[image]), how="loglikelihood")
    assert "several rounds" in refused(error=NotImplementedError, how="generate_until_multi_round")


def test_an_error_ends_the_run(folder):
    with pytest.raises(ValueError, match="has no image tokens"):
        run(folder, "replies_any", studied(under=closed))


def test_bad_arguments():
    def refused(error=ValueError, **options):
        with pytest.raises(error) as caught:
            lmms.StudiedModel(**{"model": model()} | options)
        return one_sentence(caught.value)

    assert "Give one of under and knockout" in refused(under=closed, knockout="image->answer", blocks="0:1")
    assert "blocks goes with" in refused(blocks="0:1") and "blocks goes with" in refused(transplant="tiny")
    for blocks in ("1", 1, "2:2", "0:5", "mid", "-1:2"):
        assert "a < b <= 4" in refused(knockout="image->answer", blocks=blocks)
    assert "Unknown edge 'image-'" in refused(knockout="image-", blocks="0:1")  # as a shell leaves it without quotes
    for size in ("auto", 0, "0", 1.5):
        assert "batch_size must be a whole number" in refused(batch_size=size)
    assert "did you mean 'tiny'" in refused(VLMError, model="tinny")


# ---------------------------------------------------------------- how lmms-eval finds it


def test_the_entry_point_gives_the_class_that_the_command_line_makes():
    project = tomllib.loads((CODE_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    [(name, place)] = project["entry-points"]["lmms_eval.models"].items()
    module, _, function = place.partition(":")
    registry = importlib.import_module("lmms_eval.models").MODEL_REGISTRY_V2
    registry.register_manifest(getattr(importlib.import_module(module), function)(), overwrite=True)
    kind = registry.get_model_class(name)
    assert (name, kind) == ("paperlib", lmms.StudiedModel)
    words = "model=tiny,knockout=image->answer,blocks=1:3,dtype=bfloat16"
    made = kind.create_from_arg_string(words, {"batch_size": "5", "max_batch_size": None, "device": "cpu"})
    assert made.batch_size == 5 and made.under is not None and made.vlm.base.dtype == torch.bfloat16
    assert made.device == torch.device("cpu") and (made.rank, made.world_size) == (0, 1)


@pytest.mark.slow
def test_the_command_line(folder, tmp_path):
    if "paperlib" not in entry_points(group="lmms_eval.models").names:
        pytest.skip("paperlib was installed before it had the entry point: install it again")
    words = ["--model", "paperlib", "--model_args", "model=tiny,knockout=image->answer,blocks=1:3", "--device", "cpu"]
    words += ["--tasks", "replies_pictured", "--include_path", str(folder), "--batch_size", "4"]
    words += ["--output_path", str(tmp_path), "--log_samples"]
    done = subprocess.run(
        [sys.executable, "-m", "lmms_eval", *words],
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    [samples] = tmp_path.rglob("*samples*.jsonl")
    rows = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
    vlm = load_vlm("tiny", "cpu")
    expected = written(pictured(), vlm, under=lambda batch: knockout(vlm, [1, 2], *edge(vlm, batch, "image->answer")))
    assert [row["filtered_resps"] for row in sorted(rows, key=lambda row: row["doc_id"])] == [
        text for [text] in expected
    ]
