-- One row of what a check looks at on the server and the role.
SELECT current_user::text,
       current_database()::text,
       r.rolsuper,
       r.rolsuper OR r.rolbypassrls,
       has_database_privilege(current_database(), 'CREATE'),
       pg_is_in_recovery(),
       current_setting('default_transaction_read_only') = 'on',
       current_setting('server_encoding'),
       current_setting('session_replication_role') = 'replica',
       n.oid IS NOT NULL,
       n.oid IS NOT NULL AND has_schema_privilege(n.oid, 'USAGE') AND has_schema_privilege(n.oid, 'CREATE'),
       ARRAY(SELECT format('%%I.%%I', 'tailrace', c.relname) FROM pg_class AS c
             WHERE c.relnamespace = n.oid AND c.relkind = 'r' AND c.relname !~ '^snapshot_'
               AND NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
                        AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'))),
       ARRAY(SELECT p.oid::regprocedure::text FROM pg_proc AS p
             WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname = ANY (%(functions)s)
               AND NOT has_function_privilege(p.oid, 'EXECUTE')
             ORDER BY 1)
FROM pg_roles AS r
LEFT JOIN pg_namespace AS n ON n.nspname = 'tailrace'
WHERE r.rolname = current_user
