-- The transaction that last wrote how a publication names a table, one above it, or the schema of one of them: what has a list of
-- columns, or had one before that. An age below 0 is one of 2^31 transactions. Lists exist from 15 on, as do schemas.
WITH named AS (
    SELECT c.oid, c.relnamespace
    FROM pg_class AS c
    WHERE c.oid = %(oid)s::oid OR c.oid IN (SELECT relid FROM pg_partition_ancestors(%(oid)s::oid))
), entry AS (
    SELECT r.prpubid AS publication, r.xmin AS written FROM pg_publication_rel AS r JOIN named ON named.oid = r.prrelid
    UNION ALL
    SELECT s.pnpubid, s.xmin FROM pg_publication_namespace AS s JOIN named ON named.relnamespace = s.pnnspid
)
SELECT e.written::text
FROM entry AS e
JOIN pg_publication AS p ON p.oid = e.publication
WHERE p.pubname = %(publication)s AND age(e.written) >= 0
ORDER BY age(e.written)
LIMIT 1
