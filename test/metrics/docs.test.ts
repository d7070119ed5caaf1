/** docs/metrics.md has a row for every metric, as the code has it; what is to be monitored with them exists. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { parse } from 'yaml';
import { AGENT_METRICS, PROCESS_METRICS, PROXY_METRICS } from '../../src/metrics/catalogue.ts';
import { PACKAGE_ROOT } from '../../src/version.ts';

const read = (...path: readonly string[]) => readFile(join(PACKAGE_ROOT, ...path), 'utf8');

interface Row {
  readonly name: string;
  readonly kind: string;
  readonly labels: readonly string[];
  readonly help: string;
}

async function documented(): Promise<readonly Row[]> {
  const text = await read('docs', 'metrics.md');
  const rows = text.matchAll(/^\| `(gantryd_\w+)` \| (\w+) \| (.*?) ?\| (.+) \|$/gm);
  return Array.from(rows, ([, name = '', kind = '', labels = '', help = '']) => {
    return { name, kind, labels: [...labels.matchAll(/`(\w+)`/g)].map(([, label = '']) => label), help };
  });
}

test('docs/metrics.md tells of every metric as the code has it, and of no other', async () => {
  const all = Object.entries({ ...AGENT_METRICS, ...PROXY_METRICS, ...PROCESS_METRICS });
  const expected = all.map(([name, { kind, labels, help }]) => ({ name, kind, labels: [...labels], help }));
  assert.deepEqual(await documented(), expected);
});

test('names say the unit, and what only grows', () => {
  for (const [name, { kind }] of Object.entries({ ...AGENT_METRICS, ...PROXY_METRICS })) {
    assert.equal(name.endsWith('_total'), kind === 'counter', name);
    if (kind === 'histogram') assert.match(name, /_seconds$/);
  }
});

/** Of an expression: each metric with the labels that it names in braces. */
function usesIn(expression: string): readonly { name: string; labels: readonly string[] }[] {
  const uses = expression.matchAll(/\b(gantryd_\w+)(?:\{([^}]*)\})?/g);
  return Array.from(uses, ([, name = '', matchers = '']) => ({
    name,
    labels: [...matchers.matchAll(/(\w+)(?:=~|!~|!=|=)"/g)].map(([, label = '']) => label),
  }));
}

async function assertKnown(expression: string): Promise<void> {
  const rows = new Map((await documented()).map((row) => [row.name, row]));
  const uses = usesIn(expression);
  for (const { name, labels } of uses) {
    const row = rows.get(name) ?? rows.get(name.replace(/_(bucket|sum|count)$/, ''));
    assert.ok(row !== undefined, `${name} in ${expression}`);
    assert.equal(row.kind === 'histogram', row.name !== name, `${name} is a ${row.kind}`);
    const own = [...row.labels, 'project', 'instance', 'job', ...(row.kind === 'histogram' ? ['le'] : [])];
    for (const label of labels) assert.ok(own.includes(label), `${name} has no label ${label}`);
  }
}

function count(text: string, mark: string): number {
  return text.split(mark).length - 1;
}

function assertBalanced(expression: string): void {
  for (const [open, close] of [
    ['(', ')'],
    ['{', '}'],
    ['[', ']'],
  ] as const)
    assert.equal(count(expression, open), count(expression, close), expression);
}

describe('examples/monitoring', () => {
  test('the dashboard has a row for each topic, asks one data source and knows its metrics', async () => {
    const board = JSON.parse(await read('examples', 'monitoring', 'dashboard.json'));
    assert.ok(board.schemaVersion >= 38, 'of Grafana 10');
    const [source] = board.templating.list;
    assert.deepEqual([source.name, source.type, source.query], ['datasource', 'datasource', 'prometheus']);
    const rows = board.panels.filter((panel: { type: string }) => panel.type === 'row');
    assert.ok(rows.length >= 6);
    const ids = board.panels.map((panel: { id: number }) => panel.id);
    assert.equal(new Set(ids).size, ids.length);
    const used = new Set<string>();
    for (const panel of board.panels.filter((each: { type: string }) => each.type !== 'row')) {
      assert.deepEqual(panel.datasource, { type: 'prometheus', uid: `\${datasource}` }, panel.title);
      assert.ok(panel.targets.length > 0, panel.title);
      for (const { expr } of panel.targets) {
        assertBalanced(expr);
        await assertKnown(expr);
        for (const { name } of usesIn(expr)) used.add(name);
      }
    }
    for (const { query } of board.templating.list.slice(1)) await assertKnown(query.query);
    const shown = (name: string) => used.has(name) || used.has(`${name}_bucket`);
    const agent = [...Object.keys(AGENT_METRICS), ...Object.keys(PROXY_METRICS)].filter((n) => !shown(n));
    assert.deepEqual(agent, ['gantryd_proxy_start_time_seconds', 'gantryd_proxy_listeners']);
  });

  test('the alerts name what is wrong, and know their metrics', async () => {
    const { groups } = parse(await read('examples', 'monitoring', 'alerts.yml'));
    const rules = groups.flatMap((group: { rules: unknown[] }) => group.rules);
    const names = rules.map((rule: { alert: string }) => rule.alert);
    assert.equal(new Set(names).size, names.length);
    for (const name of [
      'RolloutFailed',
      'MassFailure',
      'DrainTooOld',
      'AgentAway',
      'EtcdErrors',
      'EventLoopLag',
    ])
      assert.ok(names.includes(`Gantryd${name}`), name);
    for (const { expr, labels, annotations } of rules) {
      assertBalanced(expr);
      await assertKnown(expr);
      assert.match(labels.severity, /^(warning|critical)$/);
      assert.ok(annotations.summary.length > 10);
    }
  });

  test('the scrape config asks with a token and loads the alerts', async () => {
    const config = parse(await read('examples', 'monitoring', 'prometheus.yml'));
    assert.deepEqual(config.rule_files, ['alerts.yml']);
    const [job] = config.scrape_configs;
    assert.deepEqual([job.job_name, job.authorization.type], ['gantryd', 'Bearer']);
    assert.equal(job.metrics_path, undefined, '/metrics, as Prometheus has it by itself');
  });
});
