-- Seconds until the next slot begins.
SELECT (@every::numeric - mod(extract(epoch FROM clock_timestamp()), @every::numeric))::double precision
