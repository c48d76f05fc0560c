"""`performer_optimizer`: the optimizer of the paper's trainings."""

from typing import Any

import keras

_NOT_DECAYED = ("bias", r"\bgamma", r"\bbeta", r"\bscale")


def warm_up_and_decay(
    learning_rate: float, num_steps: int
) -> keras.optimizers.schedules.CosineDecay:
    """A learning rate that rises for a tenth of the steps, then falls as a cosine.

    Args:
        learning_rate: The highest.
        num_steps: Number of steps of the training.
    """
    warm_up = max(1, num_steps // 10)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        decay_steps=max(1, num_steps - warm_up),
        warmup_target=learning_rate,
        warmup_steps=warm_up,
    )


def performer_optimizer(
    learning_rate: Any = 1e-3,
    weight_decay: float = 0.1,
    gradient_accumulation_steps: int | None = None,
) -> keras.optimizers.Optimizer:
    """Makes AdamW as the Performer's trainings had it.

    Its betas are 0.9 and 0.98, epsilon 1e-9, the global norm of the gradient is
    clipped at 0.5, the learning rate is constant (appendix of arXiv 2009.14794).
    Biases and the scales and offsets of normalizations do not decay; embeddings do,
    as they are the output's kernel too.

    A schedule's unit is the batch, as that of `train_steps` is: with
    `gradient_accumulation_steps=4` and 1,000 updates a schedule has 4,000 steps, since
    Keras asks it for each batch. (`optimizer.iterations`, which `RedrawProjections`
    goes by, counts updates.)

    What does not decay is not in the optimizer's config: a model that is loaded from
    `.keras` to be trained on is to be compiled anew with this function.

    Args:
        learning_rate: Float, or a schedule of `keras.optimizers.schedules`.
        weight_decay: Share of a weight, times the learning rate, that an update takes.
        gradient_accumulation_steps: Number of batches whose gradients are averaged for
            one update, at least 2; `None` for an update for each batch.

    Returns:
        A `keras.optimizers.AdamW`.

    Example:

    >>> schedule = keras.optimizers.schedules.CosineDecay(
    ...     0.0, decay_steps=9000, warmup_target=1e-3, warmup_steps=1000
    ... )
    >>> optimizer = performer_optimizer(schedule, gradient_accumulation_steps=4)
    >>> optimizer.beta_2, optimizer.global_clipnorm
    (0.98, 0.5)
    """
    optimizer = keras.optimizers.AdamW(
        learning_rate,
        weight_decay=weight_decay,
        beta_1=0.9,
        beta_2=0.98,
        epsilon=1e-9,
        global_clipnorm=0.5,
        gradient_accumulation_steps=gradient_accumulation_steps,
    )
    # TensorFlow's names of variables are paths that end in the number of an output.
    optimizer.exclude_from_weight_decay(
        var_names=[rf"{name}(:\d+)?$" for name in _NOT_DECAYED]
    )
    return optimizer
