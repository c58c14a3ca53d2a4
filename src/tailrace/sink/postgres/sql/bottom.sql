-- What a domain is made of, however deep.
WITH RECURSIVE down AS (
    SELECT typbasetype, typtypmod, 1 AS depth FROM pg_type WHERE oid = %(oid)s
    UNION ALL
    SELECT t.typbasetype, CASE WHEN d.typtypmod < 0 THEN t.typtypmod ELSE d.typtypmod END, d.depth + 1
    FROM down AS d
    JOIN pg_type AS t ON t.oid = d.typbasetype
    WHERE t.typtype = 'd'
)
SELECT format_type(typbasetype, typtypmod) FROM down ORDER BY depth DESC LIMIT 1
