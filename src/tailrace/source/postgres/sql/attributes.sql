-- The columns of a table as the catalog has them now.
SELECT attname, atttypid, atttypmod, attnotnull, attgenerated::text
FROM pg_attribute
WHERE attrelid = %(oid)s AND attnum > 0 AND NOT attisdropped
ORDER BY attnum
