"""The pip line that brings an extra, by the way in which the package is installed."""

import importlib.metadata
import json
import pathlib
import shlex
import urllib.parse
import urllib.request

NAME = "keras-performer"
ROOT = pathlib.Path(__file__).parents[1]


def pip_line(extra: str) -> str:
    """Returns the command that adds an extra to this installation.

    | installed from | command |
    |---|---|
    | a checkout, also one that is used without being installed | `pip install -e` |
    | a folder, a wheel or a git address | `pip install` from there |
    | the package index | `pip install` by the name |

    pip itself records where a package comes from (`direct_url.json`, PEP 610). The
    line keeps the minor version of the installed TensorFlow, which the newest
    tensorflow-text would raise, and with it what models and servers run on.

    Args:
        extra: Name of the extra; several are separated by commas.

    Returns:
        The line, quoted for a shell, such as
        `python -m pip install 'keras-performer[text]' 'tensorflow==2.20.*'`.

    Example:

    >>> print(pip_line("text"))
    python -m pip install ...[text]...
    """
    # The metadata of a source tree has no record of installed files.
    installed = (
        found
        for found in importlib.metadata.distributions(name=NAME)
        if found.read_text("RECORD") is not None
    )
    distribution = next(installed, None)
    if distribution is not None:
        origin = distribution.read_text("direct_url.json")
        arguments = _arguments(json.loads(origin or "{}"), extra)
    elif (ROOT / "pyproject.toml").exists():
        arguments = ["-e", f"{ROOT}[{extra}]"]
    else:
        arguments = _arguments({}, extra)
    return shlex.join(["python", "-m", "pip", "install", *arguments, *_as_it_is()])


def _as_it_is() -> list[str]:
    """The requirement that TensorFlow's minor version stays, where it is installed."""
    try:
        version = importlib.metadata.version("tensorflow")
    except importlib.metadata.PackageNotFoundError:
        return []
    return [f"tensorflow=={'.'.join(version.split('.')[:2])}.*"]


def _arguments(origin: dict, extra: str) -> list[str]:
    """Arguments of `pip install`, from what `direct_url.json` holds."""
    if not origin:
        return [f"{NAME}[{extra}]"]
    url = origin["url"]
    if "dir_info" in origin:
        path = urllib.request.url2pathname(urllib.parse.urlsplit(url).path)
        editable = ["-e"] if origin["dir_info"].get("editable") else []
        return [*editable, f"{path}[{extra}]"]
    if "vcs_info" in origin:
        version_control = origin["vcs_info"]
        url = f"{version_control['vcs']}+{url}@{version_control['commit_id']}"
    if "subdirectory" in origin:
        url += f"#subdirectory={origin['subdirectory']}"
    return [f"{NAME}[{extra}] @ {url}"]
