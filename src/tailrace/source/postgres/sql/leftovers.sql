-- Publications that tails made, of this role: those whose tail is gone have no slot and their lock is free.
SELECT p.pubname
FROM pg_publication AS p
WHERE obj_description(p.oid, 'pg_publication') = %(comment)s
  AND pg_has_role(p.pubowner, 'USAGE')
  AND NOT EXISTS (SELECT FROM pg_replication_slots AS s WHERE s.slot_name = p.pubname)
  AND NOT EXISTS (
      SELECT FROM pg_locks AS l
      WHERE l.locktype = 'advisory' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND l.objsubid = 1 AND (l.classid::int8 << 32 | l.objid::int8) = hashtextextended(p.pubname, 0)
  )
