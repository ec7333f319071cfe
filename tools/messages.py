"""Write docs/messages.md: every error message of the program, what it means, and what to do about it.

python -m tools.messages

The messages are found in the program's own text, where they are made. What a message about a file means is said by
the rule that makes it and by what the message allows instead; errors of Proxmox have their remedies in
``orchestrator/proxmox/errors.py``. For all others ``tools/remedies.yaml`` says it, and ``tests/unit/test_messages.py``
fails when one is missing there, or is there no more.
"""

from __future__ import annotations

import ast
import functools
import importlib
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from orchestrator.errors import OrchestratorError
from tools.source_texts import GAP, Module

REPOSITORY = Path(__file__).parents[1]
PAGE = REPOSITORY / "docs" / "messages.md"
REMEDIES = Path(__file__).parent / "remedies.yaml"
_FILES = ("yaml_reader", "subscriptions", "sites")
"""Packages that read files: what they refuse is said by ``orchestrator validate``."""

_BY_FILE = ("Finding", "Sentence", "Mistake", "Ambiguous", "Problem", "_no_line")
"""Calls that tell a mistake of a file: what was found, and what is allowed."""

_TELLING = ("fail", "_fail", "refused", "_refused", "not_started")
"""Functions whose first text ends a command, or refuses a change."""

_LISTS = ("problems", "_problems", "unread")
"""Lists of what went wrong, which reports show."""

_WRITE_IT = (
    "Write it as the message says; every key with an example: [subscription files](reference/subscription.md), \
[site files](reference/sites.md)."
)

_NOT_ERRORS = ("AssertionError", "AttributeError", "Exit", "Refusal", "ProblemsFound", "ValueError")
"""Raised, but shown to nobody, or told in another message. ValueErrors count where files are read."""


@dataclass(frozen=True, order=True)
class Message:
    """A message of the program.

    Attributes:
        text: its constant part; ``…`` is what differs.
        section: the heading of the page that it stands under.
        place: the module that makes it.
        means: what it means, where the program says so itself.
        remedy: what to do, where the program says so itself.
    """

    text: str
    section: str
    place: str
    means: str = field(default="", compare=False)
    remedy: str = field(default="", compare=False)


@dataclass(frozen=True)
class Remedy:
    """What people are told about a message besides its own words."""

    means: str
    remedy: str


def tidy(text: str) -> str:
    """A message as the page names it: on one line, each gap once, and without the name that it begins with."""
    text = re.sub(r"(?:…[ ,;]*)+(?=…)", "", " ".join(text.split()))
    return re.sub(r"^(?:… ?: )+", "", text).strip()


def _says_something(text: str) -> bool:
    return len(re.findall(r"[A-Za-z]{2,}", text.replace(GAP, " "))) >= 2


def _gives_reasons(function: ast.FunctionDef) -> bool:
    """Whether a function's type says that it gives reasons (:data:`orchestrator.errors.Reason`)."""
    return function.returns is not None and any(
        isinstance(part, ast.Name) and part.id == "Reason" for part in ast.walk(function.returns)
    )


def _called(node: ast.Call) -> str:
    return ast.unparse(node.func).rpartition(".")[2]


def _argument(node: ast.Call, place: int, *names: str) -> ast.expr | None:
    for keyword in node.keywords:
        if keyword.arg in names:
            return keyword.value
    return node.args[place] if len(node.args) > place else None


class Program:
    """All modules of the program, and the messages in them."""

    def __init__(self, folder: Path = REPOSITORY / "orchestrator") -> None:
        self.modules = [Module(path) for path in sorted(folder.rglob("*.py"))]
        self._folder = folder

    @functools.cached_property
    def exceptions(self) -> frozenset[str]:
        """Names of the program's classes of errors, and ValueError."""
        bases = {
            node.name: {ast.unparse(base).rpartition(".")[2] for base in node.bases}
            for module in self.modules
            for node in ast.walk(module.tree)
            if isinstance(node, ast.ClassDef)
        }
        known = {"Exception", "ValueError", "RuntimeError"}
        while fresh := {name for name, above in bases.items() if above & known} - known:
            known |= fresh
        return frozenset(known - {"Exception", "RuntimeError"})

    @functools.cached_property
    def kinds(self) -> dict[str, type[OrchestratorError]]:
        """The program's errors for people, by name."""
        for module in self.modules:
            if module.path.name != "__main__.py" and module.path.is_relative_to(REPOSITORY):
                importlib.import_module(".".join(module.path.relative_to(REPOSITORY).with_suffix("").parts))
        found: dict[str, type[OrchestratorError]] = {}
        above: list[type[OrchestratorError]] = [OrchestratorError]
        while above:
            kind = above.pop()
            found[kind.__name__] = kind
            above += kind.__subclasses__()
        return found

    @functools.cached_property
    def proxmox_errors(self) -> frozenset[str]:
        """Classes of errors that have their remedies themselves."""
        return frozenset(kind for kind, _, _ in proxmox_kinds())

    def messages(self) -> list[Message]:
        """Every message, once a section, sorted."""
        found: dict[tuple[str, str], Message] = {}
        for module in self.modules:
            for message in self._of(module):
                found.setdefault((message.section, message.text), message)
        return sorted(found.values(), key=lambda item: (item.section, _sort_key(item.text)))

    def _of(self, module: Module) -> Iterator[Message]:
        place = str(module.path.relative_to(self._folder.parent))
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call):
                for text, section, means, remedy in self._call(module, node):
                    if _says_something(tidy(text)):
                        yield Message(tidy(text), section, place, means, remedy)
            if isinstance(node, ast.FunctionDef) and _gives_reasons(node):
                for text in self._reasons(module, node):
                    yield Message(text, _section_of(module.package), place)
            if isinstance(node, ast.Tuple) and module.package == "yaml_reader":
                for text, allowed in self._pairs(module, node):
                    yield Message(
                        text, "Files", place, "The file does not have the expected format.", allowed
                    )

    @staticmethod
    def _pairs(module: Module, node: ast.Tuple) -> Iterator[tuple[str, str]]:
        """What was found and what is allowed, where both stand in a tuple: alone, or behind a place."""
        elements = node.elts if len(node.elts) == 2 else node.elts[1:3]
        if len(elements) != 2 or any(isinstance(item, ast.Tuple) for item in elements):
            return
        found, allowed = (list(map(tidy, module.texts(item))) for item in elements)
        remedy = " Or: ".join(text for text in dict.fromkeys(allowed) if _says_something(text))
        for text in found:
            if " " in text and _says_something(text):
                yield text, remedy or "What belongs there is under the line."

    @staticmethod
    def _reasons(module: Module, function: ast.FunctionDef) -> Iterator[str]:
        """What a function says that is there to say why something cannot be."""
        for node in ast.walk(function):
            if isinstance(node, ast.Return | ast.Yield) and node.value is not None:
                said = node.value.elts[-1] if isinstance(node.value, ast.Tuple) else node.value
                yield from (text for text in map(tidy, module.texts(said)) if _says_something(text))

    def _call(self, module: Module, node: ast.Call) -> Iterator[tuple[str, str, str, str]]:
        name = _called(node)
        if module.package == "doctor":
            yield from self._examined(module, node, name)
        elif name in _BY_FILE:
            yield from self._by_file(module, node, name)
        elif name == "Change":
            effect = _argument(node, 0, "effect")
            if effect is not None and ast.unparse(effect) in ("Effect.REFUSED", "Effect.UNABLE"):
                for text in module.texts(_argument(node, 99, "why")):
                    yield text, "Plans", "", ""
        elif name in _TELLING:
            section = {"guests": "Guests", "nightly": "Nights", "planning": "Plans"}.get(
                module.package, "Commands"
            )
            first = next((item for item in node.args if self._is_text(module, item)), None)
            for text in module.texts(first):
                yield text, section, "", ""
        elif name == "append" and ast.unparse(node.func).rpartition(".")[0].rpartition(".")[2] in _LISTS:
            for text in module.texts(node.args[0]):
                yield text, _section_of(module.package), "", ""
        elif name in self.exceptions and name not in _NOT_ERRORS:
            for text in module.texts(_argument(node, 0, "text")):
                yield text, _section_of(module.package), *self._of_kind(name)
        elif name in ("ValueError", "PydanticCustomError") and module.package in _FILES:
            for text in module.texts(node.args[1 if name == "PydanticCustomError" else 0]):
                yield text, "Files", "The value does not have the form that its key expects.", _WRITE_IT
        elif (
            module.package in ("applying", "guests") and (said := _argument(node, 99, "message")) is not None
        ):
            for text in module.texts(said):
                yield text, _section_of(module.package), "", ""

    def _of_kind(self, name: str) -> tuple[str, str]:
        """What an error's type says of all its messages: what they mean, and what to do."""
        kind = self.kinds.get(name)
        advice = kind.advice or kind.default_remedy if kind else ""
        return (_meaning(kind), advice) if kind and advice else ("", "")

    @staticmethod
    def _examined(module: Module, node: ast.Call, name: str) -> Iterator[tuple[str, str, str, str]]:
        """What an examination finds: subject, found, remedy."""
        kinds = {
            "warning": "It works, and not always or not all of it",
            "error": "Some command fails, or will",
        }
        if name not in kinds or len(node.args) != 3:
            return
        subject, found, remedies = (list(map(tidy, module.texts(item))) for item in node.args)
        remedy = " Or: ".join(text for text in dict.fromkeys(remedies) if _says_something(text))
        for text in found:
            yield (
                text,
                "Examination",
                f"{kinds[name]}{'' if subject[0] == GAP else f' ({subject[0]})'}.",
                remedy or "What the finding says under it.",
            )

    @staticmethod
    def _is_text(module: Module, node: ast.expr) -> bool:
        return any(_says_something(text) for text in module.texts(node))

    def _by_file(self, module: Module, node: ast.Call, name: str) -> Iterator[tuple[str, str, str, str]]:
        first = {"Ambiguous": 0, "Problem": 5}.get(name, 1)
        allowed = [tidy(text) for text in module.texts(_argument(node, first + 1, "allowed"))]
        remedy = " Or: ".join(text for text in dict.fromkeys(allowed) if _says_something(text))
        for text in module.texts(_argument(node, first, "message")):
            means = (
                module.rule_around(node)
                if name == "Finding"
                else "The file does not have the expected format."
            )
            yield (
                text.replace("{}", GAP),
                "Files",
                means,
                remedy or "What belongs there is under the line.",
            )


def _section_of(package: str) -> str:
    return {
        "applying": "Changes", "contract": "Plans", "guests": "Guests", "history": "History", "nightly": "Nights",
        "planning": "Plans", "proxmox": "Proxmox", "resources": "Plans", "sites": "Secrets",
    }.get(package, "Commands")  # fmt: skip


def _sort_key(text: str) -> str:
    return re.sub(r"[^a-z0-9 ]", "", text.lower()).strip()


def proxmox_kinds() -> list[tuple[str, str, str]]:
    """Each class of Proxmox's errors: its name, what it means, what to do."""
    from orchestrator.proxmox import errors

    return [
        (name, _meaning(kind), kind.default_remedy or "Read the log of the task that the message names.")
        for name, kind in vars(errors).items()
        if isinstance(kind, type)
        and issubclass(kind, errors.ProxmoxError)
        and kind is not errors.ProxmoxError
    ]


def proxmox_rules() -> list[tuple[list[str], str, str]]:
    """What Proxmox may say: its words, what they mean, what to do. The first that fits counts."""
    from orchestrator.proxmox import errors

    found = []
    for rule in errors._RULES:
        kind = rule.kind
        remedy = re.sub(r"\{\w+\}", GAP, rule.remedy) or kind.default_remedy
        means = "Proxmox could not do it." if kind is errors.ServerError else _meaning(kind)
        found.append((_words(rule.pattern.pattern), means, remedy))
    return found


def _meaning(kind: type[Exception]) -> str:
    return (kind.__doc__ or "").split("\n", maxsplit=1)[0]


def _words(pattern: str) -> list[str]:
    """A pattern as people would search for it: each of its alternatives, with ``…`` for what differs."""
    text = pattern.replace(r"\(", "⟨").replace(r"\)", "⟩")
    text = re.sub(r"\[\^?[^\]]*\][+*]?|\\[wdSs][+*]?|\.\*", GAP, text)
    text = re.sub(r"\(\?P<\w+>[^()]*\)", GAP, text)
    while (fewer := re.sub(r"\(\?:[^()]*\)\?", "", text)) != text:
        text = fewer
    text = re.sub(r"\(\?:[^()]*\)", GAP, text)
    words = [
        re.sub(r"[ …]*…[ …]*(?=$)|…+", GAP, item)
        for item in text.replace("⟨", "(").replace("⟩", ")").split("|")
    ]
    return [" ".join(item.replace("\\", "").split()) for item in words]


@functools.cache
def messages_of_the_program() -> tuple[Message, ...]:
    """Every message of the program."""
    return tuple(Program().messages())


def remedies() -> dict[str, Remedy]:
    """What ``remedies.yaml`` says, by message."""
    content: dict[str, list[str]] = yaml.safe_load(REMEDIES.read_text(encoding="utf-8")) or {}
    return {text: Remedy(*said) for text, said in content.items()}


_SECTIONS = {
    "Files": "What `orchestrator validate` and every command that reads files says about a client's file or a "
    "site file. Each comes with its place, the line, and what is allowed; one run reports all errors of all files.",
    "Plans": "Refused changes (✗ in a plan): nothing is done to that machine. And saved plans "
    "that cannot be used. A line that begins with `refused: change:`, `restart:`, `retire:`, `erase:` or "
    "`outside-window:` is a risk of a plan that exceeds the safety limits: [safety](safety.md).",
    "Changes": "Why `apply`, a restore, a snapshot or an update stopped at one machine. The others continued; the "
    "next run of the same command finishes what was started.",
    "Guests": "What happened while connecting to a machine by SSH, or inside it.",
    "Nights": "Problems in the nightly report.",
    "Commands": "Why a command ended before, or instead of, doing what it was asked.",
    "Examination": "What `orchestrator doctor` finds, and how to fix it: [what it checks](doctor.md).",
    "Secrets": "Why a token's secret could not be read. No message contains any part of the secret.",
    "History": "Why the history could not be written or read. Without it nothing is changed.",
    "Proxmox": "Errors of the connection to Proxmox's API. All begin with the site and the call.",
}


def page() -> str:
    """The whole page."""
    told = remedies()
    messages = messages_of_the_program()
    parts = [
        "# Messages, and what to do\n",
        "<!-- Written by `make reference`, from the program and tools/remedies.yaml. -->\n",
        textwrap.dedent(
            """\
            Every error message of the program. Search for a part of yours that contains no names or values: `…` stands
            for what differs each time. Many begin with a client and a machine, or a site; that is left out here. Each
            message says what to do; this page adds why it occurs and what else helps. What happens after a fault in the
            middle of a change is in [faults](faults.md).
            """
        ),
    ]
    for section, about in _SECTIONS.items():
        parts.append(f"## {section}\n\n{about}\n")
        for message in messages:
            if message.section == section:
                said = told.get(message.text, Remedy(message.means, message.remedy))
                parts.append(_entry([message.text], said.means, said.remedy))
    parts.append("## What Proxmox itself says\n")
    parts.append(
        "Proxmox's own words, in an answer or at the end of a task's log, and how the orchestrator reads them. "
        "The first match counts.\n"
    )
    parts += [_entry(*rule) for rule in proxmox_rules()]
    parts.append("Everything else is one of these:\n")
    parts += [_entry([_plain(name)], means, remedy) for name, means, remedy in proxmox_kinds()]
    return "\n".join(parts)


def _plain(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


def _entry(texts: list[str], means: str, remedy: str) -> str:
    quoted = ", ".join(f"`` {text} ``" if "`" in text else f"`{text}`" for text in texts)
    done = f" **Do:** {_sentence(remedy)}" if remedy else ""
    return f"- {quoted}\\\n  {_sentence(means)}{done}\n"


def _sentence(text: str) -> str:
    text = text.strip()
    text = text[:1].upper() + text[1:] if not text.startswith(("`", "http")) else text
    text = re.sub(r"(?<=[\w}])<(?=\w)|<(?=\w)", "&lt;", text)
    return text if text.endswith((".", ":", "!", "?")) or not text else text + "."


def without_remedy() -> list[str]:
    """Messages of which nothing says what they mean and what to do."""
    told = remedies()
    return [
        message.text
        for message in messages_of_the_program()
        if not (message.means and message.remedy) and message.text not in told
    ]


def without_message() -> list[str]:
    """Remedies for messages that the program does not have any more."""
    return sorted(set(remedies()) - {message.text for message in messages_of_the_program()})


def main() -> None:
    """Write the page; name the messages that lack an entry in remedies.yaml, and entries without a message."""
    PAGE.write_text(page(), encoding="utf-8")
    lacking = [f"say in {REMEDIES.name}: {text}" for text in without_remedy()]
    gone = [f"take out of {REMEDIES.name}: {text}" for text in without_message()]
    if lacking or gone:
        raise SystemExit("\n".join([*lacking, *gone]))


if __name__ == "__main__":
    main()
