-- The columns of tables as the catalog has them now. NOT NULL that is NOT VALID (18) says nothing of rows from before. A
-- default names no column, and asked for without its table it is told while that one is locked. What rows had in a column when
-- it was added they have long changed where it was added before `since`, a transaction: then that is not told. Nor is it where
-- the column is not younger than `listed`, which let in what a publication had left out: such rows may have anything there.
-- One from before `since` may be new all the same, where its table had no changes. An age below 0 is one of 2^31 transactions.
SELECT a.attrelid, a.attname, a.atttypid, a.atttypmod,
       a.attnotnull AND NOT EXISTS (
           SELECT FROM pg_constraint AS c
           WHERE c.conrelid = a.attrelid AND c.contype = 'n' AND NOT c.convalidated AND a.attnum = ANY (c.conkey)
       ),
       a.attgenerated::text,
       col_description(a.attrelid, a.attnum),
       a.attidentity <> '' OR EXISTS (
           SELECT FROM pg_depend AS d
           JOIN pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
           WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
             AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum AND d.deptype = 'a'
       ),
       CASE WHEN a.atthasmissing AND t.typdelim = ',' AND sent.seen AND NOT sent.late
            THEN (a.attmissingval::text::text[])[1] END,
       pg_get_expr(f.adbin, 0),
       a.atthasdef OR a.atthasmissing OR sent.late
FROM pg_attribute AS a
CROSS JOIN LATERAL (
    SELECT coalesce(age(a.xmin) BETWEEN 0 AND age(%(since)s::text::xid), %(since)s::text IS NULL),
           %(listed)s::text IS NOT NULL AND age(a.xmin) NOT BETWEEN 0 AND age(%(listed)s::text::xid) - 1
) AS sent (seen, late)
JOIN pg_type AS t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef AS f ON f.adrelid = a.attrelid AND f.adnum = a.attnum AND a.attgenerated = ''
WHERE a.attrelid = ANY (%(oids)s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum
