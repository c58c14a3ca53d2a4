-- Tables with the partitions below them and the tables that they are partitions of.
SELECT o.oid FROM unnest(%(oids)s::oid[]) AS o (oid)
UNION
SELECT t.relid::oid FROM unnest(%(oids)s::oid[]) AS o (oid), pg_partition_tree(o.oid) AS t
UNION
SELECT a.relid::oid FROM unnest(%(oids)s::oid[]) AS o (oid), pg_partition_ancestors(o.oid) AS a (relid)
