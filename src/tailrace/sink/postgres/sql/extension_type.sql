-- A type that an extension brought, wherever that was installed.
SELECT format_type(t.oid, NULL)
FROM pg_extension AS x
JOIN pg_depend AS e ON e.refobjid = x.oid AND e.deptype = 'e' AND e.classid = 'pg_type'::regclass
JOIN pg_type AS t ON t.oid = e.objid
WHERE x.extname = %(extension)s AND t.typname = %(name)s
