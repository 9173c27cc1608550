-- Takes or renews the archiver's lease, unless another holds it.
UPDATE archiver_lease
SET holder = $1, expires_at = clock_timestamp() + make_interval(secs => $2::double precision)
WHERE holder = $1
   OR expires_at < clock_timestamp()
   OR expires_at > clock_timestamp() + 4 * make_interval(secs => $2::double precision)
