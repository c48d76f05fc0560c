"""The flags of each command, which know nothing that takes seconds to import."""
