-- The files behind tables and the partitions below them: another file means that it was rewritten or truncated.
SELECT leaf.oid, pg_relation_filenode(leaf.oid)
FROM unnest(%(oids)s::oid[]) AS root (oid)
CROSS JOIN LATERAL (SELECT root.oid UNION SELECT relid::oid FROM pg_partition_tree(root.oid)) AS leaf (oid)
ORDER BY leaf.oid
