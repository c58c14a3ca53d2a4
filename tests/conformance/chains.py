"""Chains of transforms, each over tables of its own, so that one start of the real engine runs them all. As data.

A chain is named by a prefix; its transforms apply to topics `shop.public.<prefix>_…` only (`topic_name_matches`, which
is `TopicNameMatches` there), so a transform that renames a topic keeps the prefix.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tests.conformance.cases import Statements

_CLASSES = {
    "extract_new_record_state": "io.debezium.transforms.ExtractNewRecordState",
    "by_logical_table_router": "io.debezium.transforms.ByLogicalTableRouter",
    "extract_changed_record_state": "io.debezium.transforms.ExtractChangedRecordState",
    "header_to_value": "io.debezium.transforms.HeaderToValue",
    "partition_routing": "io.debezium.transforms.partitions.PartitionRouting",
    "timezone_converter": "io.debezium.transforms.TimezoneConverter",
}
TRANSACTIONS = r"shop\.transaction"
TOLD = "shop.public.g02_told"
"""Where a chain moves the records at both ends of transactions to."""
Step = Mapping[str, str]
"""A transform: its `kind`, and its options."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Transforms in order, and tables that they see."""

    prefix: str
    steps: tuple[Step, ...]
    tables: tuple[Statements, ...] = ()
    topics: str = ""
    """Of what topics it sees the records; by default those of its tables."""
    leaking: tuple[str, ...] = ()
    """What it adds to a delete and Debezium's tombstone has as well, for both share one object."""

    @property
    def name(self) -> str:
        """Its transforms and their options, in short."""
        return "; ".join(
            ", ".join([step["kind"], *(f"{name}={text}" for name, text in step.items() if name != "kind")])
            for step in self.steps
        )

    def cases(self) -> tuple[Statements, ...]:
        """Its tables; by default two, of which one sends whole old rows."""
        return self.tables or (_rows(f"{self.prefix}_a"), _rows(f"{self.prefix}_b", full=True))

    def ours(self) -> Iterator[dict[str, str]]:
        """Each transform as Tailrace takes it."""
        for step in self.steps:
            guarded = "topic_name_matches" in step or "record_is_tombstone" in step or "has_header_key" in step
            yield {**step} if guarded else {**step, "topic_name_matches": self._topics}

    def properties(self) -> Iterator[tuple[str, str, str]]:
        """Each transform as the real engine takes it: its name, a property, its value; names are a chain's own."""
        for index, step in enumerate(self.ours()):
            name = f"{self.prefix}{index}"
            predicate = {
                "topic_name_matches": ("TopicNameMatches", "pattern"),
                "has_header_key": ("HasHeaderKey", "name"),
                "record_is_tombstone": ("RecordIsTombstone", ""),
            }
            for option, value in step.items():
                if option == "kind":
                    yield name, f"transforms.{name}.type", _CLASSES[value]
                elif option in predicate:
                    kind, key = predicate[option]
                    yield name, f"transforms.{name}.predicate", f"is{name}"
                    yield name, f"predicates.is{name}.type", f"org.apache.kafka.connect.transforms.predicates.{kind}"
                    if key:
                        yield name, f"predicates.is{name}.{key}", value
                else:
                    yield name, f"transforms.{name}.{option.replace('_', '.')}", value

    def unleaked(self, headers: tuple[tuple[str, bytes], ...]) -> tuple[tuple[str, bytes], ...]:
        """The headers of a tombstone of Debezium's without those that are its delete's, all of which it has."""
        left, kept = list(self.leaking), []
        for name, value in headers:
            if name in left:
                left.remove(name)
            else:
                kept.append((name, value))
        assert left == []
        return tuple(kept)

    @property
    def _topics(self) -> str:
        return self.topics or rf"shop\.public\.{self.prefix}_.*"


def options(chains: tuple[Chain, ...]) -> dict[str, str]:
    """The properties of all chains together."""
    properties = [row for chain in chains for row in chain.properties()]
    names = list(dict.fromkeys(name for name, _, _ in properties))
    predicates = [key.split(".")[1] for _, key, _ in properties if key.startswith("predicates.") and ".type" in key]
    lists = {"transforms": ",".join(names), "predicates": ",".join(predicates)}
    return lists | {key: value for _, key, value in properties}


def _rows(name: str, *, full: bool = False) -> Statements:
    identity = (f"ALTER TABLE {name} REPLICA IDENTITY FULL",) if full else ()
    return Statements(
        name,
        (
            f"CREATE TABLE {name} (id int PRIMARY KEY, t text, n numeric(10, 2) NOT NULL, f float8,"
            " at timestamp(3), us timestamp, z timestamptz, tz timetz, b bytea, a int[], big bigint, day date)",
            *identity,
            f"INSERT INTO {name} VALUES (1, 'snapshot', 1.5)",
        ),
        (
            f"INSERT INTO {name} VALUES (2, 'é \"q\"', -7.25, 1.5, '2024-07-01 12:00:00.123',"
            " '2024-01-15 23:30:00.123456', '2024-03-31 02:30:00.12+00', '12:34:56.5+02', '\\x0102', '{1,NULL}',"
            " 4294967296, '2024-02-29')",
            f"UPDATE {name} SET t = 'new', f = NULL WHERE id = 2",
            f"UPDATE {name} SET t = 'new' WHERE id = 2",
            f"UPDATE {name} SET id = 3, n = 0 WHERE id = 2",
            f"DELETE FROM {name} WHERE id = 3",
            f"TRUNCATE {name}",
        ),
    )


def _defaults(name: str) -> Statements:
    """A table with defaults, and nulls in their place."""
    return Statements(
        name,
        (
            f"CREATE TABLE {name} (id int PRIMARY KEY, t text DEFAULT 'abc', n numeric(10, 2) DEFAULT 1.5,"
            " i int DEFAULT 7, d date DEFAULT '2024-02-29', e text)",
            f"INSERT INTO {name} VALUES (1, NULL, NULL, NULL, NULL, NULL)",
        ),
        (
            f"INSERT INTO {name} (id) VALUES (2)",
            f"INSERT INTO {name} VALUES (3, NULL, NULL, NULL, NULL, 'e')",
            f"UPDATE {name} SET t = NULL WHERE id = 2",
            f"DELETE FROM {name} WHERE id = 3",
        ),
    )


def _never_deleted(name: str) -> Statements:
    return Statements(
        name,
        (f"CREATE TABLE {name} (id int PRIMARY KEY, t text)", f"INSERT INTO {name} VALUES (1, 'a')"),
        (f"INSERT INTO {name} VALUES (2, 'b'), (3, NULL)", f"UPDATE {name} SET t = 'c' WHERE id = 2"),
    )


def _routed(name: str) -> Statements:
    """A table whose column has topics, a null and a blank."""
    return Statements(
        name,
        (f"CREATE TABLE {name} (id int PRIMARY KEY, t text)", f"INSERT INTO {name} VALUES (1, 'shop.public.{name}_x')"),
        (
            f"INSERT INTO {name} VALUES (2, 'shop.public.{name}_y'), (3, NULL), (4, ' ')",
            f"UPDATE {name} SET t = 'shop.public.{name}_z' WHERE id = 2",
            f"DELETE FROM {name} WHERE id = 2",
        ),
    )


_OF_OTHER_SHAPES = (
    Statements(
        "a11_nokey",
        ("CREATE TABLE a11_nokey (a int, b text)", "ALTER TABLE a11_nokey REPLICA IDENTITY FULL",
         "INSERT INTO a11_nokey VALUES (1, 'x')"),
        ("INSERT INTO a11_nokey VALUES (2, NULL)", "UPDATE a11_nokey SET b = 'y' WHERE a = 2", "DELETE FROM a11_nokey"),
    ),
    Statements(
        "a11_two",
        ("CREATE TABLE a11_two (b text, a int, c text, PRIMARY KEY (a, b))", "INSERT INTO a11_two VALUES ('x', 1)"),
        ("INSERT INTO a11_two VALUES ('y', 2, 'c')", "UPDATE a11_two SET a = 3 WHERE a = 2", "DELETE FROM a11_two"),
    ),
    Statements(
        "a11_toast",
        ("CREATE TABLE a11_toast (id int PRIMARY KEY, t text, n int)",
         "ALTER TABLE a11_toast ALTER t SET STORAGE EXTERNAL"),
        ("INSERT INTO a11_toast VALUES (1, repeat('t', 9000))", "UPDATE a11_toast SET n = 2", "DELETE FROM a11_toast"),
    ),
)  # fmt: skip


def _guarded(prefix: str, **guard: str) -> Chain:
    """Routes some of its tables' records elsewhere; `topic_regex` keeps it from those of others."""
    to = {"topic_regex": rf"(.*\.{prefix})_.*", "topic_replacement": "$1_routed"}
    return Chain(prefix, ({"kind": "by_logical_table_router", **to, **guard},))


def _unwrap(prefix: str, tables: tuple[Statements, ...] = (), *, leaking: tuple[str, ...] = (), **given: str) -> Chain:
    return Chain(prefix, ({"kind": "extract_new_record_state", **given},), tables, leaking=leaking)


_FIELDS = "op,table,lsn,source.ts_ms,source.snapshot:kind,schema,id,total_order,transaction.id,absent,db"
CHAINS = (
    _unwrap("a01"),
    *(
        _unwrap(f"a{index:02}", delete_tombstone_handling_mode=mode)
        for index, mode in enumerate(
            ("drop", "tombstone", "rewrite", "rewrite-with-tombstone", "delete-to-tombstone"), 2
        )
    ),
    _unwrap("a07", add_fields=_FIELDS, delete_tombstone_handling_mode="rewrite"),
    _unwrap(
        "a08",
        leaking=(
            "__op",
            "__table",
            "__lsn",
            "__source_ts_ms",
            "__kind",
            "__schema",
            "__id",
            "__total_order",
            "__transaction_id",
            "__db",
        ),
        add_headers=_FIELDS,
        delete_tombstone_handling_mode="rewrite-with-tombstone",
    ),
    _unwrap("a09", add_fields="op,ts_ms:seen", add_fields_prefix="", add_headers="op", add_headers_prefix="h."),
    _unwrap("a10", add_headers="op,lsn", delete_tombstone_handling_mode="drop"),
    _unwrap("a11", _OF_OTHER_SHAPES, add_fields="op", delete_tombstone_handling_mode="rewrite-with-tombstone"),
    _unwrap("a12", (_routed("a12_a"),), route_by_field="t"),
    *(
        _unwrap(
            f"a{index}",
            (_defaults(f"a{index}_a"),),
            delete_tombstone_handling_mode="rewrite",
            replace_null_with_default=replaced,
        )
        for index, replaced in enumerate(("true", "false"), 13)
    ),
    Chain(
        "b01",
        ({"kind": "by_logical_table_router", "topic_regex": r"(.*)b01_(.*)", "topic_replacement": "$1b01_all"},),
    ),
    Chain(
        "b02",
        (
            {
                "kind": "by_logical_table_router",
                "topic_regex": r"(.*)b02_([ab])",
                "topic_replacement": "${1}b02_x$2",
                "key_field_name": "shard",
                "key_field_regex": r".*_(.)",
                "key_field_replacement": "s-$1",
            }
            | {"topic_replacement": "$1b02_x"},
        ),
    ),
    Chain(
        "b03",
        (
            {
                "kind": "by_logical_table_router",
                "topic_regex": r".*\.b03_a",
                "topic_replacement": "shop.public.b03_one",
                "key_enforce_uniqueness": "false",
            },
            {"kind": "extract_new_record_state", "add_fields": "table"},
        ),
    ),
    *(
        Chain(
            f"b{index:02}",
            (
                {
                    "kind": "by_logical_table_router",
                    "topic_regex": rf"(.*)b{index:02}_[ab]",
                    "topic_replacement": f"$1b{index:02}_1-2",
                    "schema_name_adjustment_mode": mode,
                    "logical_table_cache_size": "1",
                },
            ),
        )
        for index, mode in enumerate(("avro", "avro_unicode"), 4)
    ),
    Chain("c01", ({"kind": "extract_changed_record_state", "header_changed_name": "Changed"},), leaking=("Changed",)),
    Chain(
        "c02",
        (
            {
                "kind": "extract_changed_record_state",
                "header_changed_name": "Changed",
                "header_unchanged_name": "Unchanged",
            },
            {
                "kind": "header_to_value",
                "headers": "Changed,Unchanged",
                "fields": "changed,source.same",
                "operation": "move",
            },
        ),
        leaking=("Changed", "Unchanged"),
    ),
    Chain(
        "c03",
        (
            {"kind": "extract_changed_record_state", "header_unchanged_name": "Unchanged"},
            {
                "kind": "extract_new_record_state",
                "drop_fields_header_name": "Unchanged",
                "delete_tombstone_handling_mode": "rewrite",
            },
        ),
    ),
    Chain(
        "c04",
        (
            {"kind": "extract_changed_record_state", "header_unchanged_name": "Unchanged"},
            {
                "kind": "extract_new_record_state",
                "drop_fields_header_name": "Unchanged",
                "drop_fields_keep_schema_compatible": "false",
                "drop_fields_from_key": "true",
                "add_fields": "op",
            },
        ),
    ),
    Chain(
        "c05",
        (
            {"kind": "extract_new_record_state", "add_headers": "op,lsn,source.db:db"},
            {
                "kind": "header_to_value",
                "headers": "__op,__db",
                "fields": "op,info.db",
                "operation": "copy",
            },
        ),
    ),
    Chain(
        "g01",
        (
            {"kind": "timezone_converter", "converted_timezone": "Asia/Tokyo"},
            {"kind": "extract_changed_record_state", "header_changed_name": "Changed"},
            {"kind": "partition_routing", "partition_payload_fields": "change.id", "partition_topic_num": "5"},
            {"kind": "header_to_value", "headers": "Changed", "fields": "changed", "operation": "copy"},
            {"kind": "extract_new_record_state", "add_fields": "id,total_order,status", "add_headers": "id,op"},
        ),
        topics=rf"{TRANSACTIONS}|shop\.public\.g01_.*",
    ),
    Chain(
        "g02",
        (
            {
                "kind": "by_logical_table_router",
                "topic_regex": TRANSACTIONS,
                "topic_replacement": TOLD,
                "key_field_name": "of",
                "key_field_regex": r"(\w+)\.(\w+)",
                "key_field_replacement": "$2 of $1",
            },
        ),
        topics=rf"{TRANSACTIONS}|shop\.public\.g02_.*",
    ),
    *(
        Chain(
            f"d{index:02}",
            (
                {
                    "kind": "partition_routing",
                    "partition_payload_fields": fields,
                    "partition_topic_num": "7",
                    "partition_hash_function": function,
                },
            ),
        )
        for index, (fields, function) in enumerate(
            (fields, function)
            for fields in ("change.id", "change.t,change.n", "source.table,change.f,change.big", "change.a,change.b,op")
            for function in ("java", "murmur")
        )
    ),
    Chain(
        "d08",
        (
            {
                "kind": "partition_routing",
                "partition_payload_fields": "after.id,after.t",
                "partition_topic_num": "7",
            },
        ),
        (_never_deleted("d08_a"),),
    ),
    Chain(
        "d09",
        (
            {
                "kind": "by_logical_table_router",
                "topic_regex": r"(.*)d09_[ab]",
                "topic_replacement": "$1d09_moved",
                "has_header_key": "__debezium.newkey",
            },
            {
                "kind": "partition_routing",
                "partition_payload_fields": "before.id,before.t",
                "partition_topic_num": "7",
                "topic_name_matches": r"shop\.public\.d09_moved",
            },
        ),
    ),
    _guarded("p01", record_is_tombstone="true"),
    _guarded("p02", record_is_tombstone="true", negate="true"),
    _guarded("p03", has_header_key="__debezium.oldkey", negate="true"),
    _guarded("p04", topic_name_matches=r".*\.p04_a", negate="true"),
    *(
        Chain(f"e{index:02}", ({"kind": "timezone_converter", **given},))
        for index, given in enumerate(
            (
                {"converted_timezone": "Europe/Berlin"},
                {"converted_timezone": "+05:45"},
                {"converted_timezone": "America/New_York", "include_list": "source:e02_a:us,e02_a:z"},
                {"converted_timezone": "America/New_York", "include_list": "topic:shop.public.e03_a"},
                {"converted_timezone": "Asia/Tokyo", "exclude_list": "source:e04_a:at,e04_b"},
                {"converted_timezone": "Asia/Tokyo", "include_list": "source:e05_a:source.ts_ms,e05_b:after.z"},
                {"converted_timezone": "Asia/Tokyo", "include_list": "e06_a:at,e06_b:z"},
                {"converted_timezone": "Asia/Tokyo", "include_list": "topic:shop.public.e07_a:us"},
            )
        )
    ),
    Chain(
        "f01",
        (
            {"kind": "timezone_converter", "converted_timezone": "Asia/Kolkata"},
            {"kind": "extract_changed_record_state", "header_changed_name": "Changed"},
            {
                "kind": "extract_new_record_state",
                "delete_tombstone_handling_mode": "rewrite-with-tombstone",
                "add_fields": "op",
            },
            {"kind": "header_to_value", "headers": "Changed", "fields": "changed", "operation": "copy"},
        ),
        leaking=("Changed",),
    ),
)
