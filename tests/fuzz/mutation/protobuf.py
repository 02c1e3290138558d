"""Mutations of a protobuf message by reflection: any field, at any depth, set, doubled, deleted or swapped."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from tests.fuzz.mutation import odd, raw


@dataclass(frozen=True)
class Place:
    """A field of a message, set or not."""

    message: Message
    field: Any

    @property
    def is_list(self) -> bool:
        """Whether the field repeats."""
        return _repeats(self.field)

    @property
    def is_message(self) -> bool:
        """Whether its values are messages."""
        return bool(self.field.type == FieldDescriptor.TYPE_MESSAGE)

    @property
    def values(self) -> list[Any]:
        """Its values: those of the list, or the one that is set."""
        if self.is_list:
            return list(getattr(self.message, self.field.name))
        return [value for field, value in self.message.ListFields() if field is self.field]


def _repeats(field: Any) -> bool:
    repeated = getattr(field, "is_repeated", None)  # older protobuf has `label` alone, newer warns of it
    return bool(field.label == FieldDescriptor.LABEL_REPEATED if repeated is None else repeated)


def mutate(random: Random, message: Message) -> None:
    """Changes one to three places of the message and of what it holds."""
    for _ in range(random.choice((1, 1, 1, 1, 2, 3))):
        _mutate_one(random, message)


def _messages(message: Message) -> Iterator[Message]:
    yield message
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for inner in value if _repeats(field) else (value,):
                yield from _messages(inner)


def _mutate_one(random: Random, message: Message) -> None:
    by_kind: dict[str, list[Message]] = {}
    for one in _messages(message):
        by_kind.setdefault(one.DESCRIPTOR.name, []).append(one)
    chosen = random.choice(by_kind[random.choice(sorted(by_kind))])
    held = [field for field, _ in chosen.ListFields()]
    fields = held if held and random.random() < 0.7 else list(chosen.DESCRIPTOR.fields)
    place = Place(chosen, random.choice(fields))
    if place.is_message:
        _change_messages(random, place, by_kind)
    else:
        _change_scalars(random, place, by_kind)


def _change_messages(random: Random, place: Place, by_kind: dict[str, list[Message]]) -> None:
    """Deletes, doubles, moves, or takes another message of the same kind from elsewhere."""
    alike = by_kind.get(place.field.message_type.name, [])
    other = random.choice(alike) if alike and random.random() < 0.8 else None
    if place.is_list:
        held = getattr(place.message, place.field.name)
        _change_list(random, held, _added(held, other))
    elif random.random() < 0.3:
        place.message.ClearField(place.field.name)
    elif other is not None and not _holds(other, place.message):
        getattr(place.message, place.field.name).CopyFrom(_copy(other))
    else:
        getattr(place.message, place.field.name).SetInParent()


def _holds(outer: Message, inner: Message) -> bool:
    return any(one is inner for one in _messages(outer))


def _copy(message: Message) -> Message:
    copied = type(message)()
    copied.CopyFrom(message)
    return copied


def _added(held: Any, other: Message | None) -> Any:
    """A function that adds a copy of `other`, or an empty message, at the end."""

    def add() -> None:
        if other is None:
            held.add()
        else:
            held.append(_copy(other))

    return add


def _change_list(random: Random, held: Any, add: Any) -> None:
    count = len(held)
    action = random.choice(("delete", "double", "swap", "add", "add", "clear", "many"))
    if action == "add" or not count:
        add()
    elif action == "delete":
        del held[random.randrange(count)]
    elif action == "clear":
        del held[:]
    else:
        values = list(held) if isinstance(held[0], (int, float, str, bytes)) else [_copy(one) for one in held]
        index = random.randrange(count)
        if action == "swap":
            other = random.randrange(count)
            values[index], values[other] = values[other], values[index]
        else:
            values[index:index] = [values[index]] * (1 if action == "double" else 40)
        del held[:]
        held.extend(values)


def _change_scalars(random: Random, place: Place, by_kind: dict[str, list[Message]]) -> None:
    value = _scalar(random, place, by_kind)
    if not place.is_list:
        if random.random() < 0.15:
            place.message.ClearField(place.field.name)
        else:
            setattr(place.message, place.field.name, value)
        return
    held = getattr(place.message, place.field.name)
    if held and random.random() < 0.5:
        held[random.randrange(len(held))] = value
    else:
        _change_list(random, held, lambda: held.append(value))


def _scalar(random: Random, place: Place, by_kind: dict[str, list[Message]]) -> Any:
    field, old = place.field, place.values
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        return random.choice(field.enum_type.values).number
    if kind in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        value = odd.number(random)
        return value if kind == FieldDescriptor.CPPTYPE_DOUBLE or abs(value) < 3.5e38 or value != value else 1e38
    if kind == FieldDescriptor.CPPTYPE_STRING:
        return _text(random, field, old, by_kind)
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return random.random() < 0.5
    bits = 32 if kind in (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_UINT32) else 64
    signed = kind in (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64)
    whole = odd.integer(random)
    if old and random.random() < 0.3:
        whole = random.choice(old) + random.choice((1, -1))
    whole &= (1 << bits) - 1
    return whole - (1 << bits) if signed and whole >= 1 << (bits - 1) else whole


def _text(random: Random, field: Any, old: list[Any], by_kind: dict[str, list[Message]]) -> str | bytes:
    """Another name of the message, so that nodes read other tensors, or an odd text."""
    if field.type == FieldDescriptor.TYPE_BYTES:
        before = random.choice(old) if old else b""
        return raw.mutated(random, before) if random.random() < 0.8 else odd.text(random).encode()
    if random.random() < 0.4:
        return odd.text(random)
    chosen = random.choice(by_kind[random.choice(sorted(by_kind))])
    names = [
        name
        for other, value in chosen.ListFields()
        if other.type == FieldDescriptor.TYPE_STRING
        for name in (value if _repeats(other) else (value,))
    ]
    return random.choice(names) if names else odd.text(random)
