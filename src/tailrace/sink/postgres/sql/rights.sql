-- What the role may do with a table, and what would act on the rows that it writes.
SELECT pg_has_role(c.relowner, 'USAGE'),
       has_schema_privilege(c.relnamespace, 'USAGE'),
       ARRAY(SELECT wanted FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) AS w (wanted)
             WHERE NOT has_table_privilege(c.oid, wanted)),
       c.relrowsecurity AND (c.relforcerowsecurity OR NOT pg_has_role(c.relowner, 'USAGE')),
       ARRAY(SELECT t.tgname::text FROM pg_trigger AS t
             WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgenabled IN ('A', 'R') ORDER BY 1),
       EXISTS (SELECT FROM pg_index AS i
               WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
                 AND (SELECT bool_and(a.attname = ANY (%(key)s)) FROM pg_attribute AS a
                      WHERE a.attrelid = c.oid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])))
FROM pg_class AS c
WHERE c.oid = %(oid)s
