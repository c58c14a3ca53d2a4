-- What a table pattern may match, with the partitioned tables above each partition. An index that was the replica
-- identity may have been dropped since: the server then treats the table as one without any.
SELECT c.oid, n.nspname, c.relname, c.relkind::text, c.relpersistence::text,
       CASE WHEN c.relispartition
            THEN ARRAY(SELECT a.relid::oid FROM pg_partition_ancestors(c.oid) AS a (relid) WHERE a.relid <> c.oid)
            ELSE '{}' END,
       CASE c.relreplident WHEN 'f' THEN true WHEN 'i' THEN x.chosen WHEN 'd' THEN x.keyed ELSE false END, x.keyed
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (
    SELECT coalesce(bool_or(i.indisreplident), false) AS chosen,
           coalesce(bool_or(i.indisprimary AND i.indimmediate), false) AS keyed
    FROM pg_index AS i WHERE i.indrelid = c.oid
) AS x
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
