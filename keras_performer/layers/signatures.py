"""Signatures of constructors that pass arguments on to a base class."""

import inspect


def with_arguments_of(base):
    """Decorator of a subclass's `__init__(self, *args, own, **kwargs)`.

    `inspect.signature`, and with it `help` and notebooks, then show the arguments of
    the base class, by position and by name, before those of the subclass.

    Args:
        base: The base class, whose `__init__` gets `*args` and `**kwargs`.

    Returns:
        Function from the `__init__` to itself.

    Example:

    >>> class Line:
    ...     def __init__(self, color, **kwargs): ...
    >>> class DashedLine(Line):
    ...     @with_arguments_of(Line)
    ...     def __init__(self, *args, gap=1, **kwargs): ...
    >>> inspect.signature(DashedLine)
    <Signature (color, *, gap=1, **kwargs)>
    """

    def decorate(init):
        *inherited, rest = inspect.signature(base.__init__).parameters.values()
        own = [
            parameter
            for parameter in inspect.signature(init).parameters.values()
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        ]
        init.__signature__ = inspect.Signature([*inherited, *own, rest])
        return init

    return decorate
