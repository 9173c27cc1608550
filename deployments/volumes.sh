#!/bin/sh
# Gives the volumes to the user who writes to them, and refuses those of another
# number of NATS servers: what one server alone stored, a cluster does not find.
set -eu

servers=$(echo ${NATS_SERVERS:-nats} | wc -w)
if [ ! -e /volumes/nats/servers ]; then
	chown 0:0 /volumes/nats # an image may have given it to another
	echo "$servers" >/volumes/nats/servers
	chown 10001:10001 /volumes/*
fi
before=$(cat /volumes/nats/servers)
if [ "$before" -ne "$servers" ]; then
	echo "the volumes of NATS are those of $before server(s), and $servers are to run: start it as before, or move the sales by archiving them" >&2
	exit 1
fi
