-- The types of a table's columns as a cast from text needs them: without a length that would cut values.
SELECT attname, format_type(atttypid, -1)
FROM pg_attribute
WHERE attrelid = %(oid)s AND attnum > 0 AND NOT attisdropped
