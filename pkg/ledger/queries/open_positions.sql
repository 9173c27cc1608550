-- The position of each open sale whose last decided message is not older than @age.
SELECT sale_id, c.position
FROM sales AS s
JOIN cursors AS c USING (sale_id)
WHERE s.state = 'open' AND c.engine_time > clock_timestamp() - @age::interval
