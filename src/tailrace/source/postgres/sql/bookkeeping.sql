-- Whether pipelines keep something in these tables of this database, and whether the role may read all of them; no row
-- when there are none.
SELECT bool_and(has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')), current_user::text
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = 'tailrace' AND c.relname = ANY(%(tables)s)
HAVING count(*) > 0
