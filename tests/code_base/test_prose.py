"""Docstrings and comments are plain technical English: sentences that begin with a verb, in the words of the trade."""

import ast
import io
import re
import tokenize

from tests.code_base.sources import ROOT, sources

PRODUCT = ("app", "workers", "admin", "kalshi_data")
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
FRAGMENT_STARTS = frozenset(
    [
        "all",
        "also",
        "as",
        "because",
        "by",
        "each",
        "else",
        "every",
        "everything",
        "for",
        "from",
        "how",
        "if",
        "in",
        "like",
        "none",
        "not",
        "of",
        "on",
        "only",
        "or",
        "others",
        "so",
        "that",
        "those",
        "to",
        "until",
        "up",
        "what",
        "when",
        "where",
        "whether",
        "which",
        "who",
        "whoever",
        "whose",
        "with",
        "without",
    ]
)
# Words of no trade, for which it has plainer ones: received, reported, recreated, contains.
DIALECT = re.compile(
    r"\b(whoever|nobody|anew|told|tells?|hears?|heard|stands|says|said|such|those|so long|so many|of which|of late|"
    r"for ever|all the same|now and then|lets? go)\b",
    re.IGNORECASE,
)
MOST_FRAGMENTS_PERCENT = 5
MOST_DIALECT_WORDS_PER_1000 = 3


def docstrings(tree, kinds):
    return [text for node in ast.walk(tree) if isinstance(node, kinds) and (text := ast.get_docstring(node))]


def comments(path):
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
    return [token.string for token in tokens if token.type == tokenize.COMMENT]


def begins_as_fragment(text):
    return text.split()[0].lower().rstrip(".,;:") in FRAGMENT_STARTS


def test_docstrings_of_functions_are_sentences_and_no_fragments():
    found = [(path, text) for path, tree in sources(*PRODUCT) for text in docstrings(tree, FUNCTIONS)]
    fragments = [(str(path.relative_to(ROOT)), text.split("\n")[0]) for path, text in found if begins_as_fragment(text)]
    assert 100 * len(fragments) <= MOST_FRAGMENTS_PERCENT * len(found), fragments


def test_docstrings_and_comments_are_in_the_words_of_the_trade():
    words, dialect = 0, []
    for path, tree in sources(*PRODUCT):
        for text in (*docstrings(tree, (ast.Module, ast.ClassDef, *FUNCTIONS)), *comments(path)):
            words += len(text.split())
            dialect += [(str(path.relative_to(ROOT)), word) for word in DIALECT.findall(text)]
    assert 1_000 * len(dialect) <= MOST_DIALECT_WORDS_PER_1000 * words, dialect
