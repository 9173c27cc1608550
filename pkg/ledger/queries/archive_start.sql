-- Closes the streams of a sold-out sale, by the ledger.
UPDATE sales SET state = 'archiving' WHERE sale_id = @sale AND state = 'sold_out'
