#!/bin/sh
# Reads rows. Says on stdout what it thinks of each, and passes the good ones on by stderr.
while IFS=, read -r region day sold; do
  if [ "$sold" -lt "$LEAST" ]; then
    echo "day $day: only $sold sold, left out"
  else
    echo "day $day: $sold sold"
    echo "$region,$day,$sold" >&2
  fi
done
