"""What a reader may rely on: every module and public name explains itself, briefly."""

import ast
import io
import tokenize

MAX_CODE_LINES = 300
LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
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
    """How many lines of a module hold code: no docstrings, comments or blank lines."""
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in LAYOUT:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(getattr(node, "body", None), list) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                lines.difference_update(range(first.lineno, first.end_lineno + 1))
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


def test_only_code_counts_as_lines():
    source = '"""D.\n\nD."""\n\n# C.\ndef f(\n    x,\n):\n    """D."""\n    return x\n'
    assert code_lines(source) == 4


def test_missing_docstrings_are_seen():
    source = 'def a():\n  ...\ndef _b():\n  ...\nclass C:\n  ...\ndef d():\n  """D."""'
    assert undocumented(ast.parse(source)) == ["a", "C"]
