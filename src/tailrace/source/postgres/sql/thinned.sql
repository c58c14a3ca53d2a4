-- Tables of which a publication leaves something out: whether it has a row filter, and the columns that are not in its list.
-- Both exist from 15 on, hence the detour by JSON.
SELECT n.nspname || '.' || c.relname, e.entry ->> 'prqual' IS NOT NULL, ARRAY(
    SELECT a.attname::text
    FROM pg_attribute AS a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
      AND e.entry ->> 'prattrs' IS NOT NULL AND NOT e.entry -> 'prattrs' @> to_jsonb(a.attnum)
    ORDER BY a.attnum
)
FROM pg_publication AS p
JOIN pg_publication_rel AS r ON r.prpubid = p.oid
CROSS JOIN LATERAL (SELECT to_jsonb(r)) AS e (entry)
JOIN pg_class AS c ON c.oid = r.prrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE p.pubname = %(publication)s AND coalesce(e.entry ->> 'prqual', e.entry ->> 'prattrs') IS NOT NULL
ORDER BY 1
