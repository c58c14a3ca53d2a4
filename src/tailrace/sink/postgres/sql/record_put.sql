-- Keep what is known of one target table.
INSERT INTO tailrace.target (
    pipeline, table_schema, table_name, key, columns, shared, attempt, complete, source, source_oid
)
VALUES (
    %(pipeline)s, %(schema)s, %(name)s, %(key)s, %(columns)s, %(shared)s, %(attempt)s, %(complete)s, %(source)s,
    %(source_oid)s
)
ON CONFLICT (pipeline, table_schema, table_name) DO UPDATE
SET key = excluded.key, columns = excluded.columns, shared = excluded.shared, attempt = excluded.attempt,
    complete = excluded.complete, source = excluded.source, source_oid = excluded.source_oid
