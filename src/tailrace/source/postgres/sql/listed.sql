-- The transaction that last wrote how a publication names a table, one above it, or the schema of one of them: what has a list of
-- columns, or had one before that. An age below 0 is one of 2^31 transactions. Lists exist from 15 on, as do schemas. An array
-- is looked up by index, in catalogs of any size; what is joined, or is one of two conditions, is not.
WITH named AS (
    SELECT ARRAY(SELECT relid::oid FROM pg_partition_ancestors(%(oid)s::oid)) || %(oid)s::oid AS oids
), entry AS (
    SELECT prpubid AS publication, xmin AS written
    FROM pg_publication_rel
    WHERE prrelid = ANY ((SELECT oids FROM named)::oid[])
    UNION ALL
    SELECT s.pnpubid, s.xmin
    FROM pg_class AS c
    JOIN pg_publication_namespace AS s ON s.pnnspid = c.relnamespace
    WHERE c.oid = ANY ((SELECT oids FROM named)::oid[])
)
SELECT e.written::text
FROM entry AS e
JOIN pg_publication AS p ON p.oid = e.publication
WHERE p.pubname = %(publication)s AND age(e.written) >= 0
ORDER BY age(e.written)
LIMIT 1
