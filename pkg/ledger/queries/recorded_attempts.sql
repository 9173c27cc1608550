-- How far the streams are recorded that may hold attempts of the sale: its own,
-- and those of no sale where it is closed, or none. Column gone: up to when
-- attempts may have messages no more.
SELECT sale_id, part, sequence, CASE WHEN removed_at IS NOT NULL THEN message_time END AS gone
FROM attempt_cursors
WHERE sale_id = @sale OR sale_id = 0 AND EXISTS (SELECT FROM sales WHERE sale_id = @sale AND state IN ('archiving', 'archived'))
UNION ALL
SELECT sale_id, part, 0, message_time FROM attempt_holes
WHERE sale_id = @sale OR sale_id = 0 AND EXISTS (SELECT FROM sales WHERE sale_id = @sale AND state IN ('archiving', 'archived'))
