/**
 * What `list --json` says of a component, from the very function that the command calls, in the test's own process: who
 * looks again and again would start a Node for each look.
 */
import type { ListedContainer } from '../../src/agent/listed.ts';
import { LocalHost } from '../../src/agent/local.ts';
import { openStateDir } from '../../src/agent/state-dir.ts';
import { loadProject } from '../../src/config/load.ts';
import { openEngine } from '../../src/docker/dockerode.ts';
import type { BackendReport } from '../../src/proxy/control/protocol.ts';
import { engineAddress } from '../ground/harness.ts';

/** One row. */
export interface Row {
  readonly id: string;
  readonly release: number;
  readonly status: ListedContainer['status'];
  readonly connections?: BackendReport;
}

export async function listed(file: string, stateDir: string, component: string): Promise<readonly Row[]> {
  const project = await loadProject(file, [], { component });
  const { path, hostId } = await openStateDir(stateDir);
  const engine = openEngine({ address: engineAddress() });
  try {
    const host = new LocalHost({ stateDir: path, hostId, engine, project, emit: () => undefined });
    const found = await host.list(component);
    return found.map(({ container: { id, release }, status, held }) => ({
      ...{ id, release, status },
      ...(held === undefined ? {} : { connections: held }),
    }));
  } finally {
    engine.close();
  }
}
