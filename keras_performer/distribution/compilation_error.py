"""`CompilationError`: a step that does not compile, with the compiler's message."""


class CompilationError(RuntimeError):
    """Raised when a step does not compile.

    Args:
        message: The message of the compiler.
    """

    @property
    def out_of_memory(self) -> bool:
        """Whether the step needs more memory than the chip has."""
        message = str(self)
        return message.startswith("RESOURCE_EXHAUSTED") and "hbm" in message.lower()
