-- Whether a table could be made in a schema: whether that exists, and the role may create there.
SELECT n.oid IS NOT NULL, n.oid IS NOT NULL AND has_schema_privilege(n.oid, 'USAGE') AND has_schema_privilege(n.oid, 'CREATE'),
       has_database_privilege(current_database(), 'CREATE')
FROM (VALUES (1)) AS one
LEFT JOIN pg_namespace AS n ON n.nspname = %(schema)s
