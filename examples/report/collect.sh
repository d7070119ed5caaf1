#!/bin/sh
# Prints a row for each of the last $DAYS days in $REGION. What it says about it stays outside of the two markers.
echo "asking $REGION for $DAYS days"
echo 'BEGIN ROWS'
for day in $(seq "$DAYS"); do
  echo "$REGION,$day,$((day * 37 % 50))"
done
echo 'END ROWS'
echo "$DAYS rows"
