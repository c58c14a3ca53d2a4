-- One type by its name, as it is spelled here, with what a definition of it would say.
SELECT t.oid, format_type(t.oid, NULL),
       CASE t.typtype WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain' WHEN 'r' THEN 'range'
                      WHEN 'c' THEN CASE WHEN c.relkind = 'c' THEN 'composite' ELSE 'row' END ELSE 'base' END,
       ARRAY(SELECT e.enumlabel::text FROM pg_enum AS e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder),
       CASE WHEN t.typtype = 'd' THEN ARRAY[['base', format_type(t.typbasetype, t.typtypmod)]]
            WHEN t.typtype = 'r' THEN (
                SELECT ARRAY[['subtype', format_type(r.rngsubtype, NULL)]] FROM pg_range AS r WHERE r.rngtypid = t.oid)
            WHEN t.typtype = 'c' THEN (
                SELECT array_agg(ARRAY[a.attname::text, format_type(a.atttypid, a.atttypmod)] ORDER BY a.attnum)
                FROM pg_attribute AS a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped)
       END
FROM pg_type AS t
JOIN pg_namespace AS n ON n.oid = t.typnamespace
LEFT JOIN pg_class AS c ON c.oid = t.typrelid
WHERE n.nspname = %(schema)s AND t.typname = %(name)s
