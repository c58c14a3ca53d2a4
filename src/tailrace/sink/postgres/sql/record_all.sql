-- What one pipeline knows of its target tables.
SELECT table_schema, table_name, key, columns, shared, attempt, complete, source
FROM tailrace.target
WHERE pipeline = %(pipeline)s
