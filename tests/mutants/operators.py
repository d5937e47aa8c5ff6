"""Mutants of a source file: poodle's operators, and those for checks and calls that it has not."""

import ast
import copy
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from poodle.data_types import FileMutation, Mutator
from poodle.mutators import (
    AugAssignMutator,
    BinaryOperationMutator,
    ComparisonMutator,
    KeywordMutator,
    LambdaReturnMutator,
    NumberMutator,
    UnaryOperationMutator,
)

Span = tuple[int, int, int, int]
Scope = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Mutant:
    """One change of one file. `lines`: of the statement it is in; `where`, `was` and `now` outlive moves of lines."""

    path: Path
    where: str
    was: str
    now: str
    lines: range
    names: tuple[str, ...]
    """What it declares outside functions; empty in a function's body."""
    source: str

    @property
    def key(self) -> tuple[str, str, str]:
        return self.where, self.was, self.now

    @property
    def module(self) -> str:
        return ".".join(self.path.with_suffix("").parts)

    @property
    def is_declaration(self) -> bool:
        return bool(self.names)


class _Ours(ast.NodeVisitor, Mutator):  # type: ignore[misc]
    """Collects what its `visit_...` methods find."""

    def create_mutations(self, parsed_ast: ast.Module, *_: Any, **__: Any) -> list[FileMutation]:
        self.mutants: list[FileMutation] = []
        self.visit(parsed_ast)
        return self.mutants

    def put(self, node: ast.AST, *texts: str) -> None:
        self.mutants += [self.create_file_mutation(node, text) for text in texts]


class CheckMutator(_Ours):
    """Checks that always or never hold, and conditions without one of their parts."""

    def visit_If(self, node: ast.If | ast.IfExp) -> None:
        self.put(node.test, "True", "False")
        self.generic_visit(node)

    visit_IfExp = visit_If  # noqa: N815 - the name that `ast` calls

    def visit_While(self, node: ast.While) -> None:
        self.put(node.test, "False")
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self.put(test, "True", "False")
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        for dropped in node.values:
            kept = [value for value in node.values if value is not dropped]
            self.put(node, ast.unparse(kept[0] if len(kept) == 1 else ast.BoolOp(node.op, kept)))
        self.generic_visit(node)


class RemovalMutator(_Ours):
    """Statements that are left out, calls without one of their keywords. Constructors need theirs, mostly."""

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant | ast.Yield):
            self.put(node, "pass")
        self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise | ast.Delete | ast.AugAssign) -> None:
        self.put(node, "pass")
        self.generic_visit(node)

    visit_Delete = visit_AugAssign = visit_Raise  # noqa: N815

    def visit_Assign(self, node: ast.Assign) -> None:
        if any(isinstance(target, ast.Attribute | ast.Subscript) for target in node.targets):
            self.put(node, "pass")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if not ast.unparse(node.func).rpartition(".")[2][0].isupper():
            for dropped in node.keywords:
                kept = [keyword for keyword in node.keywords if keyword is not dropped]
                self.put(node, ast.unparse(ast.Call(node.func, node.args, kept)))
        self.generic_visit(node)


class ReturnMutator(_Ours):
    """Nothing instead of a result; both answers of a question."""

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        is_question = node.returns is not None and ast.unparse(node.returns) == "bool"
        for statement in ast.walk(node):
            if isinstance(statement, ast.Return):
                self._give_back(statement, is_question)
        self.generic_visit(node)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def _give_back(self, statement: ast.Return, is_question: bool) -> None:
        if is_question:
            self.put(statement, "return True", "return False")
        else:
            self.put(statement, "pass" if statement.value is None else "return None")


OPERATORS: Final[tuple[type[Any], ...]] = (
    AugAssignMutator,
    BinaryOperationMutator,
    CheckMutator,
    ComparisonMutator,
    KeywordMutator,
    LambdaReturnMutator,
    NumberMutator,
    RemovalMutator,
    ReturnMutator,
    UnaryOperationMutator,
)


def mutants_of(path: Path) -> list[Mutant]:
    """Those that compile, are no other's copy, and change what runs: no annotation, decorator, base or text."""
    return SourceFile(path).mutants()


class SourceFile:
    """A file and where its scopes and statements lie."""

    def __init__(self, path: Path) -> None:
        self._path, self._text = path, path.read_text()
        self._bytes, self._tree = self._text.encode(), ast.parse(self._text)
        self._starts = [0, *itertools.accumulate(map(len, self._bytes.splitlines(keepends=True)))]
        nodes = list(ast.walk(self._tree))
        self._spared = [_span(node) for node in _spared(nodes)]
        self._scopes = [node for node in nodes if isinstance(node, Scope)]
        self._statements = [node for node in nodes if isinstance(node, ast.stmt)]

    def mutants(self) -> list[Mutant]:
        found: dict[str, Mutant] = {}
        for operator in OPERATORS:
            mutator = operator(config=SimpleNamespace(mutator_opts={}), echo=print)
            changes = mutator.create_mutations(copy.deepcopy(self._tree), self._text.splitlines())
            for mutant in map(self._mutant, filter(self._is_wanted, changes)):
                if _compiles(mutant.source):
                    found.setdefault(_without_form(mutant.source), mutant)
        found.pop(_without_form(self._text), None)
        return sorted(found.values(), key=lambda mutant: (mutant.lines.start, mutant.was, mutant.now))

    def _is_wanted(self, change: FileMutation) -> bool:
        return not any(_is_in(_place(change), span) for span in self._spared)

    def _mutant(self, change: FileMutation) -> Mutant:
        place = _place(change)
        start, end = self._starts[place[0] - 1] + place[1], self._starts[place[2] - 1] + place[3]
        scopes = [scope for scope in self._scopes if _is_in(place, _span(scope))]
        statement = max((node for node in self._statements if _is_in(place, _span(node))), key=_span)
        return Mutant(
            path=self._path,
            where=f"{self._path}:{'.'.join(scope.name for scope in scopes)}",
            was=" ".join(self._bytes[start:end].decode().split()),
            now=" ".join(change.text.split()),
            lines=range(statement.lineno, _end_of_head(statement) + 1),
            names=() if any(_is_body(scope, place) for scope in scopes) else _names(statement),
            source=(self._bytes[:start] + change.text.encode() + self._bytes[end:]).decode(),
        )


def _spared(nodes: list[ast.AST]) -> Iterator[ast.AST]:
    arguments = {id(argument) for node in nodes if isinstance(node, ast.Call) for argument in node.args}
    arguments |= {id(node.value) for node in nodes if isinstance(node, ast.keyword)}
    for node in nodes:
        match node:
            case ast.JoinedStr() | ast.Import() | ast.ImportFrom():
                yield node
            case ast.Constant(value=None) if id(node) not in arguments:
                yield node
            case ast.Call(func=ast.Name(id="NewType" | "TypeVar")):
                yield node
            case ast.AnnAssign(annotation=annotation) | ast.arg(annotation=ast.AST() as annotation):
                yield annotation
            case ast.ClassDef(bases=bases, decorator_list=decorators):
                yield from [*bases, *decorators]
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield from [*node.decorator_list, *([node.returns] if node.returns else [])]


def _place(change: FileMutation) -> Span:
    return change.lineno, change.col_offset, change.end_lineno, change.end_col_offset


def _span(node: Any) -> Span:
    return node.lineno, node.col_offset, node.end_lineno, node.end_col_offset


def _is_in(place: Span, span: Span) -> bool:
    return span[:2] <= place[:2] and place[2:] <= span[2:]


def _is_body(scope: Scope, place: Span) -> bool:
    return not isinstance(scope, ast.ClassDef) and place[0] >= scope.body[0].lineno


def _end_of_head(statement: ast.stmt) -> int:
    """Of a statement with a body only what stands before it."""
    body = getattr(statement, "body", None)
    return max(statement.lineno, body[0].lineno - 1) if body else statement.end_lineno or statement.lineno


def _names(statement: ast.stmt) -> tuple[str, ...]:
    """What a statement outside functions declares."""
    stored = [node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    return tuple(stored) or (getattr(statement, "name", ""),)


def _without_form(source: str) -> str:
    return re.sub(r"\s|,(?=\s*[)\]}])", "", source.replace('"', "'"))


def _compiles(source: str) -> bool:
    try:
        compile(source, "", "exec")
    except SyntaxError:
        return False
    return True
