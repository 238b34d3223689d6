"""Functions run on symbols, statement by statement: what each returns on the rows that get there, put together."""

# ruff: noqa: N802 (ast.NodeVisitor looks for visit_Return and the like)

import ast
import functools
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType, ModuleType
from typing import Any

from snorkel.preprocess import LambdaPreprocessor

from weaklm.code import compiles_to, syntax
from weaklm.compiler.collections import Items, doubtful
from weaklm.compiler.constants import attribute, python
from weaklm.compiler.expressions import STEPS_LIMIT, Expressions, Run, varies
from weaklm.compiler.logic import choose
from weaklm.compiler.rows import Row
from weaklm.compiler.symbols import NOTHING, Symbol, Unsupported, kind_of, lift, strictly

_DEPTH_LIMIT = 8  # of functions that call functions
_FALLS = object()  # a block has ended without a return


def prepare(run: Run, row: Row, pre: Sequence[Any]) -> Row:
    """Return the example as preprocessors leave it."""
    for step in pre:
        if not isinstance(step, LambdaPreprocessor):
            raise Unsupported(f"the preprocessor {step.name} is no plain function")
        try:
            said = Frame(run, step._f, 1, writes=True).called([prepare(run, row, step._pre)], {})
        except Unsupported as error:
            raise Unsupported(f"the preprocessor {step.name}: {error.why}", error.inside) from error
        if said is not row:
            raise Unsupported(f"the preprocessor {step.name} returns something else than its example")
    return row


class Frame(Expressions):
    """One call of one function. Visiting a statement returns what the function returns there, or ``_FALLS``."""

    def __init__(self, run: Run, f: Any, depth: int = 0, *, writes: bool = False) -> None:
        super().__init__(run, f, depth)
        self._writes = writes  # to the example
        self._needs: list[Symbol] = []  # assigned by this statement, and null where Python fails
        self._branches = 0  # around this statement
        self._result: Callable[[Any], Any] = lambda value: value

    def called(self, args: Sequence[Any], kwargs: Mapping[str, Any], result: Callable[[Any], Any] | None = None) -> Any:
        """Return what the function returns for arguments, each return passed through ``result``."""
        f = self._f
        is_def = isinstance(f, FunctionType) and f.__name__ != "<lambda>"
        tree = syntax(f) if is_def else None
        if tree is None:
            raise Unsupported("it has no source as a function by def")
        if not compiles_to(tree, f):
            raise Unsupported("its source is no longer what runs")
        if f.__code__.co_flags & (inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR):
            raise Unsupported("it is a generator")
        if f.__code__.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS):
            raise Unsupported("it takes any number of arguments")
        bound = python(inspect.signature(f).bind, *args, **kwargs)
        bound.apply_defaults()
        self._env = dict(bound.arguments)
        self._result = result or self._result
        return self._block([*tree.body, ast.copy_location(ast.Return(None), tree.body[-1])])

    def inlined(self, function: Any, args: list[Any], kwargs: dict[str, Any], name: str) -> Any:
        """Return what a function with a source returns for arguments, which Python computes before."""
        inner = function.__wrapped__ if isinstance(function, functools._lru_cache_wrapper) else function
        if not isinstance(inner, FunctionType):
            raise Unsupported(f"a call of {name}")
        if self._depth >= _DEPTH_LIMIT:
            raise Unsupported(f"a call of {name}, {_DEPTH_LIMIT} functions deep")
        try:
            said = Frame(self._run, inner, self._depth + 1).called(args, kwargs)
        except Unsupported as error:  # the caller adds its line
            raise Unsupported(error.why, error.inside or inner.__name__) from error
        needs = [need for arg in (*args, *kwargs.values()) for need in doubtful(arg)]
        return strictly(lift(said), needs) if needs and said is not NOTHING else said

    # Statements

    def _block(self, statements: Sequence[ast.stmt]) -> Any:
        """Run statements; return what the function returns in them, or ``_FALLS``."""
        # What comes before the last return: an if that returns (its condition, and what), or values without which
        # Python does not get further, whether they are used or not.
        earlier: list[tuple[ast.stmt, Any, Any]] = []
        todo, said = list(statements), _FALLS
        while todo and said is _FALLS:
            node = todo.pop(0)
            if isinstance(node, ast.For):
                with self._at(node):
                    todo[:0] = self._unrolled(node)
            elif not isinstance(node, ast.If):
                said = self.visit(node)
            elif not isinstance(test := self._test(node.test), Symbol):
                todo[:0] = node.body if test else node.orelse
            elif any(isinstance(inner, ast.Return | ast.Raise) for inner in ast.walk(node)):
                earlier.append((node, test, self._branch([*node.body, *todo])[0]))
                todo[:0] = node.orelse
            else:
                with self._at(node):
                    self._merge(test, self._branch(node.body), self._branch(node.orelse))
            earlier += [(node, None, need) for need in self._taken_needs()]
        if said is _FALLS:
            self._needs = [need for _, _, need in earlier]
            return said
        for node, test, value in reversed(earlier):
            with self._at(node):
                said = self._needing(said, value) if test is None else choose(test, value, said)
        return said

    def _taken_needs(self) -> list[Symbol]:
        needs, self._needs = self._needs, []
        return needs

    def _needing(self, said: Any, need: Symbol) -> Any:
        if isinstance(said, Row):
            said.needs.append(need)
            return said
        return strictly(lift(said), [need]) if said is not NOTHING else said

    def _branch(self, statements: Sequence[ast.stmt]) -> tuple[Any, dict[str, Any], list[Symbol]]:
        """Return what statements return, the names as they leave them, and what they need, without a trace here."""
        before, self._env = self._env, dict(self._env)
        self._branches += 1
        said = self._block(statements)
        self._branches -= 1
        self._env, after = before, self._env
        return said, after, self._taken_needs()

    def _merge(self, test: Symbol, yes: tuple[Any, dict[str, Any], list[Symbol]], no: Any) -> None:
        """Take over the names of two branches; what only one of them has set, or of another type, is unknown."""
        self._env = {}
        for name in [name for name in yes[1] if name in no[1]]:
            try:
                a, b = yes[1][name], no[1][name]
                self._env[name] = a if a is b else choose(test, a, b)
            except Unsupported:  # it may never be asked for; if it is, the line there is the reason
                continue
        need = choose(test, strictly(lift(True), yes[2]), strictly(lift(True), no[2]))
        if not need.certain:
            self._needs.append(need)

    def _unrolled(self, node: ast.For) -> list[ast.stmt]:
        """Return the statements of a loop over constants, written out."""
        values = self.visit(node.iter)
        values = values.values() if isinstance(values, Items) else values
        if varies(values):
            raise Unsupported("a for loop over what differs from row to row")
        if node.orelse or any(isinstance(inner, ast.Break | ast.Continue) for inner in ast.walk(node)):
            raise Unsupported("a for loop with break, continue or else")
        statements: list[ast.stmt] = []
        for value in python(list, values):
            given = ast.copy_location(ast.Constant(value), node)
            statements += [ast.copy_location(ast.Assign([node.target], given), node), *node.body]
            if len(statements) > STEPS_LIMIT:
                raise Unsupported("too many steps for one expression")
        return statements

    def visit_Return(self, node: ast.Return) -> Any:
        """``return``."""
        return self._result(None if node.value is None else self.visit(node.value))

    def visit_Raise(self, _: ast.Raise) -> Any:
        """``raise``: nothing is known of the rows that get there."""
        return NOTHING

    def visit_Pass(self, _: ast.Pass) -> Any:
        """``pass``."""
        return _FALLS

    def visit_Expr(self, node: ast.Expr) -> Any:
        """A docstring."""
        if not isinstance(node.value, ast.Constant):
            raise Unsupported("a statement for its effect")
        return _FALLS

    def visit_Import(self, node: ast.Import) -> Any:
        """``import`` of what is imported already."""
        for alias in node.names:
            module = _module(alias.name)
            self._env[alias.asname or alias.name.partition(".")[0]] = (
                module if alias.asname else sys.modules[alias.name.partition(".")[0]]
            )
        return _FALLS

    def visit_ImportFrom(self, node: ast.ImportFrom) -> Any:
        """``from ... import`` of what is imported already."""
        for alias in node.names:
            self._env[alias.asname or alias.name] = attribute(_module(node.module or ""), alias.name)
        return _FALLS

    def visit_Assign(self, node: ast.Assign) -> Any:
        """``name = value``."""
        value = self.visit(node.value)
        for target in node.targets:
            self.assign(target, value)
        return _FALLS

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        """``name: type = value``."""
        if node.value is not None:
            self.assign(node.target, self.visit(node.value))
        return _FALLS

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        """``name += value``."""
        if not isinstance(node.target, ast.Name):
            raise Unsupported("an assignment to a part of something")
        before = self.visit(ast.copy_location(ast.Name(node.target.id, ast.Load()), node))
        if kind_of(before) in ("list", "set", "dict"):
            raise Unsupported("a collection that grows")
        self.assign(node.target, self._operated(node.op, before, self.visit(node.value)))
        return _FALLS

    def assign(self, target: ast.expr, value: Any) -> None:
        """Give a value to a name, its parts to several, or write it to the example."""
        if kind_of(value) == "iterator":
            raise Unsupported("an iterator that is kept")
        self._needs += doubtful(value)
        if isinstance(target, ast.Name):
            self._env[target.id] = value
        elif isinstance(target, ast.Tuple | ast.List):
            values = value.values() if isinstance(value, Items) else value
            if not isinstance(values, list | tuple) or len(values) != len(target.elts):
                raise Unsupported("an assignment that takes apart")
            for part, one in zip(target.elts, values, strict=True):
                self.assign(part, one)
        elif isinstance(target, ast.Attribute) and isinstance(row := self.visit(target.value), Row):
            if not self._writes or self._branches:
                raise Unsupported("an example that is written to")
            row.added[target.attr] = value
        else:
            raise Unsupported("an assignment to a part of something")


def _module(name: str) -> ModuleType:
    if name not in sys.modules:
        raise Unsupported("an import")
    return sys.modules[name]
