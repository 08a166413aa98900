"""What documents name exists: commands, options, settings, files, classes, links. Generated tables are the code's own."""

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
from workers.__main__ import workers

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "ansible/RUNBOOK.md"])
TEXTS = {path: path.read_text() for path in DOCUMENTS}
README = TEXTS[ROOT / "README.md"]
SETTINGS = TEXTS[ROOT / "docs/settings.md"]
ARCHITECTURE = TEXTS[ROOT / "docs/architecture.md"]
README_LINES_MAX = 150
PRODUCT = ("app", "workers", "admin")
FOLDERS = (*PRODUCT, "sql", "tests", "docs", "ansible", r"\.ci")
# A path: begins with a folder of ours; `*` stands for any name.
PATH = re.compile(rf"(?<![\w/.~:-])((?:{'|'.join(FOLDERS)})/[\w./*-]*[\w*/])")
COMMAND = re.compile(r"(kalshi-data|python -m workers)((?:[ =][\w./:{}…|-]+)*)")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"")

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def code_of(text):
    """Blocks between fences and spans between backticks, each a line."""
    blocks = re.findall(r"^\s*```\w*\n(.*?)^\s*```", text, re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^\s*```.*?^\s*```", "", text, flags=re.MULTILINE | re.DOTALL))
    return [line for block in blocks for line in block.splitlines()] + spans


def missing_words(group, words):
    """Return what a command line names that the command does not have."""
    command, missing, is_path = group, [], True
    for word in words:
        if word.startswith("--"):
            known = {option for parameter in command.params for option in parameter.opts} | {"--help", "--version"}
            if word.partition("=")[0] not in known:
                missing.append(word)
        elif is_path and isinstance(command, click.Group):
            found = command.get_command(click.Context(command), word)
            if found is None:
                return [*missing, word]
            command = found
        else:
            is_path = False
    return missing


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
    groups = {"kalshi-data": cli, "python -m workers": workers}
    named = [found for line in code_of(TEXTS[document]) for found in COMMAND.findall(line)]
    found = [f"{program}{words}" for program, words in named if missing_words(groups[program], words.split())]
    assert found == []


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
    known = set()
    for _, tree in sources(*PRODUCT):
        known |= {node.name for node in tree.body if hasattr(node, "name")}
        known |= {target.id for node in tree.body if hasattr(node, "targets") for target in node.targets if hasattr(target, "id")}
    text = TEXTS[ROOT / f"docs/{name}.md"]
    # The first column of the glossary's first table holds the words of another document.
    ours = "\n".join(line.partition(" | ")[2] if line.startswith("|") else line for line in text.splitlines())
    named = {found for found in re.findall(r"`([A-Z][a-z]+[A-Z]\w*)`", ours)}
    assert sorted(named - known) == []


def test_every_package_is_on_the_map():
    packages = {path.parent.relative_to(ROOT) for path, _ in sources(*PRODUCT) if path.name == "__init__.py"}
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
