-- What one pipeline knows of its target tables. One that an earlier release made has no source_oid.
SELECT table_schema, table_name, key, columns, shared, attempt, complete, source,
       (pg_catalog.to_jsonb(t) ->> 'source_oid')::pg_catalog.oid
FROM tailrace.target AS t
WHERE pipeline = %(pipeline)s
