"""Results of a benchmark, kept as JSON after each point, so that a rerun goes on."""

import json
import sys


def start(path, of_command, **empty):
    """Returns what was measured before by the same command, or the empty results.

    Args:
        path: JSON file of the results.
        of_command: Dictionary of what figures depend on: the processor, the arguments.
        **empty: What results begin with beside it.

    Returns:
        Dictionary.
    """
    if not path.exists():
        return {**of_command, **empty}
    results = json.loads(path.read_text(encoding="utf-8"))
    differing = [name for name, x in of_command.items() if results.get(name) != x]
    if differing:
        sys.exit(
            f"{path} holds figures of another command, version or machine: it differs "
            f"in {', '.join(differing)}. Remove it, or name another file with --output."
        )
    return results


def write(path, results):
    """Writes JSON under a temporary name and renames it."""
    temporary = path.with_name(f"{path.name}.writing")
    temporary.write_text(f"{json.dumps(results, indent=1)}\n", encoding="utf-8")
    temporary.replace(path)
