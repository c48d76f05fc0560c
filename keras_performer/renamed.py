"""Old public names and registered names, which go on working after a change."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import keras

Class = TypeVar("Class", bound=type)


def renamed_attributes(
    module_name: str, module: dict[str, Any], names: Mapping[str, str]
) -> Callable[[str], Any]:
    """A module's `__getattr__` (PEP 562) that answers to old names, with a warning.

    Args:
        module_name: Name of the module.
        module: Its `globals()`, which have the new names.
        names: Dictionary from each old name to the new one.

    Returns:
        Function of a name.

    Example:

    >>> import warnings
    >>> getattr_ = renamed_attributes("m", {"New": int}, {"Old": "New"})
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     value = getattr_("Old")
    >>> value, str(caught[0].message)
    (<class 'int'>, '`m.Old` is now called `m.New`.')
    """

    def __getattr__(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module_name!r} has no attribute {name!r}")
        warnings.warn(
            f"`{module_name}.{name}` is now called `{module_name}.{names[name]}`.",
            DeprecationWarning,
            stacklevel=2,
        )
        return module[names[name]]

    return __getattr__


def also_registered_as(name: str) -> Callable[[Class], Class]:
    """Class decorator: files that name the class by an old name go on loading.

    An old name is loaded as a subclass called so: Keras finds the weights of a layer
    inside of a model under the name of its class.

    Args:
        name: The old name, without the package.

    Returns:
        Function from the class to itself.

    Example:

    >>> @also_registered_as("Predecessor")
    ... class Successor(keras.layers.Layer):
    ...     pass
    >>> old = keras.saving.get_registered_object("keras_performer>Predecessor")
    >>> old.__name__, issubclass(old, Successor)
    ('Predecessor', True)
    >>> del keras.saving.get_custom_objects()["keras_performer>Predecessor"]
    """

    def register(cls: Class) -> Class:
        attributes = {"__module__": cls.__module__, "__doc__": cls.__doc__}
        old = type(name, (cls,), attributes)
        keras.saving.register_keras_serializable(package="keras_performer")(old)
        return cls

    return register
