"""What is asked. Open `scenes.py` first, then `questions.py` and `benchmarks/`.

Scenes and charts are drawn from a seed, so every answer is known. Nothing here imports torch.
"""

import lazy_loader

# Which module defines what is offered here; it is imported when a name is first used.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "assets": ["credit_line"],
        "benchmarks.example": ["Example"],
        "benchmarks.suites": ["ASKED_SUITES", "PICTURE_SUITES", "examples"],
        "charts": ["draw_chart"],
        "counterfactuals": ["counterfactual"],
        "conversations": ["conversation"],
        "instructions.instruction": ["Instruction"],
        "instructions.opening": ["open_instructions"],
        "questions": ["KINDS", "ask"],
        "scenes": ["compose", "draw_scene"],
    },
)
