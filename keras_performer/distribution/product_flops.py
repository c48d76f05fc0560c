"""Counts the operations of a step's matrix products, loops as often as they run."""

import math
from collections.abc import Iterator
from typing import Any

from jax.extend import core


def product_flops(jaxpr: Any) -> int:
    """Floating-point operations of all matrix products of a traced function.

    The compiler's own count has the body of a loop once, however often it runs. So it
    does not grow with the number of chunks of a sequence.

    Args:
        jaxpr: A `jax.extend.core.Jaxpr`, such as `jax.jit(f).trace(x).jaxpr.jaxpr`.

    Returns:
        Number of multiplications and additions.

    Raises:
        ValueError: If products stand where it depends on values how often they run.
    """
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            total += _of_product(equation)
            continue
        within = sum(map(product_flops, _jaxprs_within(equation.params)))
        if within and equation.primitive.name in ("while", "cond"):
            raise ValueError(
                "How often matrix products run is not known: they stand in a loop or "
                "a branch that depends on values. Loops over chunks of a sequence are "
                "to be `jax.lax.scan`."
            )
        repeats = 1
        if equation.primitive.name == "scan":
            repeats = equation.params["length"]
        total += repeats * within
    return total


def _jaxprs_within(parameters: dict[str, Any]) -> Iterator[Any]:
    """The jaxprs that an equation calls, from its parameters."""
    for value in parameters.values():
        for part in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(part, core.ClosedJaxpr):
                yield part.jaxpr
            elif isinstance(part, core.Jaxpr):
                yield part


def _of_product(equation: Any) -> int:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left, output = equation.invars[0].aval, equation.outvars[0].aval
    return 2 * math.prod(output.shape) * math.prod(left.shape[i] for i in contracted)
