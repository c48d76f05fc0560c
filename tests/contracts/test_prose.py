"""What a reader may rely on: every module and public name explains itself, briefly."""

import ast
import io
import tokenize

# Of code alone: what explains it shall not push a concept out of its file.
# A layer with the arguments of Keras's has a hundred lines of these alone.
MAX_CODE_LINES = 325
NOT_CODE = {
    tokenize.COMMENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
    tokenize.INDENT,
    tokenize.NEWLINE,
    tokenize.NL,
}


def undocumented(tree):
    """The public functions and classes at the top of a module without a docstring."""
    return [
        node.name
        for node in tree.body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]


def code_lines(source):
    """The number of lines with code: no docstrings, comments or blank lines."""
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NOT_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, kinds) and ast.get_docstring(node) is not None:
            docstring = node.body[0]
            lines -= set(range(docstring.lineno, docstring.end_lineno + 1))
    return len(lines)


def first_line(docstring):
    return (docstring or "").split("\n")[0].strip()


def test_the_first_line_says_what_the_module_is(module):
    line = first_line(ast.get_docstring(module.tree, clean=False))
    assert line, f"{module.path}: the first line is to be a docstring"
    assert module.source.startswith('"""'), f"{module.path}: the docstring comes first"
    assert line.endswith("."), f"{module.path}: the first line is to be one sentence"


def test_public_names_have_docstrings(module):
    assert undocumented(module.tree) == []


def test_files_are_short(module):
    lines = code_lines(module.source)
    assert lines <= MAX_CODE_LINES, f"{module.path} has {lines} lines of code: split it"


def test_missing_docstrings_are_seen():
    source = 'def a():\n  ...\ndef _b():\n  ...\nclass C:\n  ...\ndef d():\n  """D."""'
    assert undocumented(ast.parse(source)) == ["a", "C"]


def test_lines_of_code_are_counted():
    source = '''"""A module.

With a second paragraph.
"""

# A comment.
x = 1  # code, with a comment


def f(a):
    """Docstring."""
    text = """a string,

    not a docstring"""
    "nor is this"
    return (
        a
        # a comment
        + text
    )
'''
    assert code_lines(source) == 1 + 1 + 3 + 1 + 4
