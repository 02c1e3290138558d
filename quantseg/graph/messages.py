"""The messages of a model file, found by protobuf's own description of them and not by a list of places.

A tensor, and with it the name of an external file, may stand wherever any version of ONNX allows one: in functions, in
the defaults of their attributes, in subgraphs, in training information.
"""

import functools
from collections.abc import Iterator
from typing import Any

import onnx
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from quantseg.errors import ModelError
from quantseg.files import limits

TENSOR = onnx.TensorProto.DESCRIPTOR.full_name
SPARSE_TENSOR = onnx.SparseTensorProto.DESCRIPTOR.full_name
NODE = onnx.NodeProto.DESCRIPTOR.full_name
ATTRIBUTE = onnx.AttributeProto.DESCRIPTOR.full_name


def messages_of(root: Message, *names: str) -> Iterator[Any]:
    """Every message of these types in `root`, at any depth, in the file's order; all messages where none is named.

    names: full names of message types. Only fields through which such a message can be reached are looked at.
    """
    if not names or root.DESCRIPTOR.full_name in names:
        yield root
    for field in _fields(root.DESCRIPTOR, names):
        if not field.has_presence:  # a repeated field
            for message in getattr(root, field.name):
                yield from messages_of(message, *names)
        elif root.HasField(field.name):
            yield from messages_of(getattr(root, field.name), *names)


def tensors_of(root: Message) -> Iterator[onnx.TensorProto]:
    """Every tensor in a message: initializers, attributes, defaults, of subgraphs and functions too.

    Raises ModelError for a sparse one.
    """
    for message in messages_of(root, TENSOR, SPARSE_TENSOR):
        if message.DESCRIPTOR.full_name == SPARSE_TENSOR:
            raise ModelError(f"{message.values.name!r}: sparse weights are not supported; store them dense")
        yield message


def check_messages(model: onnx.ModelProto) -> None:
    """Raises ModelError for a text that is not UTF-8, and for more than limits.MODEL_MESSAGES messages."""
    for number, message in enumerate(messages_of(model)):
        if number == limits.MODEL_MESSAGES:
            raise ModelError(f"has more than {limits.MODEL_MESSAGES:,} nodes, attributes and tensors; split it")
        for name, repeated in _texts(message.DESCRIPTOR):
            value = getattr(message, name)
            for text in value if repeated else (value,):
                if not isinstance(text, str):  # protobuf gives bytes where they are no text
                    raise ModelError(f"{name} {bytes(text)[:80]!r} is not UTF-8; export it again")


@functools.cache
def _fields(kind: Descriptor, names: tuple[str, ...]) -> tuple[FieldDescriptor, ...]:
    """The fields of a message through which one of the named types can be reached; any message, if none is named."""
    found = (field for field in kind.fields if field.message_type is not None)
    return tuple(field for field in found if not names or not _within(field.message_type).isdisjoint(names))


@functools.cache
def _within(kind: Descriptor) -> frozenset[str]:
    """The names of all types of message that one of this type can hold, its own among them."""
    found, left = {kind.full_name}, [kind]
    while left:
        for field in left.pop().fields:
            inner = field.message_type
            if inner is not None and inner.full_name not in found:
                found.add(inner.full_name)
                left.append(inner)
    return frozenset(found)


@functools.cache
def _texts(kind: Descriptor) -> tuple[tuple[str, bool], ...]:
    """The fields of a message that hold text, and whether they are repeated."""
    return tuple((field.name, not field.has_presence) for field in kind.fields if field.type == field.TYPE_STRING)
