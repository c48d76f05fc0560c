"""Counts the operations of a step's matrix products, loops as often as they run."""

import math

from jax.extend import core


def product_flops(jaxpr):
    """Floating-point operations of all matrix products of a traced function.

    The compiler's own count takes the body of a loop once, however often it runs, so
    that it hides what grows with the number of chunks of a sequence.

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


def _jaxprs_within(parameters):
    """What an equation calls: a jaxpr, closed or not, or several in a sequence."""
    for value in parameters.values():
        for part in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(part, core.ClosedJaxpr):
                yield part.jaxpr
            elif isinstance(part, core.Jaxpr):
                yield part


def _of_product(equation):
    (contracted, _), _ = equation.params["dimension_numbers"]
    left, output = equation.invars[0].aval, equation.outvars[0].aval
    return 2 * math.prod(output.shape) * math.prod(left.shape[i] for i in contracted)
