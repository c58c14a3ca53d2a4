-- Pipelines that write into this database without a replication origin, and the role that each writes as, or wrote as.
SELECT DISTINCT p.name,
       coalesce((SELECT a.usename FROM pg_stat_activity AS a
                 WHERE a.pid = p.holder AND a.datname = current_database() AND a.backend_start <= p.claimed_at),
                (SELECT pg_get_userbyid(c.relowner) FROM pg_class AS c WHERE c.oid = p.tableoid))::text
FROM tailrace.position AS p
WHERE NOT EXISTS (
    SELECT FROM pg_replication_origin AS o
    WHERE o.roname = 'tailrace/' || current_database() || '/' || p.name
)
ORDER BY 1
