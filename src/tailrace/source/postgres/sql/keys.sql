-- Unique indexes that could identify a row: immediate, whole, of plain columns that cannot be null.
SELECT i.indrelid, i.indisprimary, i.indisreplident, array_agg(a.attname::text ORDER BY k.place)
FROM pg_index AS i
CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
WHERE i.indrelid = ANY (%(oids)s::oid[]) AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL
  AND k.place <= i.indnkeyatts
GROUP BY i.indrelid, i.indexrelid, i.indisprimary, i.indisreplident, i.indisclustered, i.indnkeyatts, c.relname
HAVING count(*) = i.indnkeyatts AND bool_and(a.attnotnull AND NOT EXISTS (
    SELECT FROM pg_constraint AS n
    WHERE n.conrelid = i.indrelid AND n.contype = 'n' AND NOT n.convalidated AND a.attnum = ANY (n.conkey)
))
-- As the JDBC driver lists indexes, of which Debezium takes the first.
ORDER BY i.indrelid, i.indisprimary DESC, i.indisclustered DESC, c.relname
