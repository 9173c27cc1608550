-- Which of these sales, which have a stream, to archive next: first those whose
-- archiving was interrupted, then those that were sold out at least so long ago.
SELECT sale_id
FROM sales
WHERE sale_id = ANY(@among::bigint[])
  AND (state IN ('archiving', 'archived')
    OR state = 'sold_out' AND sold_out_at <= clock_timestamp() - make_interval(secs => @after::double precision))
ORDER BY state = 'sold_out', sale_id
LIMIT 1
