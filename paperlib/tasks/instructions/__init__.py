"""What others tune on: LLaVA's instructions, as files or on the hub. Open `instruction.py` first, then `opening.py`.

    data = open_instructions("llava_v1_5_mix665k.json", seed=0, pictures="pictures")
    for instruction in data.examples(start=1000): ...

`schemas.py` makes an `Instruction` of a row, `json_rows.py` finds rows in large files, `shuffles.py` orders them.
`paperlib.tuning.collation` makes model inputs and labels of instructions.
"""

import lazy_loader

# Which module defines what is offered here; it is imported when a name is first used.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={"instruction": ["Instruction", "RowPicture"], "opening": ["Instructions", "open_instructions"]},
)
