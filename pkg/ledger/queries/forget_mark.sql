-- Deletes what recorders of earlier versions left of a sale's stream of attempts.
DELETE FROM recorded WHERE sale_id = @sale
