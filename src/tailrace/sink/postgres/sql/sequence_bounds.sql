-- Between what a sequence counts, and by how much.
SELECT q.seqmin, q.seqmax, q.seqincrement
FROM pg_sequence AS q
JOIN pg_class AS s ON s.oid = q.seqrelid
JOIN pg_namespace AS n ON n.oid = s.relnamespace
WHERE n.nspname = %(schema)s AND s.relname = %(name)s
