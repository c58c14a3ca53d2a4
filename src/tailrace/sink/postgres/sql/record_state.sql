-- Whether the table of records is made, whether it has all its columns, and whether the role may give it one.
SELECT c.oid IS NOT NULL,
       EXISTS (SELECT FROM pg_attribute AS a
               WHERE a.attrelid = c.oid AND a.attname = 'source_oid' AND NOT a.attisdropped),
       coalesce(pg_has_role(c.relowner, 'USAGE'), true)
FROM (VALUES (to_regclass('tailrace.target')::oid)) AS named (oid)
LEFT JOIN pg_class AS c ON c.oid = named.oid
