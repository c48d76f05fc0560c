"""`linear_attention`: the one of the forms of attention that fits what is asked for."""

from keras_performer.ops.bidirectional import bidirectional_attention
from keras_performer.ops.causal import causal_attention
from keras_performer.ops.packed import (
    packed_bidirectional_attention,
    packed_causal_attention,
)
from keras_performer.ops.windowed import (
    windowed_bidirectional_attention,
    windowed_causal_attention,
)


def linear_attention(
    query,
    key,
    value,
    feature_map,
    parameters,
    *,
    causal=False,
    key_mask=None,
    segment_ids=None,
    window_size=None,
    window_log_weight=None,
):
    """Attention through a feature map, in time linear in the lengths.

    Args:
        query: Tensor of shape (B, T, H, D).
        key: Tensor of shape (B, S, Hk, D), with H a multiple of Hk.
        value: Tensor of shape (B, S, Hk, Dv).
        feature_map: A `keras_performer.feature_maps.FeatureMap`.
        parameters: Dictionary of the map's tensors.
        causal: Whether a query sees only the keys at and before its position.
        key_mask: Boolean tensor of shape (B, S), or `None`.
        segment_ids: As for `packed_causal_attention`, or `None`.
        window_size: As for `windowed_causal_attention`, or `None` for no window.
        window_log_weight: As there; of use with a window alone.

    Returns:
        Tensor of shape (B, T, H, Dv) and `value`'s dtype.

    Raises:
        ValueError: If shapes do not fit.
    """
    options = {"key_mask": key_mask}
    if window_size is not None:
        forms = windowed_bidirectional_attention, windowed_causal_attention
        options["window_size"] = window_size
        options["window_log_weight"] = window_log_weight
        options["segment_ids"] = segment_ids
    elif segment_ids is not None:
        forms = packed_bidirectional_attention, packed_causal_attention
        options["segment_ids"] = segment_ids
    else:
        forms = bidirectional_attention, causal_attention
    attend = forms[bool(causal)]
    return attend(query, key, value, feature_map, parameters, **options)
