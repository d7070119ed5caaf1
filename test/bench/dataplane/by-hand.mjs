/**
 * The least that any driver of a kept `nft -i` does for a switch: one line, and to hear that it was taken. Nothing is
 * remembered, looked at, proven or put back; whether a container is near or on this machine does not matter to it.
 */
import { spawn, spawnSync } from 'node:child_process';
import { WEB_PORT } from './ground.mjs';

const TABLE = 'bench_by_hand';
const DEADLINE_MS = 5_000;
/** What nft cannot know: it complains when it has done the line before. */
const WORD = 'bench_word';

/** Leads `port` of this host; answers what switches it, which answers after how many ms that was done. */
export function openByHand(ends, port) {
  const { status, stderr } = spawnSync('nft', ['-f', '-'], { input: rulesOf(port), encoding: 'utf8' });
  if (status !== 0) throw new Error(`nft took no table: ${stderr}`);
  ends.after(() => void spawnSync('nft', ['delete', 'table', 'inet', TABLE]));
  const child = spawn('nft', ['-n', '-i'], {
    stdio: ['pipe', 'ignore', 'pipe'],
    env: { ...process.env, TERM: 'dumb', HOME: '/dev/null' },
  });
  child.stdin.on('error', () => {}); // it has ended: no answer comes
  child.stderr.setEncoding('utf8');
  ends.after(() => void child.kill('SIGKILL'));
  spawnSync('chrt', ['--fifo', '--pid', '1', `${child.pid}`], { stdio: 'ignore' });
  let before = '';
  return async ({ host }) => {
    const began = performance.now();
    await say(child, `${before}add element inet ${TABLE} places { ${port} : ${host} . ${WEB_PORT} }`);
    before = `delete element inet ${TABLE} places { ${port} }; `;
    return performance.now() - began;
  };
}

function rulesOf(port) {
  const lead = 'dnat ip to tcp dport map @places';
  return `table inet ${TABLE} {
    map places { type inet_service : ipv4_addr . inet_service; }
    chain remote { type nat hook prerouting priority dstnat; tcp dport ${port} ${lead}; }
    chain here { type nat hook output priority -100; ip daddr 127.0.0.1 tcp dport ${port} ${lead}; }
    chain back { type nat hook postrouting priority srcnat; ip saddr 127.0.0.0/8 oifname != "lo" masquerade; }
  }`;
}

function say(child, line) {
  return new Promise((resolve, reject) => {
    let heard = '';
    const settle = (error) => {
      clearTimeout(late);
      child.stderr.off('data', hear);
      if (error === undefined) resolve();
      else reject(error);
    };
    const hear = (text) => {
      heard += text;
      const at = heard.indexOf(WORD);
      if (at < 0) return;
      const isRefused = heard.slice(0, at).split('Error:').length > 2; // the last one is of our word
      settle(isRefused ? new Error(`nft did not take a line: ${heard}`) : undefined);
    };
    const late = setTimeout(() => settle(new Error('nft did not answer')), DEADLINE_MS);
    child.stderr.on('data', hear);
    child.stdin.write(`${line}\n${WORD}\n`);
  });
}
