-- Subscriptions that write into any of these tables.
SELECT DISTINCT s.subname::text
FROM pg_subscription AS s
JOIN pg_subscription_rel AS r ON r.srsubid = s.oid
WHERE r.srrelid = ANY(%(oids)s::oid[])
ORDER BY 1
