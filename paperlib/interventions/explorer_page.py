"""Everything that the page docs/explorer/ shows, computed once: `make explorer`.

The page opens from disk, where a browser reads no JSON; so data.js assigns one global, with provenance and a sha256 of
the data as every result has. What each number is stands in `answers_data` and `neighbors_data`.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from PIL import Image

from paperlib.geometry.nearest_captions import nearest_captions
from paperlib.geometry.neighbors import Neighbors
from paperlib.geometry.similarity import neighborhood_overlap
from paperlib.interventions.explorer_answers import (
    ENTER,
    INTERVENTIONS,
    LEAVE,
    PATCH,
    Answers,
    Shown,
    chosen_scenes,
    windows_of,
)
from paperlib.models.modalities import caption_states, picture_states
from paperlib.models.vlm import VLM, fingerprint, load_vlm
from paperlib.study.results import ResultError, data_digest, plain, provenance, write_whole
from paperlib.study.study import Study
from paperlib.tasks.scene_sets import distinct_scenes

SCENES, POINTS = 10, 500  # shown one by one, and in the point clouds
K, NEAREST = 16, 5  # neighbours of an overlap, and captions listed
DIGITS = 4
BEGINS = "window.EXPLORER = "
FOLDER = Path("docs") / "explorer"


def answers_data(tuned: VLM, before: VLM, shown: Sequence[Shown], say: Callable[[str], None] = print) -> dict:
    """{"depth", "tokens", "interventions", "scenes"}: probabilities of every choice.

    A question has them "clean", with the "counterfactual" picture, and "under" each intervention, a row for each of its
    windows ([first block, block after the last]). tokens: image tokens of a picture.
    """
    asked = [(i, j) for i, scene in enumerate(shown) for j in range(len(scene.examples))]
    answers = Answers(tuned, before, [e for s in shown for e in s.examples], [e for s in shown for e in s.others])
    depth, chunk = answers.depth, answers.sweep.chunks[0]
    scenes = [_scene_data(number, scene) for number, scene in enumerate(shown)]

    def kept(what: str, found: list[list[float]]) -> Iterator[tuple[dict, list[float]]]:
        for (i, j), probabilities in zip(asked, found, strict=True):
            yield scenes[i]["questions"][j], [round(p, DIGITS) for p in probabilities]
        say(what)

    for question, p in kept("clean", answers.clean()):
        question["clean"] = p
    for question, p in kept("counterfactual", answers.counterfactual()):
        question["counterfactual"] = p
    for name in INTERVENTIONS:
        for window in windows_of(name, depth):
            for question, p in kept(f"{name} {window.start}:{window.stop}", answers.under(name, window)):
                question["under"].setdefault(name, []).append(p)
    places = {ENTER: "until", LEAVE: "from", PATCH: "layer"}
    interventions = [
        {
            "name": name,
            "says": says,
            "place": places.get(name, "window"),
            "windows": [[w.start, w.stop] for w in windows_of(name, depth)],
        }
        for name, says in INTERVENTIONS.items()
    ]
    tokens = len(tuned.spans(chunk.inputs)[0].image)
    return {"depth": depth, "tokens": tokens, "interventions": interventions, "scenes": scenes}


def _scene_data(number: int, shown: Shown) -> dict:
    return {
        "picture": f"pictures/{number:02d}.png",
        "other_picture": f"pictures/{number:02d}-counterfactual.png",
        "caption": shown.scene.caption,
        "other_caption": shown.other.caption,
        "questions": [
            {
                "kind": e.kind,
                "question": e.question,
                "answer": e.answer,
                "choices": list(e.choices),
                "other_answer": turned,
                "under": {},
            }
            for e, turned in zip(shown.examples, shown.turned, strict=True)
        ],
    }


def neighbors_data(
    models: Mapping[str, VLM], pictures: Sequence[Image.Image], captions: Sequence[str], listed: Sequence[int]
) -> dict:
    """{"layers", "captions", "listed", "k", "chance", "stages"}: pictures at one layer against captions at another.

    listed: the numbers of the pictures whose nearest captions are kept. stages: of each model, tables by the layer of
    pictures and that of captions: the neighbourhood "overlap" over all pictures, the shares of pictures whose own
    caption is the nearest ("first") or among the `NEAREST` ("found"), and for each listed picture the numbers of the
    "nearest" captions and the "rank" of its own. A point is the mean over its image tokens, or its caption's.
    """
    stages: dict[str, dict] = {}
    for stage, vlm in models.items():
        depth = len(vlm.layers)
        layers = list(range(0, depth + 1, max(1, depth // 15)))
        seen = picture_states(vlm, pictures)["image mean"]
        read = caption_states(vlm, captions)["text mean"]
        clouds = [[Neighbors.of(states[:, layer], K) for layer in layers] for states in (seen, read)]
        rankings = [[nearest_captions(seen[:, a], read[:, b]) for b in layers] for a in layers]
        stages[stage] = {
            "overlap": [[round(neighborhood_overlap(p, c, K), DIGITS) for c in clouds[1]] for p in clouds[0]],
            "first": [[round(r.found(1), DIGITS) for r in row] for row in rankings],
            "found": [[round(r.found(NEAREST), DIGITS) for r in row] for row in rankings],
            "nearest": [[r.order[list(listed), :NEAREST].tolist() for r in row] for row in rankings],
            "rank": [[r.rank[list(listed)].tolist() for r in row] for row in rankings],
        }
    return {
        "layers": layers,
        "captions": list(captions),
        "listed": list(listed),
        "k": K,
        "chance": round(K / (len(captions) - 1), DIGITS),
        "stages": stages,
    }


def page_files(data: dict, made: dict, shown: Sequence[Shown]) -> dict[Path, bytes]:
    """{path below the page's folder: content} of data.js and of the pictures."""
    data = plain(data)
    whole = {"provenance": made, "data": data, "sha256": data_digest(data)}
    text = BEGINS + json.dumps(whole, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + ";\n"
    files = {Path("data.js"): text.encode()}
    for described, scene in zip(data["scenes"], shown, strict=True):
        files[Path(described["picture"])] = _png(scene.scene.render())
        files[Path(described["other_picture"])] = _png(scene.other.render())
    return files


def read_data(path: Path) -> dict:
    """{"provenance", "data", "sha256"} of a data.js. Raises ResultError if the data are not what was written."""
    text = path.read_text(encoding="utf-8")
    if not (text.startswith(BEGINS) and text.endswith(";\n")):
        raise ResultError(f"{path.name} is not what make explorer writes: make it again.")
    found = json.loads(text[len(BEGINS) : -2])
    if data_digest(found["data"]) != found["sha256"]:
        raise ResultError(f"The data in {path.name} do not match their sha256: make it again (make explorer).")
    return found


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "png", optimize=True)
    return buffer.getvalue()


def main() -> None:
    """Compute and write the page's data, with the mini model of seed 0."""
    began, study = time.monotonic(), Study.make("mini", device="cpu")
    tuned, before = load_vlm("mini", device="cpu"), load_vlm("mini-stage1", device="cpu")
    scenes = distinct_scenes(POINTS, study.seed)
    shown = chosen_scenes(scenes, SCENES, seed=study.seed)
    data = answers_data(tuned, before, shown, lambda what: print(f"{time.monotonic() - began:5.0f} s  {what}"))
    keys = [scene.key for scene in scenes]
    data["neighbors"] = neighbors_data(
        {"tuned": tuned, "stage 1": before},
        [scene.render() for scene in scenes],
        [scene.caption for scene in scenes],
        [keys.index(s.scene.key) for s in shown],
    )
    weights = {"tuned": fingerprint(tuned), "stage 1": fingerprint(before)}
    made = provenance(
        study,
        time.monotonic() - began,
        sum(len(s.examples) for s in shown),
        weights=weights,
        threads=torch.get_num_threads(),
    )
    files = page_files(data, made, shown)
    write_whole({study.root / FOLDER / path: content for path, content in files.items()})
    print(
        f"wrote {FOLDER.as_posix()}/, {sum(map(len, files.values())) / 1e6:.1f} MB, in {time.monotonic() - began:.0f} s"
    )


if __name__ == "__main__":
    main()
