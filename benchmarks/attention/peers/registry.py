"""The list of peers: class, environment, forms and options."""

import dataclasses
from typing import Any

BOTH = ("bidirectional", "causal")


@dataclasses.dataclass(frozen=True)
class Entry:
    """Where a peer is found and what it computes.

    Attributes:
        name: Name on the command line.
        path: Module of this package and class in it, as `"ours.Ours"`.
        title: Name in tables.
        environment: Name of its virtual environment, or `None` for the running one.
        forms: Forms of attention that it has.
        options: Arguments of the class beside the form, and `data`, as for `Worker`.
    """

    name: str
    path: str
    title: str
    environment: str | None
    forms: tuple[str, ...] = BOTH
    options: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def is_ours(self):
        """Whether it is this project, with whatever feature map."""
        return self.path == OURS.path


OURS = Entry("ours", "ours.Ours", "keras-performer", None)
ENTRIES = (
    OURS,
    Entry("keras_exact", "keras_exact.KerasExact", "Keras, exact", None),
    Entry(
        "kernel_attention",
        "kernel_attention.KernelAttention",
        "Model Garden KernelAttention",
        "tf-models-official",
        ("bidirectional",),
    ),
    Entry(
        "performer_pytorch",
        "performer_pytorch.PerformerPytorch",
        "performer-pytorch",
        "torch",
    ),
    Entry(
        "fast_transformers",
        "fast_transformers.FastTransformers",
        "fast-transformers",
        "torch",
    ),
    Entry("torch_exact", "torch_exact.TorchExact", "torch SDPA, exact", "torch"),
)
# This project with other feature maps and rows of the projection.
OUR_MAPS = tuple(
    dataclasses.replace(
        OURS,
        name=f"ours_{feature_map}_{projection}",
        title=f"ours: {feature_map}, {projection}",
        options={"feature_map": feature_map, "projection": projection},
    )
    for feature_map, projection in (
        ("softmax", "orthogonal"),
        ("favor_plus_plus", "simplex"),
        ("favor_sharp", "simplex"),
        ("aderf", "orthogonal"),
        ("aderf", "simplex"),
    )
)
BY_NAME = {entry.name: entry for entry in (*ENTRIES, *OUR_MAPS)}
