/** Configurations of the programs that part `dataplane` runs: each with one thread, and upstream connections kept. Pure. */

/** What else a program has open. */
const OTHER_FILES = 200;
/** More than any run has, where the host lets a program have as many files. */
const MAX_CONNECTIONS = 32_768;
/** Of one that relays: two files for each. Over http a quiet client has no connection to the backend. */
export const maxConnections = (files, filesEach = 2) =>
  Math.min(MAX_CONNECTIONS, Math.floor((files - OTHER_FILES) / filesEach));
const KEPT = 128;
const TEMP = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];

/** Keep-alive without end: a connection that the backend closes would be counted as a failure of the front. */
export function backendConfig(folder, files, name, port) {
  return nginx(
    folder,
    files,
    `
  sendfile on;
  tcp_nopush on;
  server {
    listen ${port} backlog=4096;
    root ${folder};
    location = / { default_type text/plain; return 200 "ok\\n"; }
    location = /who { default_type text/plain; return 200 "${name}\\n"; }
  }`,
  );
}

/** `files`: how many it may have open; `{port, echoPort}` to listen on, `backend` and `echo`: HOST:PORT. */
export function nginxConfig(folder, files, { port, echoPort }, backend, echo) {
  return nginx(
    folder,
    files,
    `
  upstream web { server ${backend}; keepalive ${KEPT}; }
  proxy_http_version 1.1;
  proxy_set_header Host $host;
  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  server {
    listen ${port} backlog=4096;
    location / { proxy_pass http://web; proxy_set_header Connection ""; }
  }
  server {
    listen ${echoPort} backlog=4096;
    location / {
      proxy_pass http://${echo};
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection upgrade;
    }
  }`,
  );
}

/** The client's address is forwarded: what gantryd does as well. */
export function haproxyConfig(mode, files, { port, echoPort }, backend, echo) {
  const web = mode === 'http' ? '\n  option forwardfor\n  http-reuse always' : '';
  return `
global
  nbthread 1
  no strict-limits
  maxconn ${maxConnections(files, mode === 'http' ? 1 : 2)}
defaults
  mode ${mode}
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout tunnel 60s
  backlog 4096
listen web
  bind :${port}${web}
  server backend ${backend}
listen echo
  bind :${echoPort}
  server backend ${echo}
`;
}

/** Nothing listens but what is measured. */
export function caddyConfig({ port, echoPort }, backend, echo) {
  return `
{
  admin off
  auto_https off
}
http://:${port} {
  reverse_proxy ${backend} {
    transport http {
      keepalive_idle_conns_per_host ${KEPT}
    }
  }
}
http://:${echoPort} {
  reverse_proxy ${echo}
}
`;
}

function nginx(folder, files, http) {
  return `
daemon off;
master_process off;
worker_processes 1;
pid ${folder}/pid;
error_log ${folder}/error.log warn;
events { worker_connections ${2 * maxConnections(files)}; }
http {
  access_log off;
  keepalive_timeout 3600;
  keepalive_requests 1000000000;
  ${TEMP.map((n) => `${n}_temp_path ${folder}/${n};`).join('\n  ')}${http}
}
`;
}
