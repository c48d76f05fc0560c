"""The caches of a decoder block's call: what goes together, and what can be known."""

from keras import ops

from keras_performer.ops.backend.keras_internals import is_traced

LEFT_PADDING = (
    "The state counts every position that it is given, and cannot be overwritten: pad "
    "prompts on the left, with False in `decoder_padding_mask` there, give "
    "`prompt[:, :-1]` first, and then one token after the other, the prompt's last "
    "one first."
)


def check_source(name, has_cross, encoder_sequence):
    """Raises a `ValueError` where a call is not of the kind that a block was built for.

    Args:
        name: The block's name.
        has_cross: Whether the block has cross-attention.
        encoder_sequence: As the call has it.
    """
    if has_cross != (encoder_sequence is not None):
        built, called = ("with", "without") if has_cross else ("without", "with")
        raise ValueError(
            "A block has cross-attention or not from its first call on: "
            "`layer(decoder_sequence, encoder_sequence)` or "
            f"`layer(decoder_sequence)`. Received: a call {called} "
            f"`encoder_sequence`, of the block {name!r} that was built {built}"
        )


def check_caches(self_cache, self_index, cross_cache, cross_index, has_cross):
    """Raises a `ValueError` where caches and their indices do not belong together.

    Args:
        self_cache: The call's `self_attention_cache`.
        self_index: The call's `self_attention_cache_update_index`.
        cross_cache: The call's `cross_attention_cache`.
        cross_index: The call's `cross_attention_cache_update_index`.
        has_cross: Whether the block has cross-attention.
    """
    pairs = {"self": (self_cache, self_index), "cross": (cross_cache, cross_index)}
    for kind, (cache, index) in pairs.items():
        if cache is None and index is not None:
            raise ValueError(
                f"`{kind}_attention_cache_update_index` goes with "
                f"`{kind}_attention_cache`, which is missing. Received: "
                f"{kind}_attention_cache_update_index={index}"
            )
        if hasattr(cache, "shape"):
            name = "initial_state" if kind == "self" else "initial_cross_state"
            raise ValueError(
                f"`{kind}_attention_cache` must be a state, of constant size, from "
                f"`{name}(batch_size)` or an earlier call; linear attention keeps no "
                "keys and values. Received: a tensor of shape "
                f"{tuple(cache.shape)}"
            )
    if has_cross and (self_cache is None) != (cross_cache is None):
        raise ValueError(
            "A block with cross-attention takes both `self_attention_cache` and "
            "`cross_attention_cache`, or neither. Received: "
            f"self_attention_cache={self_cache}, cross_attention_cache={cross_cache}"
        )
    if not has_cross and cross_cache is not None:
        raise ValueError(
            "`cross_attention_cache` needs a block with cross-attention, which is "
            "built by `layer(decoder_sequence, encoder_sequence)`; this block was "
            "built without."
        )
    if cross_index is not None and not (is_known(cross_index) and cross_index == 0):
        raise ValueError(
            "`cross_attention_cache_update_index` must be 0, to sum up "
            "`encoder_sequence`, or `None`, to attend to `cross_attention_cache`: a "
            "sum over the source has no position that could be replaced. Received: "
            f"cross_attention_cache_update_index={cross_index}"
        )


def check_linear(attention):
    """Raises a `ValueError` where a block's attention has no state of constant size.

    Args:
        attention: The block's `attention`.
    """
    if attention != "linear":
        raise ValueError(
            "A stream needs attention whose state does not grow, `attention='linear'`: "
            "exact attention would have to keep every key and value. An `exact_window` "
            f"keeps the nearest. Received: attention={attention!r}"
        )


def check_streamable(use_causal_mask, segment_ids, training, dropout, attention):
    """Raises a `ValueError` where a call with caches could not do what is asked.

    Args:
        use_causal_mask: As the call has it.
        segment_ids: As the call has it.
        training: As the call has it.
        dropout: The block's dropout rate.
        attention: The block's `attention`.
    """
    check_linear(attention)
    if segment_ids is not None:
        raise ValueError(
            "A stream is one sequence: leave out `segment_ids`, and start each "
            "sequence from a state of its own. Received: segment_ids.shape="
            f"{tuple(segment_ids.shape)} and a `self_attention_cache`"
        )
    if not use_causal_mask:
        raise ValueError(
            "`use_causal_mask=False` needs all positions at once: leave out the "
            "caches, or the argument. Received: use_causal_mask="
            f"{use_causal_mask} and a `self_attention_cache`"
        )
    if training and dropout:
        raise ValueError(
            "Caches are for inference: attention has no dropout there. Pass "
            f"`training=False`, or no caches. Received: training={training}, and the "
            f"block's dropout={dropout}"
        )


def check_update_index(index, state):
    """Raises a `ValueError` where positions would be counted twice.

    Args:
        index: The call's `self_attention_cache_update_index`, or `None`.
        state: The call's `self_attention_cache`.
    """
    if index is None or not (is_known(index) and is_known(state.position)):
        return
    # Hidden positions do not count, so an index may lie beyond those that were seen.
    seen = int(ops.max(state.position))
    if index < seen:
        raise ValueError(
            "`self_attention_cache_update_index` must not be less than the number of "
            f"positions that `self_attention_cache` has seen. {LEFT_PADDING} Received: "
            f"self_attention_cache_update_index={index}, and a state that has seen "
            f"{seen} positions"
        )


def is_known(x):
    """Whether a number has a value now, rather than when a traced function runs."""
    return isinstance(x, int) or not is_traced(x)
