/** Constraints as people write them: `host==h1`, `label.disk!=slow`, and as Swarm wrote them. Pure. */
import type { Constraint } from './job.ts';

/** Swarm's words for the same. */
const SWARM_HOST = 'node.hostname';
const SWARM_LABEL = 'node.labels.';
const LABEL = 'label.';

export const CONSTRAINT_FORMS =
  'must be `host==NAME`, `host!=NAME`, `label.KEY==VALUE` or `label.KEY!=VALUE`';

/** Blanks around `==` and `!=` are fine. undefined: it is none. */
export function parseConstraint(text: string): Constraint | undefined {
  const match = /^\s*([^\s=!]+)\s*(==|!=)\s*(\S(?:.*\S)?)\s*$/.exec(text);
  if (match === null) return undefined;
  const [, subject = '', operator, value = ''] = match;
  const rest = { equals: operator === '==', value };
  if (subject === 'host' || subject === SWARM_HOST) return { on: 'host', key: '', ...rest };
  for (const prefix of [LABEL, SWARM_LABEL]) {
    const key = subject.startsWith(prefix) ? subject.slice(prefix.length) : '';
    if (key !== '') return { on: 'label', key, ...rest };
  }
  return undefined;
}

/** The way back, in our own words. */
export function formatConstraint({ on, key, equals, value }: Constraint): string {
  return `${on === 'host' ? 'host' : `${LABEL}${key}`}${equals ? '==' : '!='}${value}`;
}
