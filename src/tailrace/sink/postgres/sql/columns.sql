-- The columns of a table as it is, in order; no row when there is no table.
WITH RECURSIVE found AS (
    SELECT a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull, a.attgenerated, a.attidentity,
           a.atthasdef OR a.attidentity <> '' AS fills_itself,
           EXISTS (SELECT FROM pg_index AS i
                   WHERE i.indrelid = a.attrelid AND i.indisprimary AND a.attnum = ANY (i.indkey)) AS in_key
    FROM pg_attribute AS a
    WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND NOT a.attisdropped
), down AS (
    SELECT attnum, atttypid AS oid, atttypmod AS typmod FROM found
    UNION ALL
    SELECT d.attnum, t.typbasetype, CASE WHEN d.typmod < 0 THEN t.typtypmod ELSE d.typmod END
    FROM down AS d
    JOIN pg_type AS t ON t.oid = d.oid AND t.typtype = 'd'
)
SELECT f.attname, format_type(f.atttypid, f.atttypmod), format_type(d.oid, d.typmod), f.attnotnull,
       f.attgenerated <> '', f.attidentity <> '', f.fills_itself, f.in_key,
       f.attidentity = 'a',
       ARRAY(SELECT e.enumlabel::text FROM pg_enum AS e WHERE e.enumtypid = d.oid),
       coalesce((SELECT p.proname::text FROM pg_proc AS p
                 WHERE p.oid = t.typreceive AND p.pronamespace = 'pg_catalog'::regnamespace), '')
FROM found AS f
JOIN down AS d ON d.attnum = f.attnum
JOIN pg_type AS t ON t.oid = d.oid AND t.typtype <> 'd'
ORDER BY f.attnum
