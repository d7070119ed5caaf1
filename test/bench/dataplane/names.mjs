/** What the paths of part `dataplane` are called, in what is measured and in its report. */
export const DIRECT = 'direct';
/** A table of nftables as anybody writes it, with one rule for each port. */
export const NFT = 'nft by hand';
export const HAPROXY_HTTP = 'haproxy http';
export const HAPROXY_TCP = 'haproxy tcp';
export const NGINX = 'nginx';
export const CADDY = 'caddy';
export const NAIVE = 'http-proxy';
export const AGENT = 'http-proxy, with agent';
export const OURS = { http: 'gantryd http', tcp: 'gantryd tcp', kernel: 'gantryd kernel' };
