-- Members of one group write with the same pipeline's name: one at a time prepares the target tables.
SELECT pg_advisory_xact_lock(hashtext('tailrace.target'), hashtext(%(pipeline)s))::text
