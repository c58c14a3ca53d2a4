-- Sequences that fill columns of the tables: those that belong to a column, and those that only a default names.
SELECT n.nspname, s.relname, tn.nspname, t.relname, a.attname, bool_or(d.owned), q.seqincrement, q.seqmin, q.seqmax
FROM (
    SELECT objid AS sequence, refobjid AS relation, refobjsubid AS attnum, true AS owned
    FROM pg_depend
    WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass AND deptype IN ('a', 'i')
      AND refobjsubid > 0
    UNION ALL
    SELECT e.refobjid, f.adrelid, f.adnum, false
    FROM pg_attrdef AS f
    JOIN pg_depend AS e ON e.classid = 'pg_attrdef'::regclass AND e.objid = f.oid
                       AND e.refclassid = 'pg_class'::regclass AND e.refobjid <> f.adrelid
) AS d
JOIN pg_class AS s ON s.oid = d.sequence AND s.relkind = 'S'
JOIN pg_namespace AS n ON n.oid = s.relnamespace
JOIN pg_sequence AS q ON q.seqrelid = s.oid
JOIN pg_class AS t ON t.oid = d.relation
JOIN pg_namespace AS tn ON tn.oid = t.relnamespace
JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = d.attnum AND NOT a.attisdropped
WHERE t.oid = ANY (%(oids)s::oid[])
GROUP BY n.nspname, s.relname, tn.nspname, t.relname, a.attname, q.seqincrement, q.seqmin, q.seqmax
ORDER BY 1, 2, 3, 4, 5
