"""Expressions run on symbols: names, parts, operators, comprehensions and calls."""

import ast
import builtins
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from typing import Any

from weaklm.compiler.collections import Characters, Items, truth_of
from weaklm.compiler.constants import attribute, is_hashable, is_plain, is_pure, python
from weaklm.compiler.guards import ALPHABET
from weaklm.compiler.lists import as_set, item_of, mapped
from weaklm.compiler.logic import both, choose, compare, either, identical, is_in, is_one_of, negate
from weaklm.compiler.rows import Row
from weaklm.compiler.symbols import Symbol, Unsupported, described, kind_of
from weaklm.compiler.tables import FUNCTIONS, method_of, operated, translated
from weaklm.compiler.texts import item_at, slice_of

STEPS_LIMIT = 20_000  # syntax nodes run, loops over constants included


_MISSING = object()  # no local name
_UNSET = object()  # a name of a loop that has not begun


class Run:
    """What the functions that call each other share."""

    def __init__(self) -> None:
        self.steps = 0


class _Located(Unsupported):
    """The message says in which line, or in which other function."""


_NAMES: dict[type[ast.AST], str] = {
    ast.While: "a while loop",
    ast.Try: "try",
    ast.With: "with",
    ast.Lambda: "a lambda",
    ast.FunctionDef: "a function in the function",
    ast.ClassDef: "a class in the function",
    ast.Global: "a global variable that the function sets",
    ast.Nonlocal: "an outer variable that the function sets",
    ast.Delete: "del",
    ast.DictComp: "a dictionary of the row",
    ast.Starred: "a starred argument",
    ast.Match: "match",
}


_CONSUMERS = frozenset((any, all, sum, min, max, list, tuple, set, frozenset, sorted))


class Expressions(ast.NodeVisitor):
    """The names of one call of a function, and what its expressions make of them.

    Visiting an expression returns its value: ``Symbol``, ``Items``, ``Characters`` or ``Row`` where it differs from row
    to row, else the Python object.
    """

    def __init__(self, run: Run, f: Any, depth: int) -> None:
        self._run, self._f, self._depth = run, f, depth
        self._env: dict[str, Any] = {}
        self._conditions = 0  # around this expression, so that it may not be computed

    def assign(self, target: ast.expr, value: Any) -> None:
        """Give a value to a name, or its parts to several."""
        raise NotImplementedError

    def inlined(self, function: Any, args: list[Any], kwargs: dict[str, Any], name: str) -> Any:
        """Return what a function with a source returns for arguments."""
        raise NotImplementedError

    # Where

    @contextmanager
    def _at(self, node: ast.AST) -> Iterator[None]:
        """Add the line of a node to the reason why it cannot be compiled."""
        try:
            yield
        except _Located:
            raise
        except Unsupported as error:
            if self._depth:
                raise _Located(error.why, error.inside or self._f.__name__) from error
            line = getattr(node, "lineno", 1) + self._f.__code__.co_firstlineno - 1
            raise _Located(f"line {line}: {error}") from error

    def visit(self, node: ast.AST) -> Any:
        """Return the value of an expression, or what a statement returns."""
        self._run.steps += 1
        with self._at(node):
            if self._run.steps > STEPS_LIMIT:
                raise Unsupported("too many steps for one expression")
            return super().visit(node)

    def generic_visit(self, node: ast.AST) -> Any:
        """Refuse what has no method here."""
        raise Unsupported(_NAMES.get(type(node), type(node).__name__))

    # Names and parts

    def visit_Constant(self, node: ast.Constant) -> Any:
        """A constant."""
        return node.value

    def visit_Name(self, node: ast.Name) -> Any:
        """A name: local, of an enclosing function, global or built in."""
        code = self._f.__code__
        value = self._env.get(node.id, _MISSING)
        if value is not _MISSING and value is not _UNSET:
            return value
        if value is _UNSET or node.id in (*code.co_varnames, *code.co_cellvars):
            raise Unsupported(f"{node.id}, which is not set, or not of one type, on every way to here")
        if node.id in code.co_freevars:
            return python(lambda: self._f.__closure__[code.co_freevars.index(node.id)].cell_contents)
        if node.id in self._f.__globals__:
            return self._f.__globals__[node.id]
        return python(getattr, builtins, node.id)

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        """``x.column`` or an attribute of a constant."""
        value = self.visit(node.value)
        if isinstance(value, Row):
            return value.column(node.attr)
        if varies(value):
            raise Unsupported(f".{node.attr} of {described(value)}")
        return attribute(value, node.attr)

    def visit_Subscript(self, node: ast.Subscript) -> Any:
        """``x["column"]``, an index or a slice."""
        value = self.visit(node.value)
        if isinstance(node.slice, ast.Slice):
            return self._sliced(value, node.slice)
        index = self.visit(node.slice)
        if isinstance(value, Row) and isinstance(index, str):
            return value.column(index)
        if isinstance(value, Symbol):
            return item_at(value, index)
        value = value.values() if isinstance(value, Items) else value
        if varies(value) or varies(index) or not is_plain(value):
            raise Unsupported("an index")
        return python(lambda: value[index])

    def _sliced(self, value: Any, node: ast.Slice) -> Any:
        start, stop, step = (None if part is None else self.visit(part) for part in (node.lower, node.upper, node.step))
        if isinstance(value, Symbol) and step is None:
            return slice_of(value, start, stop)
        if any(map(varies, (value, start, stop, step))) or not is_plain(value):
            raise Unsupported("a slice")
        return python(lambda: value[start:stop:step])

    def visit_NamedExpr(self, node: ast.NamedExpr) -> Any:
        """``name := value``."""
        if self._conditions:
            raise Unsupported("a name that is set on some rows only")
        self._env[node.target.id] = value = self.visit(node.value)
        return value

    def visit_JoinedStr(self, node: ast.JoinedStr) -> Any:
        """A text with others written into it."""
        return reduce(lambda a, b: operated(ast.Add(), a, b), map(self.visit, node.values), "")

    def visit_FormattedValue(self, node: ast.FormattedValue) -> Any:
        """A value written into a text."""
        value = self.visit(node.value)
        is_text = kind_of(value) == "str" and node.conversion in (-1, ord("s"))
        if node.format_spec is not None or not (is_text or type(value) in (int, float, bool)) or node.conversion > 0:
            raise Unsupported(f"{described(value)} written into a text")
        return value if is_text else format(value)

    # Operators

    def _test(self, node: ast.expr) -> Any:
        """Return the truth of an expression; of ``and`` and ``or``, without the values that they would give."""
        with self._at(node):
            if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
                return negate(self._test(node.operand))
            if not isinstance(node, ast.BoolOp):
                return _truth(self.visit(node))
            is_and = isinstance(node.op, ast.And)
            first = self._test(node.values[0])
            if not isinstance(first, Symbol) and first is not is_and:
                return first
            rest = self._conditional(self._test, _without_first(node))
            return (both if is_and else either)(first, rest)

    def visit_BoolOp(self, node: ast.BoolOp) -> Any:
        """``and`` and ``or``: one of the values."""
        is_and = isinstance(node.op, ast.And)
        first = self.visit(node.values[0])
        test = _truth(first)
        if not isinstance(test, Symbol):
            return self.visit(_without_first(node)) if test is is_and else first
        rest = self._conditional(self.visit, _without_first(node))
        if kind_of(first) == kind_of(rest) == "bool":
            return (both if is_and else either)(first, rest)
        return choose(test, rest, first) if is_and else choose(test, first, rest)

    def _conditional(self, visit: Callable[[Any], Any], node: ast.expr) -> Any:
        self._conditions += 1
        value = visit(node)
        self._conditions -= 1
        return value

    def visit_IfExp(self, node: ast.IfExp) -> Any:
        """``yes if test else no``."""
        test = self._test(node.test)
        if not isinstance(test, Symbol):
            return self.visit(node.body if test else node.orelse)
        return choose(test, self._conditional(self.visit, node.body), self._conditional(self.visit, node.orelse))

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Any:
        """``not a`` and ``-a``."""
        if isinstance(node.op, ast.Not):
            return self._test(node)
        return self._operated(node.op, self.visit(node.operand))

    def visit_BinOp(self, node: ast.BinOp) -> Any:
        """``a + b`` and the like."""
        return self._operated(node.op, self.visit(node.left), self.visit(node.right))

    def _operated(self, sign: ast.AST, *values: Any) -> Any:
        if any(isinstance(value, Row) for value in values):
            raise Unsupported(f"the operator {type(sign).__name__} on an example")
        return operated(sign, *values)

    def visit_Compare(self, node: ast.Compare) -> Any:
        """``a < b <= c``."""
        result: Any = True
        left = self.visit(node.left)
        for sign, part in zip(node.ops, node.comparators, strict=True):
            if result is False:
                break
            right = self.visit(part)
            result = both(result, _compared(sign, left, right))
            left = right
        return result

    # Collections

    def visit_Tuple(self, node: ast.Tuple) -> Any:
        """A tuple."""
        return self._collected(tuple, node.elts)

    def visit_List(self, node: ast.List) -> Any:
        """A list."""
        return self._collected(list, node.elts)

    def visit_Set(self, node: ast.Set) -> Any:
        """A set."""
        return self._collected(set, node.elts)

    def _collected(self, kind: Callable[[Any], Any], nodes: Sequence[ast.expr]) -> Any:
        values = [self.visit(node) for node in nodes]
        if not any(map(varies, values)):
            return python(kind, values)
        if kind is set:
            raise Unsupported("a set of columns")
        return Items(tuple((True, value) for value in values))

    def visit_Dict(self, node: ast.Dict) -> Any:
        """A dictionary of constants."""
        pairs = [
            (self.visit(key or value), self.visit(value)) for key, value in zip(node.keys, node.values, strict=True)
        ]
        if None in node.keys or any(varies(part) for pair in pairs for part in pair):
            raise Unsupported("a dictionary of the row")
        return python(dict, pairs)

    def visit_GeneratorExp(self, _: ast.GeneratorExp) -> Any:
        """A generator that no function takes apart at once: it could be used up."""
        raise Unsupported("a generator that is kept")

    def visit_ListComp(self, node: ast.ListComp) -> Any:
        """A list by a loop."""
        return self._comprehended(node)

    def visit_SetComp(self, node: ast.SetComp) -> Any:
        """A set by a loop."""
        values = self._comprehended(node)
        if isinstance(values, Items | Characters):
            raise Unsupported("a set of the row other than of words")
        return as_set(values) if isinstance(values, Symbol) else python(set, values)

    def _comprehended(self, node: Any, *, is_lazy: bool = False) -> Any:
        """Return a comprehension as constants, as items with conditions, or as the list that it makes of a list."""
        before, self._env = self._env, dict(self._env)
        self._conditions += 1
        first = node.generators[0]
        values = self.visit(first.iter)
        targets = (name for loop in node.generators for name in ast.walk(loop.target) if isinstance(name, ast.Name))
        self._env |= {name.id: _UNSET for name in targets}
        if isinstance(values, Symbol) and len(node.generators) > 1:
            raise Unsupported("a comprehension with several loops over the row")
        if not isinstance(values, Symbol):
            result = _items(list(self._each(node.generators, node.elt, values)), is_lazy)
        elif values.kind == "str":
            result = self._characters(values, first, node.elt)
        else:
            self.assign(first.target, item_of(values))
            condition = self._conjunction(first.ifs)
            result = mapped(values, self.visit(node.elt), condition)
        self._env = before
        self._conditions -= 1
        return result

    def _conjunction(self, tests: Sequence[ast.expr]) -> Any:
        result: Any = True
        for test in tests:
            if result is not False:
                result = both(result, self._test(test))
        return result

    def _each(
        self, generators: Sequence[ast.comprehension], elt: ast.expr, values: Any, condition: Any = True
    ) -> Iterator[tuple[Any, Any]]:
        """Yield what a comprehension over constants gives, with the condition under which it does."""
        first, rest = generators[0], generators[1:]
        values = values.values() if isinstance(values, Items) else values
        if varies(values) or first.is_async:
            raise Unsupported("a comprehension with several loops over the row")
        for value in python(list, values):
            self.assign(first.target, value)
            met = self._conjunction(first.ifs)
            if met is False:
                continue
            met = both(condition, met)
            if rest:
                yield from self._each(rest, elt, self.visit(rest[0].iter), met)
            else:
                yield met, self.visit(elt)

    def _characters(self, text: Symbol, loop: ast.comprehension, elt: ast.expr) -> Characters:
        """Return what a comprehension over the characters of a text gives for each character of an alphabet."""
        values: dict[Any, str] = {}
        for char in ALPHABET:
            self.assign(loop.target, char)
            condition = self._conjunction(loop.ifs)
            value = self.visit(elt) if condition is True else None
            if isinstance(condition, Symbol) or varies(value) or not is_hashable(value):
                raise Unsupported("the characters of a text together with other columns")
            if condition:
                values[value] = values.get(value, "") + char
        return Characters(text, values)

    # Calls

    def visit_Call(self, node: ast.Call) -> Any:
        """A call of a function or a method."""
        if any(keyword.arg is None for keyword in node.keywords):
            raise Unsupported("arguments from a dictionary")
        of = self.visit(node.func.value) if isinstance(node.func, ast.Attribute) else None
        args = [self._argument(argument) for argument in node.args]
        has_generator = any(isinstance(argument, ast.GeneratorExp) for argument in node.args)
        kwargs = {str(keyword.arg): self.visit(keyword.value) for keyword in node.keywords}
        if not isinstance(node.func, ast.Attribute):
            function = self.visit(node.func)
            if has_generator and not (is_hashable(function) and function in _CONSUMERS):
                raise Unsupported("a generator that is kept")
            return self._called(function, args, kwargs, ast.unparse(node.func))
        name = node.func.attr
        if has_generator and name != "join":
            raise Unsupported("a generator that is kept")
        if varies(of) or any(map(varies, args)):
            if (entry := method_of(of, name)) is not None:
                return translated(entry, [of, *args], kwargs, f".{name}()")
            if varies(of):
                raise Unsupported(f".{name}() of {'the example' if isinstance(of, Row) else described(of)}")
        return self._called(attribute(of, name), args, kwargs, ast.unparse(node.func))

    def _argument(self, node: ast.expr) -> Any:
        return self._comprehended(node, is_lazy=True) if isinstance(node, ast.GeneratorExp) else self.visit(node)

    def _called(self, function: Any, args: list[Any], kwargs: dict[str, Any], name: str) -> Any:
        """Return what a call of a function gives: by its entry in the tables, by Python, or by its source."""
        if varies(function):
            raise Unsupported(f"a call of {described(function)}")
        if (function is getattr or function is hasattr) and len(args) > 1 and isinstance(args[0], Row):
            if any(map(varies, args[1:])):
                raise Unsupported("the name or the default of a column that is not constant")
            column = args[0].column(args[1])  # refuses what may not be there
            return True if function is hasattr else column
        if any(map(varies, (*args, *kwargs.values()))):
            if is_hashable(function) and function in FUNCTIONS and not any(isinstance(arg, Row) for arg in args):
                return translated(FUNCTIONS[function], args, kwargs, name)
        elif is_pure(function):
            if not all(is_plain(arg) or isinstance(arg, type) for arg in (*args, *kwargs.values())):
                raise Unsupported(f"{name} of objects")
            return python(function, *args, **kwargs)
        return self.inlined(function, args, kwargs, name)


def varies(value: Any) -> bool:
    """Tell whether a value differs from row to row."""
    return isinstance(value, Symbol | Items | Characters | Row)


def _truth(value: Any) -> Any:
    if isinstance(value, Row):
        raise Unsupported("the truth of an example")
    return truth_of(value) if varies(value) else python(bool, value)


def _items(found: list[tuple[Any, Any]], is_lazy: bool) -> Any:
    if all(condition is True and not varies(value) for condition, value in found):
        return [value for _, value in found]
    return Items(tuple(found), is_lazy)


def _without_first(node: ast.BoolOp) -> ast.expr:
    rest = node.values[1:]
    return rest[0] if len(rest) == 1 else ast.copy_location(ast.BoolOp(node.op, rest), rest[0])


_SIGNS: dict[type[ast.AST], str] = {ast.Eq: "==", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
_OPPOSITES: dict[type[ast.AST], ast.cmpop] = {ast.NotEq: ast.Eq(), ast.NotIn: ast.In(), ast.IsNot: ast.Is()}


def _compared(sign: ast.cmpop, left: Any, right: Any) -> Any:
    if type(sign) in _OPPOSITES:
        return negate(_compared(_OPPOSITES[type(sign)], left, right))
    if isinstance(sign, ast.In) and isinstance(right, Items) and not isinstance(left, Items | Characters | Row):
        return is_one_of(left, right.values())
    if any(isinstance(side, Items | Characters | Row) for side in (left, right)):
        raise Unsupported("a comparison with a collection")
    if isinstance(sign, ast.Is):
        return identical(left, right)
    is_constant = not (varies(left) or varies(right))
    if is_constant and not (is_plain(left) and is_plain(right)):
        raise Unsupported("a comparison of objects")
    if isinstance(sign, ast.In):
        return python(lambda: left in right) if is_constant else is_in(left, right)
    sign_text = _SIGNS[type(sign)]
    return python(compare, sign_text, left, right) if is_constant else compare(sign_text, left, right)
