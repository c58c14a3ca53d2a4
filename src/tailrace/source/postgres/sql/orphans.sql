-- Slots and publications that look like ours, that nobody uses now, and that are not among those with an owner.
SELECT 'slot', s.slot_name::text, s.database::text,
       pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END,
                       s.restart_lsn)::int8
FROM pg_replication_slots AS s
WHERE s.slot_type = 'logical' AND s.plugin = 'pgoutput' AND s.slot_name LIKE 'tailrace\_%%'
  AND NOT s.active AND NOT s.temporary AND NOT coalesce((to_jsonb(s) ->> 'synced')::bool, false)
  AND s.slot_name <> ALL (%(slots)s::text[])
UNION ALL
SELECT 'publication', p.pubname::text, current_database()::text, NULL
FROM pg_publication AS p
WHERE (p.pubname LIKE 'tailrace\_%%' OR obj_description(p.oid, 'pg_publication') LIKE 'Made by Tailrace for pipeline%%')
  AND p.pubname <> ALL (%(publications)s::text[])
  AND NOT EXISTS (SELECT FROM pg_replication_slots AS s WHERE s.slot_name = p.pubname AND s.active)
ORDER BY 1 DESC, 2
