"""Floor 0: linear attention as pure functions on `keras.ops`; no layers, no state."""

from keras_performer.ops import projections
from keras_performer.ops.attention_state import AttentionState, initial_state
from keras_performer.ops.bidirectional import (
    bidirectional_attention,
    read,
    summarize,
)
from keras_performer.ops.causal import causal_attention
from keras_performer.ops.linear_attention import linear_attention
from keras_performer.ops.packed import (
    packed_bidirectional_attention,
    packed_causal_attention,
)
from keras_performer.ops.positions import count_positions
from keras_performer.ops.recurrent import prefill, step
from keras_performer.ops.reference import (
    exact_attention,
    exact_attention_scores,
    kernel_attention,
    kernel_attention_scores,
    windowed_attention_scores,
)
from keras_performer.ops.rotary import rotary
from keras_performer.ops.windowed import (
    windowed_bidirectional_attention,
    windowed_causal_attention,
)
from keras_performer.ops.windowed_stream import (
    WindowedState,
    windowed_initial_state,
    windowed_prefill,
    windowed_step,
)

__all__ = [
    "AttentionState",
    "WindowedState",
    "bidirectional_attention",
    "causal_attention",
    "count_positions",
    "exact_attention",
    "exact_attention_scores",
    "initial_state",
    "kernel_attention",
    "kernel_attention_scores",
    "linear_attention",
    "packed_bidirectional_attention",
    "packed_causal_attention",
    "prefill",
    "projections",
    "read",
    "rotary",
    "step",
    "summarize",
    "windowed_attention_scores",
    "windowed_bidirectional_attention",
    "windowed_causal_attention",
    "windowed_initial_state",
    "windowed_prefill",
    "windowed_step",
]
