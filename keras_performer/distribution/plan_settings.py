"""`PlanSettings`: a model, its training step, and the chips that it shall run on."""

import dataclasses

from keras_performer import feature_maps
from keras_performer.distribution.tpu_topology import TpuTopology
from keras_performer.layers.attention_kinds import ATTENTIONS, current_attention
from keras_performer.models.block_stack import BLOCKS

STEPS = ("training", "forward")
DTYPES = ("float32", "mixed_bfloat16", "bfloat16")


@dataclasses.dataclass(frozen=True)
class PlanSettings:
    """What is compiled, and for which chips.

    Args:
        topology: Name of the chips, such as `"v5e:4x4"`, see `TpuTopology.parse`.
        seq_len: T, tokens of a sequence.
        batch: B, sequences of a step on all chips together.
        num_layers: Number of blocks.
        hidden_dim: F, features of a position.
        intermediate_dim: Hidden size of the feed-forward networks.
        num_heads: H, attention heads of a block.
        vocabulary_size: Number of token ids.
        causal: Whether a position attends only to itself and earlier ones.
        attention: `"linear"`, or `"exact"` for the same model with softmax attention.
        block: Kind of the blocks, `"gated"` or `"plain"`; see `PerformerBackbone`.
        feature_map: Name of the feature map of linear attention.
        num_features: M, random features of a head; `None` for D·log(D), rounded to a
            multiple of 64.
        dropout: Dropout rate.
        dtype: Dtype policy of the layers.
        remat: Whether the backward pass computes the activations of each block again
            instead of keeping them.
        model_parallel: Number of devices that share the heads of one model; the
            others share the batch.
        step: `"training"`: forward, loss, gradients and Adam's update; or
            `"forward"` alone.

    Raises:
        ValueError: If a value is out of its range, or sizes do not divide.

    Example:

    >>> from keras_performer.models.presets import preset
    >>> settings = PlanSettings("v5e:2x2", seq_len=4096, batch=4, **preset("protein"))
    >>> settings.data_parallel
    4
    """

    topology: str
    seq_len: int
    batch: int
    num_layers: int
    hidden_dim: int
    intermediate_dim: int
    num_heads: int
    vocabulary_size: int
    causal: bool = False
    attention: str = "linear"
    block: str = "gated"
    feature_map: str = "relu"
    num_features: int | None = None
    dropout: float = 0.1
    dtype: str = "mixed_bfloat16"
    remat: bool = False
    model_parallel: int = 1
    step: str = "training"

    def __post_init__(self) -> None:
        # The warning names the caller of the `__init__` that `dataclasses` made.
        attention = current_attention(self.attention, stacklevel=4)
        object.__setattr__(self, "attention", attention)
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type in (int, int | None) and value is not None and value < 1:
                raise ValueError(
                    f"`{field.name}` must be a positive integer. Received: {value}"
                )
        for name, choices in (
            ("attention", ATTENTIONS),
            ("block", tuple(BLOCKS)),
            ("step", STEPS),
            ("dtype", DTYPES),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"`{name}` must be one of {', '.join(choices)}. Received: "
                    f"{getattr(self, name)!r}"
                )
        if not 0 <= self.dropout < 1:
            raise ValueError(
                f"`dropout` must be a rate in [0, 1). Received: {self.dropout}"
            )
        feature_maps.get(self.feature_map)
        self._check_division("hidden_dim", self.hidden_dim, "num_heads", self.num_heads)
        if self.hidden_dim % 2:
            raise ValueError(
                "`hidden_dim` must be even: sines and cosines of a position come in "
                f"pairs. Received: {self.hidden_dim}"
            )
        devices = TpuTopology.parse(self.topology).num_devices
        sharers = "model_parallel", self.model_parallel
        self._check_division("the topology's devices", devices, *sharers)
        self._check_division("num_heads", self.num_heads, *sharers)
        self._check_division("intermediate_dim", self.intermediate_dim, *sharers)
        self._check_division(
            "batch",
            self.batch,
            "the number of devices that share it, devices / model_parallel",
            self.data_parallel,
        )

    @property
    def data_parallel(self) -> int:
        """Number of parts that the batch is divided into."""
        return TpuTopology.parse(self.topology).num_devices // self.model_parallel

    @staticmethod
    def _check_division(name: str, size: int, by_name: str, by: int) -> None:
        if size % by:
            raise ValueError(
                f"`{name}` must be a multiple of {by_name}. Received: {size} and {by}"
            )
