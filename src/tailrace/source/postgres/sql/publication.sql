-- One publication: what it covers and whom it belongs to.
SELECT p.puballtables, p.pubviaroot, pg_has_role(p.pubowner, 'USAGE'), obj_description(p.oid, 'pg_publication'),
       p.pubinsert AND p.pubupdate AND p.pubdelete, p.pubtruncate, to_jsonb(p) ->> 'pubgencols'
FROM pg_publication AS p
WHERE p.pubname = %(publication)s
