-- What the schema has, one thing a line: columns, unique indexes, checks and
-- references of the tables.
SELECT format('%s.%s %s%s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN ' not null' END) AS line
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND c.relname <> 'goose_db_version' AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT format('%s unique (%s)%s', c.relname,
    (SELECT string_agg(pg_get_indexdef(i.indexrelid, k, false), ', ' ORDER BY k) FROM generate_series(1, i.indnkeyatts) AS k),
    ' where ' || pg_get_expr(i.indpred, i.indrelid))
FROM pg_class AS c JOIN pg_index AS i ON i.indrelid = c.oid
WHERE c.relnamespace = current_schema()::regnamespace AND c.relname <> 'goose_db_version' AND i.indisunique AND i.indisvalid
UNION ALL
SELECT format('%s %s', c.relname, pg_get_constraintdef(k.oid))
FROM pg_class AS c JOIN pg_constraint AS k ON k.conrelid = c.oid
WHERE c.relnamespace = current_schema()::regnamespace AND k.contype IN ('c', 'f')
ORDER BY line
