-- Sessions that have written to the tables and not ended their transaction, and rows that were ever written to them.
WITH leaf AS (
    SELECT oid FROM unnest(%(oids)s::oid[]) AS root (oid)
    UNION
    SELECT p.relid::oid FROM unnest(%(oids)s::oid[]) AS root (oid) CROSS JOIN pg_partition_tree(root.oid) AS p
)
SELECT (SELECT count(DISTINCT (l.pid, l.virtualtransaction)) FROM pg_locks AS l JOIN leaf ON leaf.oid = l.relation
        WHERE l.granted AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
          AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')),
       (SELECT coalesce(sum(s.n_tup_ins + s.n_tup_upd + s.n_tup_del), 0)::int8
        FROM pg_stat_user_tables AS s JOIN leaf ON leaf.oid = s.relid)
