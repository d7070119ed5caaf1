/** The entry of the audit for what an operator asks of a component, or of the project. */
import { auditWrite } from '../../cluster/audit.ts';
import type { Write } from '../../cluster/store.ts';
import type { Fleet } from './look.ts';

export interface AskedOf {
  readonly project: string;
  readonly by: string;
  /** As the command is called. */
  readonly action: string;
  /** Absent: the project. */
  readonly component?: string;
  /** Nothing secret: names of images, numbers, counts. */
  readonly detail?: string;
  /** Of the command. */
  readonly id: string;
}

/** To be written in the transaction that does what was asked. */
export function audited({ keys, now }: Fleet, asked: AskedOf): Write {
  const { project, by, action, component, detail = '', id } = asked;
  const on = component === undefined ? [] : [component];
  return auditWrite(keys.project(project), { by, action, on, detail, at: now(), id });
}
