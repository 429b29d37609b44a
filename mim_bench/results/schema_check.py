"""A quick yes or no of a JSON schema: one function made of the schema once.

It knows the part of JSON Schema (draft 2020-12) that the schemas of this package use. What
breaks a schema, and where, is for the jsonschema package to say; this only spares it the many
files in which nothing is broken.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[[Any], bool]

_NOTES = {'$schema', '$defs', 'title', 'description'}
_Schema = Mapping[str, Any]


def compile_schema(schema: _Schema) -> Check:
    """The function that says whether data are valid.

    Data are what ``json.loads`` gives; of other types, such as tuples, nothing is valid.

    Args:
        schema: A schema with keywords that this module knows; references lead to ``$defs``.

    Raises:
        NotImplementedError: It has a keyword that this module does not know.
    """
    return _Compiler(schema).compile(schema)


class _Compiler:
    """Makes the functions of one schema; equal references share one."""

    def __init__(self, root: _Schema) -> None:
        self._root = root
        self._shared: dict[str, Check] = {}

    def compile(self, schema: _Schema | bool) -> Check:
        """One function for all keywords of a schema, the cheap ones first."""
        if isinstance(schema, bool):
            return lambda data: schema
        unknown = set(schema) - _NOTES - {k for keywords in _KEYWORDS for k in keywords}
        if unknown:
            raise NotImplementedError(f'keywords {sorted(unknown)}')
        checks = [
            make(self, schema)
            for keywords, make in _KEYWORDS.items()
            if set(keywords) & set(schema)
        ]
        if len(checks) == 1:
            return checks[0]
        if len(checks) == 2:
            first, second = checks
            return lambda data: first(data) and second(data)
        return lambda data: all(check(data) for check in checks)

    def reference(self, schema: _Schema) -> Check:
        """What a reference leads to."""
        name = schema['$ref'].removeprefix('#/$defs/')
        if name not in self._shared:
            self._shared[name] = self.compile(self._root['$defs'][name])
        return self._shared[name]

    def any_of(self, schema: _Schema) -> Check:
        """At least one of several schemas."""
        checks = [self.compile(one) for one in schema['anyOf']]
        return lambda data: any(check(data) for check in checks)

    def condition(self, schema: _Schema) -> Check:
        """``then`` where ``if`` holds, ``else`` where it does not."""
        condition = self.compile(schema['if'])
        then, otherwise = (self.compile(schema.get(word, True)) for word in ('then', 'else'))
        return lambda data: then(data) if condition(data) else otherwise(data)

    def object(self, schema: _Schema) -> Check:
        """Keys and values of objects; other data pass."""
        required = schema.get('required', ())
        known = {key: self.compile(one) for key, one in schema.get('properties', {}).items()}
        other = self.compile(schema.get('additionalProperties', True))
        name = self.compile(schema.get('propertyNames', True))
        has_names = 'propertyNames' in schema
        least = schema.get('minProperties', 0)

        def check(data: Any) -> bool:
            if type(data) is not dict:
                return True
            if len(data) < least:
                return False
            for key in required:
                if key not in data:
                    return False
            for key, value in data.items():
                if not known.get(key, other)(value) or (has_names and not name(key)):
                    return False
            return True

        return check

    def array(self, schema: _Schema) -> Check:
        """Length and items of arrays; other data pass."""
        least, most = schema.get('minItems', 0), schema.get('maxItems', float('inf'))
        first = [self.compile(one) for one in schema.get('prefixItems', ())]
        item = self.compile(schema.get('items', True))

        def check(data: Any) -> bool:
            if type(data) is not list:
                return True
            return (
                least <= len(data) <= most
                and all(one(value) for one, value in zip(first, data, strict=False))
                and all(map(item, data[len(first) :]))
            )

        return check


def _type(_: _Compiler, schema: _Schema) -> Check:
    names = schema['type']
    names = {names} if isinstance(names, str) else set(names)
    kinds = frozenset(kind for name in names for kind in _TYPES[name])
    # 1.0 is a whole number; few data get here.
    takes_whole = 'integer' in names and 'number' not in names

    def check(data: Any) -> bool:
        return type(data) in kinds or (takes_whole and type(data) is float and data.is_integer())

    return check


_TYPES = {
    'object': (dict,),
    'array': (list,),
    'string': (str,),
    'number': (int, float),
    'integer': (int,),
    'boolean': (bool,),
    'null': (type(None),),
}


def _values(_: _Compiler, schema: _Schema) -> Check:
    allowed = schema['enum'] if 'enum' in schema else [schema['const']]
    if {'enum', 'const'} <= set(schema) or not all(_is_plain(value) for value in allowed):
        raise NotImplementedError(f'values {allowed}')
    # With their types, since True equals 1.
    pairs = {(type(value), value) for value in allowed}
    return lambda data: _is_plain(data) and (type(data), data) in pairs


def _is_plain(value: Any) -> bool:
    """Of 1.0 and 1 the schema would say that they are equal; no float is plain here."""
    return value is None or type(value) in (str, int)


def _text(_: _Compiler, schema: _Schema) -> Check:
    least, most = schema.get('minLength', 0), schema.get('maxLength', float('inf'))
    search = re.compile(schema.get('pattern', '')).search

    def check(data: Any) -> bool:
        return type(data) is not str or (least <= len(data) <= most and search(data) is not None)

    return check


def _range(_: _Compiler, schema: _Schema) -> Check:
    least, most = schema.get('minimum', -float('inf')), schema.get('maximum', float('inf'))
    below = schema.get('exclusiveMinimum', -float('inf'))

    def check(data: Any) -> bool:
        return type(data) not in (int, float) or (least <= data <= most and below < data)

    return check


_KEYWORDS: dict[tuple[str, ...], Callable[[_Compiler, _Schema], Check]] = {
    ('type',): _type,
    ('enum', 'const'): _values,
    ('$ref',): _Compiler.reference,
    ('pattern', 'minLength', 'maxLength'): _text,
    ('minimum', 'maximum', 'exclusiveMinimum'): _range,
    (
        'required',
        'properties',
        'additionalProperties',
        'propertyNames',
        'minProperties',
    ): _Compiler.object,
    ('items', 'prefixItems', 'minItems', 'maxItems'): _Compiler.array,
    ('anyOf',): _Compiler.any_of,
    ('if', 'then', 'else'): _Compiler.condition,
}
