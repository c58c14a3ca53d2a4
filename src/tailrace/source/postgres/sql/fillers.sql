-- Pipelines that write into any of these tables, and those but ours, which reads here, that have filled no table yet: it
-- is not known which ones they will. The way back may have our name.
SELECT DISTINCT p.name, t.pipeline IS NOT NULL
FROM tailrace.position AS p
LEFT JOIN tailrace.target AS t ON t.pipeline = p.name
WHERE CASE WHEN t.pipeline IS NULL THEN p.name <> %(pipeline)s OR NOT starts_with(p.lineage, %(here)s)
      ELSE EXISTS (SELECT FROM pg_class AS c
                   JOIN pg_namespace AS n ON n.oid = c.relnamespace
                   WHERE n.nspname = t.table_schema AND c.relname = t.table_name AND c.oid = ANY(%(oids)s::oid[])) END
ORDER BY 1
