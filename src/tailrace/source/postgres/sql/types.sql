-- Types by oid and modifier: domains and arrays are followed down to the type that the values have. What is no array in
-- braces and commas is not followed: arrays of box (`;`) or geometry (`:`), int2vector and oidvector (spaces).
WITH RECURSIVE asked AS (
    SELECT place, oid, typmod
    FROM unnest(%(oids)s::oid[], %(typmods)s::int4[]) WITH ORDINALITY AS u (oid, typmod, place)
), step AS (
    SELECT t.oid, t.typtype = 'd' AS is_domain, t.typtypmod,
           CASE WHEN t.typtype = 'd' THEN t.typbasetype
                WHEN element.typdelim = ',' THEN element.oid ELSE 0 END AS below
    FROM pg_type AS t
    LEFT JOIN pg_type AS element ON element.oid = t.typelem AND element.typarray = t.oid
), down AS (
    SELECT place, oid, typmod, 0 AS dimensions FROM asked
    UNION ALL
    SELECT d.place, s.below,
           CASE WHEN s.is_domain THEN s.typtypmod ELSE d.typmod END,
           CASE WHEN s.is_domain THEN d.dimensions ELSE d.dimensions + 1 END
    FROM down AS d
    JOIN step AS s ON s.oid = d.oid
    WHERE s.below <> 0
)
SELECT a.oid, a.typmod, format_type(a.oid, a.typmod), d.dimensions, d.typmod, t.typname, t.typtype::text,
       CASE WHEN n.nspname = 'pg_catalog' THEN '' ELSE coalesce(x.extname, n.nspname) END,
       ARRAY(SELECT e.enumlabel::text FROM pg_enum AS e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder)
FROM asked AS a
JOIN down AS d ON d.place = a.place
JOIN step AS s ON s.oid = d.oid AND s.below = 0
JOIN pg_type AS t ON t.oid = d.oid
JOIN pg_namespace AS n ON n.oid = t.typnamespace
LEFT JOIN pg_depend AS e ON e.classid = 'pg_type'::regclass AND e.objid = t.oid AND e.deptype = 'e'
LEFT JOIN pg_extension AS x ON x.oid = e.refobjid
