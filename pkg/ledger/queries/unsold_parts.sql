SELECT part, removed_at IS NOT NULL AS removed
FROM attempt_cursors
WHERE sale_id = 0
ORDER BY part
