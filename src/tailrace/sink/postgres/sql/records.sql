-- What one pipeline knows of its target tables, or of one of them. One that an earlier release made has no source_oid.
SELECT table_schema, table_name, key, columns, shared, attempt, complete, source,
       (pg_catalog.to_jsonb(t) ->> 'source_oid')::pg_catalog.oid
FROM tailrace.target AS t
WHERE pipeline = %(pipeline)s
  AND (%(schema)s::pg_catalog.text IS NULL OR (table_schema = %(schema)s AND table_name = %(name)s))
