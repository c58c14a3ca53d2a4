-- What the role may do with each table.
SELECT c.oid,
       has_schema_privilege(c.relnamespace, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'),
       pg_has_role(c.relowner, 'USAGE'),
       c.relrowsecurity AND (c.relforcerowsecurity OR NOT pg_has_role(c.relowner, 'USAGE'))
FROM pg_class AS c
WHERE c.oid = ANY (%(oids)s::oid[])
ORDER BY c.oid
