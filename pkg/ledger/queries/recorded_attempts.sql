-- How far the streams that may hold attempts of the sale are recorded: its own, and
-- those of no sale if it is closed, or 0. Column gone: the messages of attempts up to
-- then may have been removed.
SELECT sale_id, part, sequence, CASE WHEN removed_at IS NOT NULL THEN message_time END AS gone
FROM attempt_cursors
WHERE sale_id = @sale OR sale_id = 0 AND EXISTS (SELECT FROM sales WHERE sale_id = @sale AND state IN ('archiving', 'archived'))
UNION ALL
SELECT sale_id, part, 0, message_time FROM attempt_holes
WHERE sale_id = @sale OR sale_id = 0 AND EXISTS (SELECT FROM sales WHERE sale_id = @sale AND state IN ('archiving', 'archived'))
