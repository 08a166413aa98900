"""What documents name exists: commands, options, settings, files, classes, links. Generated tables are the code's own."""

import ast
import importlib.util
import re
import subprocess
from pathlib import Path

import click
import pytest

from app.cli import cli
from app.documentation import settings_table, with_settings_table
from app.settings.loading import FILE_SUFFIX, known_settings
from tests.code_base.sources import ROOT, sources
from tests.processes import environment

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "ansible/RUNBOOK.md"])
TEXTS = {path: path.read_text() for path in DOCUMENTS}
README = TEXTS[ROOT / "README.md"]
SETTINGS = TEXTS[ROOT / "docs/settings.md"]
ARCHITECTURE = TEXTS[ROOT / "docs/architecture.md"]
OPERATIONS = TEXTS[ROOT / "docs/operations.md"]
README_LINES_MAX = 150
PRODUCT = ("app", "workers", "admin", "kalshi_data")
FOLDERS = (*PRODUCT, "sql", "tests", "docs", "ansible", r"\.ci")
# A path: begins with a folder of ours; `*` stands for any name.
PATH = re.compile(rf"(?<![\w/.~:-])((?:{'|'.join(FOLDERS)})/[\w./*-]*[\w*/])")
COMMAND = re.compile(r"kalshi-data((?:[ =][\w./:{}…|-]+)*)")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"")

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def code_of(text):
    """Blocks between fences and spans between backticks, each a line."""
    blocks = re.findall(r"^\s*```\w*\n(.*?)^\s*```", text, re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^\s*```.*?^\s*```", "", text, flags=re.MULTILINE | re.DOTALL))
    return [line for block in blocks for line in block.splitlines()] + spans


def missing_words(command, words):
    """Return what a command line names that the command does not have."""
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        if word.startswith("--"):
            options = {name: parameter for parameter in command.params for name in parameter.opts}
            if word not in {*options, "--help", "--version"}:
                return [word]
            if word in options and not getattr(options[word], "is_flag", True):
                waiting = waiting[1:]
        elif isinstance(command, click.Group):
            command = command.get_command(click.Context(command), word)
            if command is None:
                return [word]
    return []


def anchors_of(text):
    """Headings as GitHub links to them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def is_there(name, document):
    return any(name.rstrip("/") and list(folder.glob(name.rstrip("/"))) for folder in (ROOT, document.parent))


def is_broken(link, document):
    target, _, anchor = link.partition("#")
    path = (document.parent / target).resolve() if target else document
    return not path.exists() or bool(anchor and path.suffix == ".md" and anchor not in anchors_of(path.read_text()))


def targets_in(text):
    return {found for line in code_of(text) for found in re.findall(r"^make ([a-z][a-z-]*)", line)}


def test_the_settings_table_is_the_code_s_own():
    assert with_settings_table(SETTINGS) == SETTINGS, "run: make docs"
    assert settings_table() in SETTINGS


@each_document
def test_every_setting_it_names_exists(document):
    known = {setting.variable for setting in known_settings()}
    known |= {setting.variable + FILE_SUFFIX for setting in known_settings() if setting.is_secret}
    assert set(re.findall(r"\bKALSHI_[A-Z0-9_]*[A-Z0-9]\b", TEXTS[document])) - known == set()


@each_document
def test_every_command_it_names_exists(document):
    named = [words for line in code_of(TEXTS[document]) for words in COMMAND.findall(line)]
    assert [f"kalshi-data{words}" for words in named if missing_words(cli, words.split())] == []


@each_document
def test_every_process_it_names_exists(document):
    # Read and not imported: the entry module patches the interpreter for gevent.
    known = re.findall(
        r"^@workers\.command\(\)(?:\n@.*)*\ndef (\w+)", (ROOT / "workers/__main__.py").read_text(), re.MULTILINE
    )
    assert known
    assert set(re.findall(r"python -m workers ([a-z]+)", TEXTS[document])) <= set(known)


@each_document
def test_every_module_it_runs_exists(document):
    named = set(re.findall(r"python -m ([a-z_.]+)", TEXTS[document]))
    assert [name for name in sorted(named) if importlib.util.find_spec(name) is None] == []


@pytest.mark.parametrize("target", sorted({found for text in TEXTS.values() for found in targets_in(text)}))
def test_every_make_target_they_name_exists(target):
    done = subprocess.run(["make", "--dry-run", target], cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@each_document
def test_every_file_it_names_exists(document):
    named = {found for line in code_of(TEXTS[document]) for found in PATH.findall(line)}
    assert [name for name in sorted(named) if not is_there(name, document)] == []


@each_document
def test_every_link_leads_somewhere(document):
    links = {link or picture for link, picture in LINK.findall(TEXTS[document])}
    inner = [link for link in sorted(links) if not re.match(r"[a-z]+:", link)]
    assert [link for link in inner if is_broken(link, document)] == []


@pytest.mark.parametrize("name", ["architecture", "glossary"])
def test_every_class_they_name_exists(name):
    code = "\n".join(path.read_text() for folder in PRODUCT for path in (ROOT / folder).rglob("*.py"))
    known = set(re.findall(r"^(?:class |def )?(\w+)[(: ]", code, re.MULTILINE))
    text = TEXTS[ROOT / f"docs/{name}.md"]
    # The first column of the glossary's first table holds the words of another document.
    ours = "\n".join(line.partition(" | ")[2] if line.startswith("|") else line for line in text.splitlines())
    named = set(re.findall(r"`([A-Z][a-z]+[A-Z]\w*)`", ours))
    assert sorted(named - known) == []


def logged(*levels):
    """Return the messages that the product logs at these levels; the simulator's and the demo's are nobody's to operate."""
    calls = [
        call
        for path, tree in sources(*PRODUCT)
        if path.relative_to(ROOT).parts[:2] not in {("app", "simulator"), ("app", "demo")}
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in levels
    ]
    loggers = {"log", "requests_log"}
    named = [call.args[0] for call in calls if getattr(call.func.value, "id", "") in loggers]
    return {message.value for message in named if isinstance(message, ast.Constant)}


def test_every_warning_and_error_is_explained_to_the_operator():
    section = OPERATIONS[OPERATIONS.index("### Warnings and errors") : OPERATIONS.index("## Ops port")]
    cells = re.findall(r"^\| (`[^|]+`) \|", section, re.MULTILINE)
    explained = [message for cell in cells for message in re.findall(r"`([^`]+)`", cell)]
    assert len(explained) == len(set(explained))
    assert set(explained) == logged("warning", "error", "exception", "critical")


def test_every_package_is_on_the_map():
    packages = {path.parent.relative_to(ROOT) for folder in PRODUCT for path in (ROOT / folder).rglob("__init__.py")}
    mapped = {Path(folder) for folder in re.findall(r"^\| `([a-z_/]+)/` \|", ARCHITECTURE, re.MULTILINE)}
    outer = {Path(folder) for folder in PRODUCT}
    inner = {package for package in packages if package in outer or not any(part in mapped for part in package.parents)}
    assert sorted(map(str, inner - mapped - outer)) == []


def test_every_document_can_be_reached_from_the_readme():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        document = waiting.pop()
        reached.add(document)
        for link, _ in LINK.findall(TEXTS.get(document, "")):
            path = (document.parent / link.partition("#")[0]).resolve()
            if path in TEXTS and path not in reached:
                waiting.append(path)
    assert [str(path.relative_to(ROOT)) for path in DOCUMENTS if path not in reached] == []


def test_the_readme_is_short():
    assert len(README.splitlines()) <= README_LINES_MAX


def test_what_it_is_comes_within_one_screen_before_the_first_command():
    assert README[: README.index("```bash")].count("\n") < 35


def test_it_says_what_the_operator_has_to_keep_to():
    assert "developer agreement" in README
    assert "No licence has been chosen yet" in README
