-- The sequence that fills a column: one that belongs to it, or that its default names; else one of this name.
SELECT n.nspname, s.relname
FROM (
    SELECT d.objid, 1 AS preference
    FROM pg_depend AS d
    JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    JOIN pg_class AS t ON t.oid = a.attrelid
    JOIN pg_namespace AS tn ON tn.oid = t.relnamespace
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
      AND tn.nspname = %(schema)s AND t.relname = %(table)s AND a.attname = %(column)s
    UNION ALL
    SELECT e.refobjid, 2
    FROM pg_attrdef AS f
    JOIN pg_attribute AS a ON a.attrelid = f.adrelid AND a.attnum = f.adnum
    JOIN pg_class AS t ON t.oid = a.attrelid
    JOIN pg_namespace AS tn ON tn.oid = t.relnamespace
    JOIN pg_depend AS e ON e.classid = 'pg_attrdef'::regclass AND e.objid = f.oid AND e.refclassid = 'pg_class'::regclass
    WHERE tn.nspname = %(schema)s AND t.relname = %(table)s AND a.attname = %(column)s
    UNION ALL
    SELECT c.oid, 3
    FROM pg_class AS c
    JOIN pg_namespace AS cn ON cn.oid = c.relnamespace
    WHERE cn.nspname = %(sequence_schema)s AND c.relname = %(sequence)s
) AS d
JOIN pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
JOIN pg_namespace AS n ON n.oid = s.relnamespace
ORDER BY d.preference
LIMIT 1
