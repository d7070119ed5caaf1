#!/bin/sh
# Packs /data into an archive in /backups that carries the time in its name, and signs it with the secret backup-key,
# so that nobody without the key can put another one in its place. The newest $KEEP archives stay.
set -eu
key=/run/secrets/backup-key
archive=/backups/data-$(date -u +%Y%m%dT%H%M%SZ).tar.gz

tar -c -z -f "$archive.part" -C /data .
{ cat "$key" && cat "$archive.part" && cat "$key"; } > /tmp/signed
sha256sum < /tmp/signed | cut -d ' ' -f 1 > "$archive.signature"
mv "$archive.part" "$archive"
echo "packed $(find /data -type f | wc -l) files into ${archive#/backups/}"

ls /backups/data-*.tar.gz | sort -r | tail -n "+$((KEEP + 1))" | while read -r old; do
  rm -f "$old" "$old.signature"
  echo "removed ${old#/backups/}"
done
