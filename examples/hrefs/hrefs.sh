#!/bin/sh
# Counts the links of the page at $url, those that stay on its host and those that leave it.
# Exit codes: 0 counted, 2 no url was given, 3 the page cannot be had.
if [ -z "$url" ]; then
  echo 'say which page: --env url=http://…' >&2
  exit 2
fi
page=$(timeout 10 wget -q -O - "$url") || {
  echo "cannot get $url" >&2
  exit 3
}
host=$(echo "$url" | cut -d / -f 1-3)
links=$(echo "$page" | grep -o 'href="[^"]*"' | cut -d '"' -f 2)
all=$(echo "$links" | grep -c .)
external=$(echo "$links" | grep -v -F "$host/" | grep -c '^https\{0,1\}://')
echo "{\"internal\":$((all - external)),\"external\":$external}"
