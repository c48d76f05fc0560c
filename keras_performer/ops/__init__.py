"""Linear attention as pure functions on `keras.ops`; no layers, no state."""

from keras_performer.ops import projections
from keras_performer.ops.attention_state import (
    AttentionState,
    DecayedState,
    DecayedWindowedState,
    WindowedState,
    initial_state,
)
from keras_performer.ops.bidirectional import attend, summarize
from keras_performer.ops.linear_attention import linear_attention
from keras_performer.ops.positions import count_positions
from keras_performer.ops.reference import (
    exact_attention,
    exact_attention_scores,
    kernel_attention,
    kernel_attention_scores,
)
from keras_performer.ops.rotary import rotary
from keras_performer.ops.streams import prefill, step
from keras_performer.renamed import renamed_attributes

__all__ = [
    "AttentionState",
    "DecayedState",
    "DecayedWindowedState",
    "WindowedState",
    "attend",
    "count_positions",
    "exact_attention",
    "exact_attention_scores",
    "initial_state",
    "kernel_attention",
    "kernel_attention_scores",
    "linear_attention",
    "prefill",
    "projections",
    "rotary",
    "step",
    "summarize",
]

__getattr__ = renamed_attributes(__name__, globals(), {"read": "attend"})


def __dir__() -> list[str]:
    return sorted(__all__)
