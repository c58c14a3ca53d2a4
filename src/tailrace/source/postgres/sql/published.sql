-- What a publication sends, one row a table. Column list and row filter exist from 15 on, hence the detour by JSON.
SELECT c.oid, n.nspname, c.relname, c.relkind::text, c.relreplident::text,
       to_jsonb(p) -> 'attnames' AS columns, to_jsonb(p) ->> 'rowfilter' AS row_filter
FROM pg_publication_tables AS p
JOIN pg_namespace AS n ON n.nspname = p.schemaname
JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = p.tablename
WHERE p.pubname = %(publication)s
ORDER BY n.nspname, c.relname
