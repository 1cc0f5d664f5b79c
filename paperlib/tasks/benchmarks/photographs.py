"""Three photographs that installed packages carry, and yes-no questions of our own about them.

scikit-learn has china.jpg (a pavilion by a lake) and flower.jpg (a dahlia), both CC BY 2.0: by danielbuechele and by
vultilion, on Flickr. matplotlib has grace_hopper.jpg (a portrait, public domain, United States Navy). Three pictures
are no benchmark: they show whether a model that was tuned on drawings does anything sensible with a photograph.
"""

from importlib.resources import files
from pathlib import Path

from paperlib.tasks.benchmarks.example import Example, PictureFile

NAME = "photographs"
# Package and file of each photograph, and what stands in it and what does not.
PHOTOGRAPHS = {
    "china": ("sklearn.datasets", "images/china.jpg", ("a building", "a tree", "water"), ("a dog", "a flag", "a face")),
    "flower": ("sklearn.datasets", "images/flower.jpg", ("a flower", "a leaf", "a petal"), ("a car", "a hat", "a cat")),
    "hopper": (
        "matplotlib",
        "mpl-data/sample_data/grace_hopper.jpg",
        ("a hat", "a flag", "glasses"),
        ("a flower", "a building", "a horse"),
    ),
}


def photographs() -> list[Example]:
    """Six yes-no questions about each photograph, half of them answered yes. Their group is the photograph.

    >>> [(e.question, e.answer) for e in photographs()[:2]]
    [('Is there a building in the picture?', 'yes'), ('Is there a flower in the picture?', 'yes')]
    """
    found = []
    for number in range(6):  # photographs take turns, so that a few questions are about all of them
        for name, (package, file, there, elsewhere) in PHOTOGRAPHS.items():
            picture = PictureFile(Path(str(files(package).joinpath(file))))
            thing = (*there, *elsewhere)[number]
            question = f"{'Are' if thing == 'glasses' else 'Is'} there {thing} in the picture?"
            answer = "yes" if thing in there else "no"
            identity = f"{NAME}/test/existence/{name}/{number}"
            found.append(
                Example(identity, NAME, "existence", "test", question, answer, ("yes", "no"), picture, f"photo {name}")
            )
    return found
