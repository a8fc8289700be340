"""YAML text as plain data that remembers where in the file each value stands.

Scalars follow YAML 1.2, as editors read them: only ``true`` and ``false`` are truth values; dates, ``on``,
``no`` and ``12:30`` are text. Infinity and not-a-number have no spelling: no setting takes them.
"""

import math
import re
from collections.abc import Callable
from typing import Any

import yaml

from smartlb.config.problems import ConfigError, Location, Problem, shown, spell

_MAX_VALUES = 200_000
_MAX_DEPTH = 32

_TAG = "tag:yaml.org,2002:"


class _Yaml12(yaml.SafeLoader):
    pass


_Yaml12.yaml_implicit_resolvers = {}
_Yaml12.add_implicit_resolver(_TAG + "null", re.compile(r"(?:null|Null|NULL|~|)$"), ["n", "N", "~", ""])
_Yaml12.add_implicit_resolver(_TAG + "bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"), ["t", "T", "f", "F"])
_Yaml12.add_implicit_resolver(
    _TAG + "int", re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$"), list("-+0123456789")
)
_Yaml12.add_implicit_resolver(
    _TAG + "float",
    re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$"),
    list("-+.0123456789"),
)


def _integer(text: str) -> int:
    return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def _text(text: str) -> str:
    text.encode()  # Escapes can spell halves of surrogate pairs, which are no text.
    return text


_SCALARS: dict[str, Callable[[str], Any]] = {
    _TAG + "str": _text,
    _TAG + "int": _integer,
    _TAG + "float": _number,
    _TAG + "bool": _truth,
    _TAG + "null": lambda _text: None,
}


class Document:
    """A file's data, the position of every value, and what is wrong with the file as YAML.

    Args:
        text: the file's contents.
        source: the file's name, for errors.

    Attributes:
        data: mappings with text as keys, lists, text, numbers, truth values and None.
        problems: duplicate keys, unknown tags and the like; the data goes on without the value.
        unusable: where a value had to be left out, so that nothing else need be said about it.

    Raises:
        ConfigError: the text is not YAML, or far too large or too deeply nested.
    """

    def __init__(self, text: str, source: str) -> None:
        self.problems: list[Problem] = []
        self.unusable: set[Location] = set()
        self._values: dict[Location, yaml.Mark] = {}
        self._keys: dict[Location, yaml.Mark] = {}
        self._source = source
        node = self._compose(text)
        self.data: Any = None if node is None else self._build(node, ())

    def position(self, location: Location) -> tuple[int, int]:
        """Line and column, from 1, of the value at `location` or of the closest one around it."""
        while location not in self._values and location:
            location = location[:-1]
        return _position(self._values.get(location))

    def key_position(self, location: Location) -> tuple[int, int]:
        """Line and column, from 1, of the key that leads to `location`; of a list's item, the item's."""
        return _position(self._keys[location]) if location in self._keys else self.position(location)

    def has(self, location: Location) -> bool:
        """Whether the file holds a value at `location`."""
        return location in self._values

    def _compose(self, text: str) -> yaml.Node | None:
        try:
            loader = _Yaml12(text)
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            column = error.position - text.rfind("\n", 0, error.position)
            raise self._fatal(f"the character U+{ord(text[error.position]):04X} is not allowed", line, column) from None
        try:
            return loader.get_single_node()
        except yaml.MarkedYAMLError as error:
            said = " ".join(part for part in (error.context, error.problem) if part)
            raise self._fatal(f"not YAML: {said}", *_position(error.problem_mark)) from None
        except RecursionError:
            raise self._fatal("nested too deeply", *_position(loader.get_mark())) from None
        except (ValueError, OverflowError):
            # What Python's own conversions refuse, as PyYAML lets it through.
            message = "not YAML: an escape or a version beyond the numbers there are"
            raise self._fatal(message, *_position(loader.get_mark())) from None

    def _build(self, node: yaml.Node, location: Location) -> Any:
        self._values[location] = node.start_mark
        if len(self._values) > _MAX_VALUES:
            raise self._fatal(f"more than {_MAX_VALUES} values, aliases counted each time", *_position(node.start_mark))
        if len(location) > _MAX_DEPTH:
            return self._leave_out(node, location, "nested too deeply, or an alias that contains itself")
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, location)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return [self._build(item, (*location, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and node.tag in _SCALARS:
            try:
                return _SCALARS[node.tag](node.value)
            except UnicodeEncodeError:
                return self._leave_out(node, location, "not valid Unicode text")
            except ValueError:
                kind = "truth value" if node.tag == _TAG + "bool" else "finite number of reasonable length"
                return self._leave_out(node, location, f"expected a {kind}; found {shown(node.value)}")
        return self._leave_out(node, location, f"the tag {node.tag.replace(_TAG, '!!')!r} is not supported")

    def _mapping(self, node: yaml.MappingNode, location: Location) -> dict[str, Any]:
        built: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, location)
            if key is None:
                continue
            inner = (*location, key)
            if key in built:
                first, _ = self.key_position(inner)
                self._add(key_node, inner, f"key {key!r} is there twice, first in line {first}")
                continue
            self._keys[inner] = key_node.start_mark
            built[key] = self._build(value_node, inner)
        return built

    def _key(self, node: yaml.Node, location: Location) -> str | None:
        """A key as it is written: all keys are names, also those that look like numbers."""
        if not isinstance(node, yaml.ScalarNode):
            self._add(node, location, "a key must be text, not a list or mapping")
            return None
        if node.value == "<<" and not node.style:
            self._add(node, location, "merge keys (<<) are not supported; repeat the whole section by an alias")
            return None
        try:
            return _text(node.value)
        except UnicodeEncodeError:
            self._add(node, location, f"the key {node.value!r} is not valid Unicode text")
            return None

    def _leave_out(self, node: yaml.Node, location: Location, message: str) -> None:
        self.unusable.add(location)
        self._add(node, location, message)

    def _add(self, node: yaml.Node, location: Location, message: str) -> None:
        self.problems.append(Problem(spell(location), message, *_position(node.start_mark)))

    def _fatal(self, message: str, line: int, column: int) -> ConfigError:
        return ConfigError(self._source, [Problem("", message, line, column)])


def _position(mark: yaml.Mark | None) -> tuple[int, int]:
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)
