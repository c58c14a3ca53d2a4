-- What lies under a name.
SELECT c.oid, c.relkind::text,
       (SELECT k.conname::text FROM pg_constraint AS k WHERE k.conrelid = c.oid AND k.contype = 'p')
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = %(name)s
