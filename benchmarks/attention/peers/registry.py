"""The list of peers: module and class, environment, forms."""

import dataclasses

BOTH = ("bidirectional", "causal")


@dataclasses.dataclass(frozen=True)
class Entry:
    """Where a peer is found and what it computes.

    Attributes:
        name: Name on the command line, and of the module in this package.
        class_name: Class of that module.
        title: Name in tables.
        environment: Name of its virtual environment, or `None` for the running one.
        forms: Forms of attention that it has.
    """

    name: str
    class_name: str
    title: str
    environment: str | None
    forms: tuple[str, ...] = BOTH


ENTRIES = (
    Entry("ours", "Ours", "keras-performer", None),
    Entry("keras_exact", "KerasExact", "Keras, exact", None),
    Entry(
        "kernel_attention",
        "KernelAttention",
        "Model Garden KernelAttention",
        "tf-models-official",
        ("bidirectional",),
    ),
    Entry("performer_pytorch", "PerformerPytorch", "performer-pytorch", "torch"),
    Entry("fast_transformers", "FastTransformers", "fast-transformers", "torch"),
    Entry("torch_exact", "TorchExact", "torch SDPA, exact", "torch"),
)
BY_NAME = {entry.name: entry for entry in ENTRIES}
