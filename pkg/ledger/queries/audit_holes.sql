SELECT generation, matching_sequence, cursor_sequence, cursor_position, cursor_chain, resume_sequence, epoch, found_at, cursor_time
FROM holes
WHERE sale_id = @sale
ORDER BY generation
