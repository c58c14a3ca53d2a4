"""Protobuf as Google's library reads it, which knows a message by its descriptor: made here of a schema's text."""

from __future__ import annotations

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from tests.conformance import protobuf


def message_of(text: str, name: str) -> type[Message]:
    """The message of this name; the schema imports nothing, and its package is left out."""
    file = descriptor_pb2.FileDescriptorProto(name="made", syntax="proto3")
    pending = [(file.message_type.add(), message) for message in protobuf.messages(text)]
    while pending:
        made, message = pending.pop()
        made.name = message.name
        for number, field in message.fields.items():
            kind = "message" if field.kind in message.nested else field.kind
            label = "LABEL_REPEATED" if field.repeated else "LABEL_OPTIONAL"
            added = made.field.add(
                name=field.name,
                number=number,
                label=descriptor_pb2.FieldDescriptorProto.Label.Value(label),
                type=descriptor_pb2.FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}"),
                type_name=field.kind if kind == "message" else None,
            )
            if field.optional:
                added.proto3_optional = True
                added.oneof_index = len(made.oneof_decl)
                made.oneof_decl.add(name=f"_{field.name}")
        pending += [(made.nested_type.add(), nested) for nested in message.nested.values()]
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
