#!/bin/sh
# Serves /site, until it is told to end.
httpd -f -p 80 -h /site &
trap 'kill $!; exit 0' TERM
wait
