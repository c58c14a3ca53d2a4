-- The types that the given ones need, down to the server's own, each with those below it. What an extension or a table
-- brings along is not looked into.
WITH RECURSIVE needed AS (
    SELECT oid FROM unnest(%(oids)s::oid[]) AS asked (oid)
    UNION
    SELECT below.oid
    FROM needed AS n
    JOIN pg_type AS t ON t.oid = n.oid
    CROSS JOIN LATERAL (
        SELECT t.typelem WHERE t.typtype = 'b' AND t.typcategory = 'A' AND t.typlen = -1
        UNION ALL
        SELECT t.typbasetype WHERE t.typtype = 'd'
        UNION ALL
        SELECT a.atttypid FROM pg_attribute AS a
        JOIN pg_class AS c ON c.oid = a.attrelid AND c.relkind = 'c'
        WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
        UNION ALL
        SELECT r.rngsubtype FROM pg_range AS r WHERE r.rngtypid = t.oid
        UNION ALL
        SELECT r.rngtypid FROM pg_range AS r WHERE r.rngmultitypid = t.oid
    ) AS below (oid)
    WHERE NOT EXISTS (
        SELECT FROM pg_depend AS e WHERE e.classid = 'pg_type'::regclass AND e.objid = n.oid AND e.deptype = 'e'
    )
)
SELECT t.oid, n.nspname, t.typname,
       CASE WHEN x.oid IS NOT NULL THEN 'extension'
            WHEN t.typtype = 'c' AND c.relkind <> 'c' THEN 'row'
            WHEN t.typtype = 'b' AND t.typcategory = 'A' AND t.typlen = -1 THEN 'array'
            ELSE CASE t.typtype WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain' WHEN 'c' THEN 'composite'
                                WHEN 'r' THEN 'range' WHEN 'm' THEN 'multirange' ELSE 'base' END
       END,
       ARRAY(SELECT e.enumlabel::text FROM pg_enum AS e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder),
       CASE WHEN x.oid IS NOT NULL THEN ARRAY[['extension', x.extname::text]]
            WHEN t.typtype = 'd' THEN ARRAY[['base', format_type(t.typbasetype, t.typtypmod)]]
            WHEN t.typtype = 'r' THEN (
                SELECT ARRAY[['subtype', format_type(r.rngsubtype, NULL)], ['multirange', m.typname::text]]
                FROM pg_range AS r JOIN pg_type AS m ON m.oid = r.rngmultitypid WHERE r.rngtypid = t.oid)
            WHEN t.typtype = 'c' THEN (
                SELECT array_agg(ARRAY[a.attname::text, format_type(a.atttypid, a.atttypmod)] ORDER BY a.attnum)
                FROM pg_attribute AS a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped)
       END,
       CASE WHEN t.typtype = 'd' THEN ARRAY[t.typbasetype]
            WHEN t.typtype = 'r' THEN ARRAY(SELECT r.rngsubtype FROM pg_range AS r WHERE r.rngtypid = t.oid)
            WHEN t.typtype = 'm' THEN ARRAY(SELECT r.rngtypid FROM pg_range AS r WHERE r.rngmultitypid = t.oid)
            WHEN t.typtype = 'c' THEN ARRAY(SELECT a.atttypid FROM pg_attribute AS a
                                            WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped)
            ELSE ARRAY[t.typelem]
       END
FROM needed
JOIN pg_type AS t ON t.oid = needed.oid
JOIN pg_namespace AS n ON n.oid = t.typnamespace AND n.nspname <> 'pg_catalog'
LEFT JOIN pg_class AS c ON c.oid = t.typrelid
LEFT JOIN pg_depend AS e ON e.classid = 'pg_type'::regclass AND e.objid = t.oid AND e.deptype = 'e'
LEFT JOIN pg_extension AS x ON x.oid = e.refobjid
ORDER BY t.oid
