-- How far the streams of a sale's attempts are recorded, or those of no sale (0).
-- Column gone: up to when attempts may have messages no more.
SELECT sale_id, part, sequence, CASE WHEN removed_at IS NOT NULL THEN message_time END AS gone
FROM attempt_cursors
WHERE sale_id = @sale
UNION ALL
SELECT sale_id, part, 0, message_time FROM attempt_holes
WHERE sale_id = @sale
