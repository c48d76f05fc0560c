"""Floor 0: linear attention as pure functions on `keras.ops`; no layers, no state."""

from keras_performer.ops import projections
from keras_performer.ops.bidirectional import bidirectional_attention
from keras_performer.ops.causal import causal_attention
from keras_performer.ops.packed import (
    packed_bidirectional_attention,
    packed_causal_attention,
)
from keras_performer.ops.recurrent import (
    AttentionState,
    initial_state,
    prefill,
    step,
)
from keras_performer.ops.reference import (
    exact_attention,
    exact_attention_scores,
    kernel_attention,
    kernel_attention_scores,
)
from keras_performer.ops.rotary import rotary

__all__ = [
    "AttentionState",
    "bidirectional_attention",
    "causal_attention",
    "exact_attention",
    "exact_attention_scores",
    "initial_state",
    "kernel_attention",
    "kernel_attention_scores",
    "packed_bidirectional_attention",
    "packed_causal_attention",
    "prefill",
    "projections",
    "rotary",
    "step",
]
