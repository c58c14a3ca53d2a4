-- Publications of ours, or with a name of ours, without a slot of it, that are not among those with an owner. Surely
-- nobody reads one that Tailrace made if no slot here is without a publication of its name, and there is no standby, which
-- has slots of its own. What somebody else made is theirs to drop.
SELECT p.pubname::text,
       coalesce(obj_description(p.oid, 'pg_publication') LIKE 'Made by Tailrace for pipeline%%', false)
           AND NOT pg_is_in_recovery() AND NOT EXISTS (
           SELECT FROM pg_replication_slots AS s
           WHERE s.slot_type = 'physical'
              OR (s.plugin = 'pgoutput' AND s.database = current_database()
                  AND NOT EXISTS (SELECT FROM pg_publication AS other WHERE other.pubname = s.slot_name)))
FROM pg_publication AS p
WHERE (p.pubname LIKE 'tailrace\_%%' OR obj_description(p.oid, 'pg_publication') LIKE 'Made by Tailrace for pipeline%%')
  AND p.pubname <> ALL (%(publications)s::text[])
  AND NOT EXISTS (
      SELECT FROM pg_replication_slots AS s WHERE s.slot_name = p.pubname AND s.database = current_database())
ORDER BY p.pubname
