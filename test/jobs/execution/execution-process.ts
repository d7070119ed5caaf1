/** Executes a run in a process of its own, to be killed: `execution-process.js JSON`, the run and where it is. */
import { openJobEngine } from '../../../src/docker/dockerode.ts';
import { type ExecutionInput, execute } from '../../../src/jobs/execution/execution.ts';
import { ENGINE_ADDRESS } from '../../docker/real-ground.ts';
import { NO_FILES, NO_SECRETS } from './execution-ground.ts';

const never = new AbortController().signal;
const given: Pick<ExecutionInput, 'run' | 'project' | 'host' | 'hostId' | 'stateDir'> = JSON.parse(
  process.argv[2] ?? '',
);
await execute({
  ...given,
  engine: openJobEngine(ENGINE_ADDRESS === undefined ? {} : { address: ENGINE_ADDRESS }),
  ...{ secrets: NO_SECRETS, secretFiles: NO_FILES, onSteps: () => {}, cancelled: never, left: never },
  now: Date.now,
});
