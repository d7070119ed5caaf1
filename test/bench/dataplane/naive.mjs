/**
 * http-proxy as its README begins: `createProxyServer({target}).listen(port)`. `agent`: the same with upstream
 * connections that are kept. `node naive.mjs PORT TARGET ECHO_PORT ECHO_TARGET [agent]`.
 */
import { Agent } from 'node:http';
import httpProxy from 'http-proxy';

const [port, target, echoPort, echoTarget, agent] = process.argv.slice(2);
const kept = agent === undefined ? {} : { agent: new Agent({ keepAlive: true }) };

httpProxy.createProxyServer({ target: `http://${target}`, ...kept }).listen(Number(port));
httpProxy.createProxyServer({ target: `http://${echoTarget}`, ws: true }).listen(Number(echoPort));
