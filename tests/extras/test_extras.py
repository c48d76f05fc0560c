"""The pip line that names an extra is the one that works for this installation."""

import json
import shlex
import sys

import pytest

from keras_performer import extras

REVISION = "0123456789abcdef"


@pytest.fixture
def install(tmp_path, monkeypatch):
    """A function that makes an environment in which pip has installed the package."""
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site"), str(tmp_path / "tree")])

    def install(direct_url=None, folder="site/keras_performer-0.1.0.dist-info"):
        path = tmp_path / folder
        path.mkdir(parents=True)
        metadata = "Metadata-Version: 2.1\nName: keras-performer\nVersion: 0.1.0\n"
        if path.suffix == ".egg-info":
            (path / "PKG-INFO").write_text(metadata)
            return
        (path / "METADATA").write_text(metadata)
        (path / "RECORD").write_text("")
        if direct_url is not None:
            (path / "direct_url.json").write_text(json.dumps(direct_url))

    return install


@pytest.mark.parametrize(
    ("direct_url", "line"),
    [
        (None, "python -m pip install 'keras-performer[text]'"),
        (
            {"url": "file:///home/a%20b/kp", "dir_info": {"editable": True}},
            "python -m pip install -e '/home/a b/kp[text]'",
        ),
        (
            {"url": "file:///home/kp", "dir_info": {}},
            "python -m pip install '/home/kp[text]'",
        ),
        (
            {"url": "file:///tmp/kp-0.1.0-py3-none-any.whl", "archive_info": {}},
            (
                "python -m pip install "
                "'keras-performer[text] @ file:///tmp/kp-0.1.0-py3-none-any.whl'"
            ),
        ),
        (
            {
                "url": "https://example.org/kp.git",
                "vcs_info": {"vcs": "git", "commit_id": REVISION},
            },
            (
                "python -m pip install "
                f"'keras-performer[text] @ git+https://example.org/kp.git@{REVISION}'"
            ),
        ),
        (
            {
                "url": "https://example.org/all.git",
                "vcs_info": {"vcs": "git", "commit_id": REVISION},
                "subdirectory": "kp",
            },
            (
                "python -m pip install 'keras-performer[text] @ "
                f"git+https://example.org/all.git@{REVISION}#subdirectory=kp'"
            ),
        ),
    ],
    ids=["index", "editable", "folder", "wheel", "git", "subdirectory"],
)
def test_the_line_is_that_of_the_installation(install, direct_url, line):
    install(direct_url)
    assert extras.pip_line("text") == line


def test_the_metadata_of_a_source_tree_is_no_installation(install):
    install(folder="site/keras_performer.egg-info")
    direct_url = {"url": "file:///kp", "dir_info": {"editable": True}}
    install(direct_url, "tree/keras_performer-0.1.0.dist-info")
    assert extras.pip_line("text") == "python -m pip install -e '/kp[text]'"


def test_a_checkout_is_installed_where_nothing_is(install, tmp_path, monkeypatch):
    assert shlex.split(extras.pip_line("text,serving")) == [
        *("python", "-m", "pip", "install", "-e"),
        f"{extras.ROOT}[text,serving]",
    ]
    monkeypatch.setattr(extras, "ROOT", tmp_path)  # as copied to somewhere
    assert extras.pip_line("text") == "python -m pip install 'keras-performer[text]'"


def test_the_minor_version_of_tensorflow_stays(install, tmp_path):
    install()
    path = tmp_path / "site" / "tensorflow-2.20.1.dist-info"
    path.mkdir()
    (path / "METADATA").write_text("Name: tensorflow\nVersion: 2.20.1\n")
    expected = "python -m pip install 'keras-performer[text]' 'tensorflow==2.20.*'"
    assert extras.pip_line("text") == expected
