#!/bin/sh
# Gives the volumes to the user who writes to them, and refuses those of another
# number of NATS servers: what one server alone stored, a cluster does not find.
#
#   volumes.sh [FOLDER]        default: /volumes
set -eu

dir=${1:-/volumes}
servers=$(echo ${NATS_SERVERS:-nats} | wc -w)
if [ ! -s "$dir/nats/servers" ]; then
	chown 0:0 "$dir/nats" # an image may have given it to another
	before=$servers
	[ ! -e "$dir/nats/jetstream" ] || before=1 # which is older than this file
	echo "$before" >"$dir/nats/servers"
fi
chown 10001:10001 "$dir"/* # each time, for a run may be killed between the two
before=$(cat "$dir/nats/servers")
if [ "$before" -ne "$servers" ]; then
	echo "the volumes of NATS are those of $before server(s), and $servers are to run: start it as before, or move the sales by archiving them" >&2
	exit 1
fi
